"""Recognition of images whose light or stain is far from all that a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.ops.stain import fit_background

Float = npt.NDArray[np.float64]

MEASURES = {
    "background": ("the background is darker", "the background is brighter"),
    "background_red": ("the background is less red", "the background is redder"),
    "background_blue": ("the background is less blue", "the background is bluer"),
    "stain": ("the stain is paler", "the stain is darker"),
    "stain_red": ("red cells are redder", "red cells are bluer"),
    "stain_blue": ("red cells are less yellow", "red cells are yellower"),
    "nuclei": ("nuclei are paler", "nuclei are darker"),
    "nuclei_red": ("nuclei are redder", "nuclei are bluer"),
    "nuclei_blue": ("nuclei are less yellow", "nuclei are yellower"),
}
"""Measures of an image's colours, and what it means to lie below and above the usual range."""
_STAINED = 0.2  # summed density from which on matter is stained
_LEAST = 20  # stained pixels; with fewer, all pixels count
_NUCLEI = 0.99  # quantile of the summed density above which matter is taken for nuclei
_FAINT = 0.02  # density below which matter has no hue


def measure_colours(sample: npt.NDArray[Any]) -> Float:
    """Measure light and stain of an ``(h, w, 3)`` sample of a field in 0–255: `MEASURES`.

    Of the background the mean logarithm of its brightness and that of red and of blue over green;
    of stained matter, mostly red cells, and of the densest hundredth, mostly nuclei, the
    logarithm of the density and the shares of red and of blue in it.
    """
    background = fit_background(sample, 1)
    light = background.coefficients[0]
    density = background(sample, (0, 0), sample.shape[:2]).reshape(-1, 3).astype(np.float64)
    total = density.sum(1)
    stained = density[total > _STAINED]
    usual = np.median(stained if len(stained) >= _LEAST else density, axis=0)
    densest = density[total >= np.quantile(total, _NUCLEI)].mean(0)
    hue = (light[0] - light[1], light[2] - light[1])
    return np.array([light.mean(), *hue, *_amount(usual), *_amount(densest)])


def _amount(density: Float) -> tuple[float, float, float]:
    """Logarithm of the summed density, and shares of red and blue in it."""
    whole = max(float(density.sum()), _FAINT)
    return float(np.log(whole)), float(density[0]) / whole, float(density[2]) / whole


def unusual_colours(sample: npt.NDArray[Any], usual: Mapping[str, Sequence[float]]) -> list[str]:
    """Say in which measures a sample lies outside the `usual` range, its low and high end by name.

    Returns the phrases of `MEASURES`, the farthest outside first; none where all is usual.
    """
    found = []
    for value, (name, phrases) in zip(measure_colours(sample), MEASURES.items(), strict=True):
        if name not in usual:
            continue
        low, high = usual[name]
        beyond = max(low - value, value - high) / max(high - low, 1e-6)
        if beyond > 0:
            found.append((beyond, phrases[int(value > high)]))
    return [phrase for _, phrase in sorted(found, reverse=True)]
