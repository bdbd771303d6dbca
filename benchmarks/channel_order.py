"""Fit and test the recognition of swapped red and blue.

WBC_NCA_DATA=/data python benchmarks/channel_order.py [--most N] [--fit]

Each picture is judged as it is and with red and blue swapped. ``--fit`` fits the weights, without
an intercept and none below 0, to the laboratories that may train, each with the same weight, and
prints them; the other laboratories are test only. ``--most`` takes so many pictures of a set,
evenly spread.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture
from scipy.optimize import minimize

from napari_wbc_nca.ops.channel_order import (
    PIXELS,
    WEIGHTS,
    channel_evidence,
    order_by_evidence,
)
from napari_wbc_nca.ops.stain import sample_field

TRAINED = ("smears/train", "typed", "fields", "pbc", "pig")
TESTED = ("smears/val", "raabin", "masks/tecom", "masks/cellavision")
_PENALTY = 0.001

Array = npt.NDArray[np.float64]


def evidence(folder: Path, most: int) -> tuple[list[str], Array]:
    """Measure the pictures of a folder: names, and ``(N, 6)`` evidence."""
    files = [p for p in sorted(folder.rglob("*")) if p.suffix in (".jpg", ".png", ".bmp")]
    files = [p for p in files if "_mask" not in p.name]
    if most and most < len(files):
        files = [files[n] for n in np.linspace(0, len(files) - 1, most).astype(int)]
    rows = []
    for path in files:
        with Picture.open(path) as picture:
            rows.append(channel_evidence(sample_field(np.asarray(picture.convert("RGB")), PIXELS)))
    return [path.name for path in files], np.array(rows)


def fit(sets: list[Array]) -> Array:
    """Fit weights of at least 0 by a logistic regression in which each set counts the same."""
    rows = np.concatenate(sets)
    share = np.concatenate([np.full(len(own), 1 / len(own) / len(sets)) for own in sets])
    scale = np.sqrt((rows**2).mean(0))
    scaled = rows / scale

    def loss(weights: Array) -> tuple[float, Array]:
        odds = scaled @ weights
        value = share @ np.logaddexp(0, -odds) + _PENALTY * (weights @ weights)
        return value, -(share / (1 + np.exp(odds))) @ scaled + 2 * _PENALTY * weights

    start = np.full(rows.shape[1], 0.1)
    found = minimize(loss, start, jac=True, bounds=[(0, None)] * len(start))
    return np.asarray(found.x / scale)


def main(most: int, fitted: bool) -> None:
    """Print for each set how many pictures are turned or noted, right and swapped."""
    data = Path(os.environ["WBC_NCA_DATA"])
    found = {name: evidence(data / name, most) for name in (*TRAINED, *TESTED)}
    if fitted:
        print("weights", fit([found[name][1] for name in TRAINED]).round(1).tolist())
    for name, (files, rows) in found.items():
        right = [order_by_evidence(row) for row in rows]
        swapped = [order_by_evidence(-row) for row in rows]
        worst = [files[n] for n in np.argsort(rows @ np.array(WEIGHTS))[:3]]
        print(f"{name}: {len(rows)} pictures; as they are {right.count('bgr')} turned and "
              f"{right.count('uncertain')} noted; swapped {swapped.count('bgr')} turned and "
              f"{swapped.count('uncertain')} noted; least evidence {worst}")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=0)
    parser.add_argument("--fit", action="store_true")
    given = parser.parse_args()
    main(given.most, given.fit)
