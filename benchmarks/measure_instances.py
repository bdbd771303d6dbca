"""Instances of a detector against masks and boxes: the table of ``docs/methods/propagation.md``.

``WBC_NCA_DATA=/data python benchmarks/measure_instances.py smear-cells`` takes a bundled model or
a file. Every n-th picture is measured with ``--every n``; ``--set terms=paper`` and the like
change parameters. A cell that was not found counts 0. Masks trained and tuned nothing.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi

from napari_wbc_nca.datasets.label_files import read_yolo
from napari_wbc_nca.datasets.readers import read_masks
from napari_wbc_nca.io.images import read
from napari_wbc_nca.ops.metrics import box_iou, label_iou, match_scores
from napari_wbc_nca.workflow.segment import segment

if TYPE_CHECKING:
    from napari_wbc_nca.types import Segmentation

KINDS = ("wbc", "rbc", "platelet")
SMALLEST = 200  # px of a piece of a mask that is a cell


def masked(folder: Path, model: str, every: int, params: dict[str, str]) -> list[float]:
    """Dice of each white blood cell with its mask, one to one."""
    scores: list[float] = []
    for sample in read_masks(folder, KINDS)[::every]:
        cells, _ = ndi.label(np.asarray(read(sample.mask).pixels) > 0)
        sizes = np.bincount(cells.ravel())
        cells[(sizes < SMALLEST)[cells]] = 0
        found = segment(sample.path, model, **params)
        own = found.cells.loc[found.cells["class"] == "wbc", "label"]
        labels = np.where(np.isin(found.labels["cell"], own), found.labels["cell"], 0)
        iou = label_iou(cells, labels)
        dice = 2 * iou / (1 + iou)
        pairs = match_scores(dice)
        scores += [float(dice[row, column]) for row, column in pairs]
        scores += [0.0] * (len(dice) - len(pairs))
    return scores


def boxed(folder: Path, model: str, every: int, params: dict[str, str]) -> dict[str, list[float]]:
    """IoU of each cell's box, by kind, one to one."""
    scores: dict[str, list[float]] = {kind: [] for kind in KINDS}
    pictures = sorted(folder.glob("*.jpg"))
    for path in pictures[::every]:
        image = read(path)
        boxes, names = read_yolo(path.with_suffix(".txt"), image.shape, KINDS)
        found = segment(image, model, **params)
        for kind in KINDS:
            true = boxes[[name == kind for name in names]]
            iou = box_iou(true, _boxes(found, kind))
            pairs = match_scores(iou)
            scores[kind] += [float(iou[row, column]) for row, column in pairs]
            scores[kind] += [0.0] * (len(true) - len(pairs))
    return scores


def _boxes(found: Segmentation, kind: str) -> np.ndarray:
    rows = found.cells[found.cells["class"] == kind]
    return rows[["box_y0", "box_x0", "box_y1", "box_x1"]].to_numpy(float)


def main() -> None:
    """Print one line a data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", default="fields,cellavision,val")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    data = Path(os.environ["WBC_NCA_DATA"])
    params = dict(item.split("=", 1) for item in options.set)
    wanted = options.only.split(",")
    for name, folder in (("fields", "fields"), ("cellavision", "masks/cellavision")):
        if name in wanted:
            scores = masked(data / folder, options.model, options.every, params)
            print(f"{name}: {len(scores)} cells, mean Dice {np.mean(scores):.3f}, "
                  f"{np.mean(np.equal(scores, 0)):.3f} missed", flush=True)  # fmt: skip
    if "val" in wanted:
        for kind, own in boxed(data / "smears/val", options.model, options.every, params).items():
            print(f"smears/val, {kind}: {len(own)} cells, mean box IoU {np.mean(own):.3f}, "
                  f"{np.mean(np.equal(own, 0)):.3f} missed", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
