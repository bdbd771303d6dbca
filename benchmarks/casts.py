"""Measure a model on pictures as twelve other laboratories might have stained, lit or saved them.

WBC_NCA_DATA=/data python benchmarks/casts.py MODEL [--every N] [--only CAST ...] [--write]

Each cast is a fixed change of all pixels: of the amounts of azure (nuclei) and eosin (red cells),
of their colours, of the light, or of the camera. Casts are committed, so that figures compare over
versions; training varies stains by other random numbers, and never by these. Nothing is set a cast.
``--every n`` takes every n-th picture of ``smears/val`` and every 3 n-th of ``fields``; ``--write``
writes the table of the docs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture

from napari_wbc_nca.evaluation.evaluate import evaluate

Array = npt.NDArray[np.float64]

TABLE = Path(__file__).parent.parent / "docs" / "_results" / "casts.md"
SMEARS = "wbc,rbc,platelet"
AZURE, EOSIN = (0.66, 0.69, 0.30), (0.10, 0.90, 0.42)
"""Optical density in red, green and blue of a nucleus and of a red cell, each of length 1."""
BLUER_EOSIN, REDDER_AZURE = (0.40, 0.82, 0.41), (0.40, 0.83, 0.39)
"""The same where the buffer is too alkaline, and where it is too acid."""
_THIRD = (0.45, -0.42, 0.79)  # what neither stain explains
_BACKGROUND = 90  # percentile of a channel that its background is


def stain_amounts(density: Array) -> Array:
    """Divide optical density ``(..., 3)`` into azure, eosin and a remainder, ``(..., 3)``."""
    return density @ np.linalg.inv(np.array([AZURE, EOSIN, _THIRD]))


def restain(
    rgb: Array,
    azure: Callable[[Array], Array] = lambda amount: amount,
    eosin: float = 1.0,
    colours: tuple[Any, Any] = (AZURE, EOSIN),
) -> Array:
    """Change the amounts of both stains, and their `colours`, over the picture's background."""
    background = np.percentile(rgb, _BACKGROUND, axis=(0, 1)) + 1
    amounts = stain_amounts(np.log(background / (rgb + 1)))
    amounts = np.stack([azure(amounts[..., 0]), eosin * amounts[..., 1], amounts[..., 2]], -1)
    return background * np.exp(-amounts @ np.array([*colours, _THIRD])) - 1


def pale(amount: Array) -> Array:
    """Leave 0.3 of little azure, as in cytoplasm, and all of much, as in nuclei."""
    share = np.clip((amount - 0.35) / 0.5, 0, 1)
    return amount * (0.3 + 0.7 * share * share * (3 - 2 * share))


def light(*gains: float) -> Callable[[Array], Array]:
    """Multiply red, green and blue."""
    return lambda rgb: rgb * gains


def curve(gamma: float, contrast: float = 1.0) -> Callable[[Array], Array]:
    """Raise brightness to `gamma`, and stretch it around 0.6."""
    return lambda rgb: 255 * (contrast * (np.clip(rgb / 255, 0, 1) ** gamma - 0.6) + 0.6)


def saturation(factor: float) -> Callable[[Array], Array]:
    """Move colours from grey, or towards it."""
    return lambda rgb: rgb.mean(-1, keepdims=True) * (1 - factor) + rgb * factor


CASTS: Mapping[str, Callable[[Array], Array]] = {
    "red and blue swapped": lambda rgb: rgb[..., ::-1],
    "blue light": light(0.55, 0.8, 1.0),
    "yellow lamp": light(1.0, 0.88, 0.5),
    "green-grey background, pale cytoplasm": lambda rgb: restain(rgb, pale) * (0.68, 0.82, 0.66),
    "pink light": light(1.0, 0.68, 0.8),
    "washed-out stain": lambda rgb: restain(rgb, lambda amount: 0.45 * amount, 0.45),
    "pale cytoplasm": lambda rgb: restain(rgb, pale),
    "over-stained red cells": lambda rgb: restain(rgb, eosin=2.2),
    "alkaline buffer: red cells grey-blue": lambda rgb: restain(rgb, colours=(AZURE, BLUER_EOSIN)),
    "acid buffer: nuclei red": lambda rgb: restain(
        rgb, lambda amount: 0.8 * amount, 1.3, (REDDER_AZURE, EOSIN)
    ),
    "dark and hard": curve(1.6, 1.25),
    "flat colours": lambda rgb: saturation(0.35)(curve(0.8, 0.75)(rgb)),
}
"""Name to change of a picture ``(Y, X, 3)`` in 0-255."""


def apply_cast(name: str, rgb: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Change a picture in 0-255 by the cast of a name, and round it."""
    changed = CASTS[name](np.asarray(rgb, np.float64))
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def write_cast(name: str, source: Path, target: Path, every: int) -> None:
    """Write each n-th picture of a folder under a cast, with its labels beside it."""
    for path in sorted(source.glob("*.jpg"))[::every]:
        with Picture.open(path) as picture:
            rgb = np.asarray(picture.convert("RGB"))
        changed = apply_cast(name, rgb) if name in CASTS else rgb
        Picture.fromarray(changed).save(target / f"{path.stem}.png")
        for beside in (f"{path.stem}.txt", f"{path.stem}_mask.png"):
            if (source / beside).exists():
                shutil.copy(source / beside, target / beside)


def measure(model: str, data: Path, name: str, every: int) -> tuple[float, float]:
    """Return the boxes' F1 on ``smears/val`` and the mean cell IoU on ``fields`` under a cast."""
    figures = []
    for folder, step, figure in (("smears/val", every, "f1"), ("fields", 3 * every, "cell_iou")):
        with tempfile.TemporaryDirectory() as target:
            write_cast(name, data / folder, Path(target), step)
            summary: Any = evaluate(model, target, classes=SMEARS, device="cpu")  # type: ignore[attr-defined]
            figures.append(float(summary.summary.iloc[0][figure]))
    return figures[0], figures[1]


def table(figures: Mapping[str, tuple[float, float]]) -> str:
    """Write the figures of each cast, their worst and mean, as Markdown."""
    casts = [values for name, values in figures.items() if name in CASTS]
    rows = dict(figures)
    if casts:
        worst, mean = np.min(casts, 0), np.mean(casts, 0)
        rows |= {
            "**worst cast**": (worst[0], worst[1]),
            "**mean of the casts**": (mean[0], mean[1]),
        }
    head = ["| cast | boxes F1, `smears/val` | mean cell IoU, `fields` |", "|---|---|---|"]
    lines = [f"| {name} | {f1:.3f} | {iou:.3f} |" for name, (f1, iou) in rows.items()]
    return "\n".join([*head, *lines]) + "\n"


def main(model: str, every: int, only: list[str], write: bool) -> None:
    """Measure the pictures as they are and under each cast."""
    data = Path(os.environ["WBC_NCA_DATA"])
    figures = {}
    for name in only or ["as they are", *CASTS]:
        figures[name] = measure(model, data, name, every)
        print(f"{name}: F1 {figures[name][0]:.3f}, IoU {figures[name][1]:.3f}", flush=True)
    print(table(figures))
    if write:
        TABLE.write_text(table(figures), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--write", action="store_true")
    main(**vars(parser.parse_args()))
