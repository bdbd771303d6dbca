"""Measured cells kept aside to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from napari_wbc_nca.evaluation.targets import Truth
    from napari_wbc_nca.types import Segmentation

Mask = npt.NDArray[np.bool_]
MARGIN = 12
"""Pixels shown around a cell."""


@dataclass(frozen=True, eq=False)
class MeasuredCell:
    """One measured cell.

    Attributes
    ----------
    title
        Picture, classes and score.
    score
        IoU with the truth.
    rgb
        ``(h, w, 3)`` uint8: the cell and its surroundings.
    true
        ``(h, w)`` bool mask of the cell; a filled box where only a box is known.
    predicted
        ``(h, w)`` bool mask of all predicted cells.
    image, cell
        Name of the picture, and number of the true cell in it.
    corner
        Row and column of the first pixel shown.
    """

    title: str
    score: float
    rgb: npt.NDArray[np.uint8]
    true: Mask
    predicted: Mask
    image: str = ""
    cell: int = 0
    corner: tuple[int, int] = (0, 0)


def worst(cases: Sequence[MeasuredCell], count: int) -> list[MeasuredCell]:
    """Keep the `count` cases of lowest score, the lowest first."""
    return nsmallest(count, cases, key=lambda case: case.score)


def cases(
    name: str,
    rgb: npt.NDArray[np.uint8],
    truth: Truth,
    found: Segmentation,
    scores: pd.DataFrame,
) -> list[MeasuredCell]:
    """Cases of the true cells with a mask or box, among the `scores` of a picture called `name`."""
    if truth.cell is None and truth.boxes is None:
        return []
    rows = scores[scores["cell"] > 0].to_dict("records")
    masks = (_true_mask(truth, row["cell"], rgb.shape[:2]) for row in rows)
    return [_case(name, rgb, mask, found, row) for mask, row in zip(masks, rows, strict=True)]


def _true_mask(truth: Truth, number: int, shape: Sequence[int]) -> Mask:
    if truth.cell is not None:
        return np.asarray(truth.cell == number)
    mask = np.zeros(tuple(shape), bool)
    if truth.boxes is not None:
        y0, x0, y1, x1 = np.rint(truth.boxes[number - 1]).astype(int)
        # A point has no extent, but must be seen.
        mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    return mask


def _case(
    name: str,
    rgb: npt.NDArray[np.uint8],
    true: Mask,
    found: Segmentation,
    row: Mapping[Any, Any],
) -> MeasuredCell:
    labels = np.asarray(found.labels["cell"])
    rows, columns = np.nonzero(true | ((labels == row["label"]) & (labels > 0)))
    part = tuple(
        slice(max(0, int(held.min()) - MARGIN), int(held.max()) + 1 + MARGIN)
        for held in (rows, columns)
    )
    score = row["box_iou"] if np.isnan(row["cell_iou"]) else row["cell_iou"]
    short = name if len(name) <= 20 else f"{name[:19]}…"
    title = f"{short}  {score:.2f}\n{row['true']} → {row['predicted']}"
    corner = (part[0].start, part[1].start)
    shown = (rgb[part], true[part], labels[part] > 0)
    return MeasuredCell(title, score, *shown, image=name, cell=int(row["cell"]), corner=corner)
