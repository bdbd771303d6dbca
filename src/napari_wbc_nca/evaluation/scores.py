"""One picture's prediction held against its truth, cell by cell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_wbc_nca.cell_types import NONE, canonical
from napari_wbc_nca.ops import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wbc_nca.evaluation.targets import Truth
    from napari_wbc_nca.types import Segmentation

Row = dict[str, Any]

SCORES = ("cell_iou", "cell_dice", "nucleus_iou", "box_iou")
COLUMNS = {
    **{"cell": "int64", "true": "str", "label": "int64", "predicted": "str"},
    **{"confidence": "float64", "hit": "bool", "found": "bool"},
    **dict.fromkeys(SCORES, "float64"),
}
"""What is known of a measured cell, and its type in a table."""
MISSED = "missed"
"""Predicted class of a cell that was not found."""
THRESHOLDS = (0.5, 0.75, 0.9)
"""IoU from which on a cell counts as found, in the figures ``f1_at``."""


def score(truth: Truth, found: Segmentation, overlap: float) -> pd.DataFrame:
    """Rows of the true cells of a picture, then of the predicted cells that are none.

    Each true cell is paired with at most one predicted cell, so that the sum of their IoU is
    largest: of masks, or of boxes that share at least `overlap`; in a crop, with the largest
    predicted cell.

    Returns
    -------
    DataFrame
        With `COLUMNS`: ``cell`` counts from 1 and is 0 for a predicted cell that is none,
        ``label`` is 0 for a missed one, whose scores are 0; scores that need a mask or box that
        is not there are NaN. ``hit``: the IoU is at least `overlap`. ``found``: a hit, or the
        cell of a crop, whose type counts however bad its mask is.
    """
    shared = _agreement(truth, found)
    partner = dict(metrics.match_scores(shared, 0 if truth.boxes is None else overlap).tolist())
    predicted: list[Any] = found.cells.to_dict("records")
    rows = []
    for i, name in enumerate(truth.names):
        guess = predicted[partner[i]] if i in partner else None
        iou = float(shared[i, partner[i]]) if i in partner else 0.0
        row = {"cell": i + 1, "true": name, **_answer(guess)}
        row |= _mask_scores(truth, i + 1, found, row["label"])
        if truth.boxes is not None:
            row["box_iou"] = iou
        row["hit"] = row.get("cell_iou", iou) >= overlap
        row["found"] = row["hit"] or (truth.whole and guess is not None)
        rows.append(row)
    spare = [guess for j, guess in enumerate(predicted) if j not in partner.values()]
    none = {"cell": 0, "true": "", "hit": False, "found": False}
    rows += [none | _answer(guess) for guess in spare]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _answer(guess: Mapping[str, Any] | None) -> Row:
    if guess is None:
        return {"label": 0, "predicted": MISSED, "confidence": np.nan}
    return {
        "label": guess["label"],
        "predicted": guess["class"],
        "confidence": guess.get("confidence", np.nan),
    }


def _agreement(truth: Truth, found: Segmentation) -> npt.NDArray[np.float64]:
    """Score ``(N, M)``, 0–1, of the true cells with the rows of the predicted ones."""
    area = found.cells["area_px"].to_numpy(np.float64)
    if truth.whole:
        return np.asarray(area / area.max(initial=1.0))[None]
    if truth.cell is not None:
        return metrics.label_iou(truth.cell, np.asarray(found.labels["cell"]))
    boxes = found.cells[["box_y0", "box_x0", "box_y1", "box_x1"]].to_numpy(np.float64)
    true = np.zeros((0, 4)) if truth.boxes is None else truth.boxes
    points = (true[:, :2] == true[:, 2:]).all(axis=1)
    held, shared = _holds(boxes, true[:, :2]), metrics.box_iou(true, boxes)
    return np.asarray(np.where(points[:, None], held, shared), np.float64)


def _holds(
    boxes: npt.NDArray[np.float64], points: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.bool_]:
    """Which points ``(N, M)`` lie in which boxes."""
    at = points[:, None]
    return np.asarray(((boxes[:, :2] <= at) & (at < boxes[:, 2:])).all(axis=-1))


def _mask_scores(truth: Truth, number: int, found: Segmentation, label: int) -> Row:
    if truth.cell is None:
        return {}
    # Not every method finds nuclei, and not every truth knows them.
    nuclei = truth.nucleus is not None and "nucleus" in found.labels
    if not label:
        return {"cell_iou": 0.0, "cell_dice": 0.0} | ({"nucleus_iou": 0.0} if nuclei else {})
    true, predicted = truth.cell == number, np.asarray(found.labels["cell"]) == label
    scores = {"cell_iou": metrics.iou(true, predicted), "cell_dice": metrics.dice(true, predicted)}
    if truth.nucleus is not None and nuclei:
        nucleus = np.asarray(found.labels["nucleus"]) == label
        scores["nucleus_iou"] = metrics.iou(truth.nucleus == number, nucleus)
    return scores


def reviewed(truth: Truth, found: Segmentation) -> Segmentation:
    """`found` without cells that lie mostly where nobody reviewed: neither right nor wrong."""
    if truth.ignored is None or not truth.ignored.any():
        return found
    cell = np.asarray(found.labels["cell"])
    size = np.bincount(cell.ravel())
    hidden = np.bincount(cell[truth.ignored], minlength=len(size))
    return _without(found, np.flatnonzero((hidden > size / 2) & (np.arange(len(size)) > 0)))


def white(found: Segmentation) -> Segmentation:
    """`found` without red cells, platelets and the like, which no truth here holds either."""
    other = [canonical(name) == NONE for name in found.cells["class"]]
    return _without(found, found.cells.loc[other, "label"].to_numpy())


def _without(found: Segmentation, left: npt.NDArray[np.integer[Any]]) -> Segmentation:
    """`found` without the cells of the integers `left`."""
    if not len(left):
        return found
    gone = np.isin(np.asarray(found.labels["cell"]), left)
    labels = {name: np.where(gone, 0, np.asarray(image)) for name, image in found.labels.items()}
    return replace(found, labels=labels, cells=found.cells[~found.cells["label"].isin(left)])


def whole_picture(truth: Truth, found: Segmentation) -> Row:
    """Scores of a picture's cells taken together: the aggregated Jaccard index of their masks."""
    if truth.cell is None:
        return {}
    labels = np.asarray(found.labels["cell"])
    return {"aji": metrics.aggregated_jaccard(truth.cell, labels)}
