"""Make the figures of the CellMixer page from synthetic cultures.

``python docs/scripts/cellmixer_figures.py`` writes ``docs/images/cellmixer_*.png``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

from napari_wbc_nca.datasets.synthetic import KINDS, culture
from napari_wbc_nca.ops.foreground import foreground, foreground_response
from napari_wbc_nca.ops.foreground_params import ForegroundParams
from napari_wbc_nca.ops.mixing import background_statistics, mix, mix_masks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES = Path(__file__).parents[1] / "images"
SHAPE = (192, 192)
NAMES = ("background", *KINDS)
PAIRS = (("granular", "rimmed"), ("rimmed", "mottled"), ("mottled", "granular"))


def foreground_steps() -> Figure:
    """A culture of each population, its response, and its foreground."""
    params = ForegroundParams()
    figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
    for column, kind in zip(axes.T, KINDS, strict=True):
        pixels = culture((kind,), SHAPE, 7).pixels
        column[0].imshow(pixels, cmap="gray")
        column[0].contour(foreground(pixels, params), [0.5], colors="tab:cyan", linewidths=1)
        column[0].set_title(kind, fontsize=10)
        column[1].imshow(
            foreground_response(pixels[..., None] / np.float32(255), params), cmap="magma"
        )
        for axis in column:
            axis.set_axis_off()
    return figure


def mixtures() -> Figure:
    """Mixtures of two populations, and the class of each pixel."""
    figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
    numbers = {kind: number for number, kind in enumerate(KINDS, start=1)}
    for column, pair in zip(axes.T, PAIRS, strict=True):
        parts = [_normalised(kind, numbers[kind], seed) for seed, kind in enumerate(pair)]
        (first, below, one), (second, above, two) = parts
        column[0].imshow(mix(first, second, 0.5, (one, two))[0], cmap="gray")
        column[0].set_title(" + ".join(pair), fontsize=10)
        column[1].imshow(mix_masks(below, above), cmap="viridis", vmin=0, vmax=len(KINDS))
        for axis in column:
            axis.set_axis_off()
    colours = plt.get_cmap("viridis")(np.linspace(0, 1, len(KINDS) + 1))
    key = [Patch(color=one, label=name) for one, name in zip(colours, NAMES, strict=True)]
    figure.legend(handles=key, ncols=len(key), loc="outside lower center", frameon=False)
    return figure


def _normalised(kind: str, number: int, seed: int) -> tuple[Any, Any, Any]:
    """Pixels ``(1, Y, X)``, mask, and statistics of the background of a culture."""
    pixels = culture((kind,), SHAPE, 20 + seed).pixels
    mask = foreground(pixels, ForegroundParams()).astype(np.uint8) * np.uint8(number)
    values = pixels[None] / np.float32(255)
    return values, mask, background_statistics(values, mask)


def main() -> None:
    """Write all figures."""
    IMAGES.mkdir(exist_ok=True)
    for name, make in {"foreground": foreground_steps, "mixtures": mixtures}.items():
        path = IMAGES / f"cellmixer_{name}.png"
        make().savefig(path, dpi=90, bbox_inches="tight")
        print(path)


if __name__ == "__main__":
    main()
