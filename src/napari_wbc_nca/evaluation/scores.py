"""Score predicted cells against the ground truth, and tabulate the scores."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage

from napari_wbc_nca.cell_types import NONE, WBC, canonical
from napari_wbc_nca.ops import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wbc_nca.evaluation.ground_truth import GroundTruth
    from napari_wbc_nca.types import Segmentation

Row = dict[str, Any]

SCORES = ("cell_iou", "cell_dice", "nucleus_iou", "pca_iou", "box_iou")
COLUMNS = {
    **{"cell": "int64", "true": "str", "label": "int64", "predicted": "str"},
    **{"confidence": "float64", "hit": "bool", "found": "bool"},
    **dict.fromkeys(SCORES, "float64"),
}
"""Columns of the table of measured cells, and their types."""
MISSED = "missed"
"""Predicted class of a true cell without a partner."""
THRESHOLDS = (0.5, 0.75, 0.9)
"""Smallest IoU of a hit, in the metrics ``f1_at``."""

_KEYS = ["projection", "data"]


def score_cells(truth: GroundTruth, prediction: Segmentation, overlap: float) -> pd.DataFrame:
    """Match the true cells of an image with the predicted ones, and score each pair.

    Each true cell is paired with at most one predicted cell, so that the sum of their IoU is
    largest: of masks, or of boxes that share at least `overlap`; in a crop, with the largest
    predicted cell.

    The table has `COLUMNS`, one row a true cell, then one a predicted cell without a partner.
    ``cell`` counts from 1 and is 0 for the latter; ``label`` is 0 for a missed cell, whose scores
    are 0; scores that need a mask or box that is not there are NaN. ``hit``: the IoU is at least
    `overlap`. ``found``: a hit, or the cell of a crop, whose type counts however bad its mask is.
    """
    shared = _pair_scores(truth, prediction)
    partner = dict(metrics.match_scores(shared, 0 if truth.boxes is None else overlap).tolist())
    predicted = [
        {"label": cell["label"], "predicted": cell["class"], "confidence": cell.get("confidence")}
        for cell in prediction.cells.to_dict("records")
    ]
    rows: list[Row] = []
    for i, name in enumerate(truth.names):
        cell = predicted[partner[i]] if i in partner else {"label": 0, "predicted": MISSED}
        iou = float(shared[i, partner[i]]) if i in partner else 0.0
        row = {"cell": i + 1, "true": name, **cell}
        row |= _mask_scores(truth, i + 1, prediction, row["label"])
        if truth.boxes is not None:
            row["box_iou"] = iou
        row["hit"] = row.get("cell_iou", iou) >= overlap
        row["found"] = row["hit"] or (truth.whole and i in partner)
        rows.append(row)
    spare = [cell for j, cell in enumerate(predicted) if j not in partner.values()]
    rows += [{"cell": 0, "true": "", "hit": False, "found": False} | cell for cell in spare]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _pair_scores(truth: GroundTruth, prediction: Segmentation) -> npt.NDArray[np.float64]:
    """Score each pair of a true (row) and a predicted cell (column): ``(N, M)``, 0–1."""
    area = prediction.cells["area_px"].to_numpy(np.float64)
    if truth.whole:
        return np.asarray(area / area.max(initial=1.0))[None]
    if truth.cell is not None:
        return metrics.label_iou(truth.cell, np.asarray(prediction.labels["cell"]))
    boxes = prediction.cells[["box_y0", "box_x0", "box_y1", "box_x1"]].to_numpy(np.float64)
    true = np.zeros((0, 4)) if truth.boxes is None else truth.boxes
    points = true[:, None, :2]
    inside = ((boxes[:, :2] <= points) & (points < boxes[:, 2:])).all(axis=-1)
    is_point = (true[:, :2] == true[:, 2:]).all(axis=1)
    return np.asarray(np.where(is_point[:, None], inside, metrics.box_iou(true, boxes)), np.float64)


def _mask_scores(truth: GroundTruth, number: int, prediction: Segmentation, label: int) -> Row:
    if truth.cell is None:
        return {}
    pairs = {"cell": truth.cell}
    if truth.nucleus is not None and "nucleus" in prediction.labels:
        pairs["nucleus"] = truth.nucleus
    if "pca" in prediction.labels:
        pairs["pca"] = truth.cell
    if not label:
        return {"cell_dice": 0.0} | {f"{name}_iou": 0.0 for name in pairs}
    masks = {
        name: (true == number, np.asarray(prediction.labels[name]) == label)
        for name, true in pairs.items()
    }
    scores = {f"{name}_iou": metrics.iou(*pair) for name, pair in masks.items()}
    return scores | {"cell_dice": metrics.dice(*masks["cell"])}


def count_centre_hits(truth: GroundTruth, prediction: Segmentation, distance: float) -> int:
    """Count the true cells with a predicted centre within `distance` pixels, matched one to one.

    The centre of a predicted cell is the peak by which it was detected, where there is one.
    """
    if truth.cell is not None:
        numbers = np.arange(1, len(truth.names) + 1)
        true = np.asarray(ndimage.center_of_mass(truth.cell > 0, truth.cell, numbers))
    else:
        boxes = np.zeros((0, 4)) if truth.boxes is None else truth.boxes
        true = (boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5 * (boxes[:, :2] < boxes[:, 2:])
    kind = "peak" if "peak_y" in prediction.cells else "centroid"
    found = prediction.cells[[f"{kind}_y", f"{kind}_x"]].to_numpy(np.float64)
    return len(metrics.match_points(true, found, distance))


def remove_unreviewed(truth: GroundTruth, prediction: Segmentation) -> Segmentation:
    """Remove cells that lie mostly where nobody reviewed: they are neither right nor wrong."""
    if truth.ignored is None or not truth.ignored.any():
        return prediction
    cell = np.asarray(prediction.labels["cell"])
    size = np.bincount(cell.ravel())
    hidden = np.bincount(cell[truth.ignored], minlength=len(size))
    return _remove(prediction, np.flatnonzero((hidden > size / 2) & (np.arange(len(size)) > 0)))


def keep_white_cells(prediction: Segmentation) -> Segmentation:
    """Remove red cells, platelets and the like, which no ground truth here holds."""
    other = [canonical(name) == NONE for name in prediction.cells["class"]]
    return _remove(prediction, prediction.cells.loc[other, "label"].to_numpy())


def _remove(prediction: Segmentation, labels: npt.NDArray[np.integer[Any]]) -> Segmentation:
    """Remove the cells of some labels from the label images and the table."""
    if not len(labels):
        return prediction
    gone = np.isin(np.asarray(prediction.labels["cell"]), labels)
    images = {k: np.where(gone, 0, np.asarray(image)) for k, image in prediction.labels.items()}
    cells = prediction.cells[~prediction.cells["label"].isin(labels)]
    return replace(prediction, labels=images, cells=cells)


def detection_metrics(cells: pd.DataFrame) -> dict[str, float]:
    """Compute counts, F1, panoptic quality, and mean IoU and Dice; a missed cell scores 0.

    ``f1_at_0.75`` is F1 where a cell counts as found from an IoU of 0.75 on; of masks, or of
    boxes where only those are known.
    """
    true = cells[cells["cell"] > 0]
    predicted, hits = int((cells["label"] > 0).sum()), int(cells["hit"].sum())
    scores = true["cell_iou"].fillna(true["box_iou"]).dropna()
    by_iou = {"pq": metrics.panoptic_quality(scores, len(true), predicted)} | {
        f"f1_at_{threshold:g}": metrics.f1(int((scores >= threshold).sum()), len(true), predicted)
        for threshold in THRESHOLDS
    }
    return {
        "cells": len(true),
        "predicted": predicted,
        "hits": hits,
        "f1": metrics.f1(hits, len(true), predicted),
        **{name: true[name].mean() for name in SCORES},
        **(by_iou if len(scores) else dict.fromkeys(by_iou, float("nan"))),
    }


def cell_metrics(cells: pd.DataFrame, types: Sequence[str]) -> dict[str, float]:
    """Compute the metrics of :func:`detection_metrics`, precision, recall, and those of types.

    Types are compared over the true cells of `types`. ``type_balanced`` is the accuracy among
    those found, balanced over the types; in ``type_balanced_all`` a missed cell counts as wrong;
    ``type_accuracy`` is the plain share of right ones among those found.
    """
    detected = detection_metrics(cells)
    typed = cells[cells["true"].isin(types)]
    found = typed[typed["found"]]
    predicted = _predicted_types(typed)
    return detected | {
        "precision": _ratio(detected["hits"], detected["predicted"]),
        "recall": _ratio(detected["hits"], detected["cells"]),
        "cell_iou_sd": cells.loc[cells["cell"] > 0, "cell_iou"].std(),
        "typed_cells": len(typed),
        "type_balanced": metrics.balanced_accuracy(list(found["true"]), list(found["predicted"])),
        "type_balanced_all": metrics.balanced_accuracy(list(typed["true"]), list(predicted)),
        "type_accuracy": _ratio((found["true"] == found["predicted"]).sum(), len(found)),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _predicted_types(cells: pd.DataFrame) -> pd.Series[str]:
    return cells["predicted"].where(cells["found"], MISSED)


def summarise(cells: pd.DataFrame, types: Sequence[str], images: pd.DataFrame) -> pd.DataFrame:
    """Compute the metrics of each projection over all data sets, and over each of several.

    ``aji`` is the mean over the `images` that have one, ``centre_f1`` the F-measure of centres.
    """
    if images["data"].nunique() > 1:
        cells = pd.concat([cells.assign(data="all"), cells], ignore_index=True)
        images = pd.concat([images.assign(data="all"), images], ignore_index=True)
    # A data set without cells, true or predicted, is known by its images only.
    table = pd.DataFrame(
        keys | cell_metrics(cells[(cells[_KEYS] == pd.Series(keys)).all(axis=1)], types)
        for keys in images[_KEYS].drop_duplicates().to_dict("records")
    )
    if "aji" in images:
        aji = images.groupby(_KEYS, sort=False)["aji"].mean().reset_index()
        table = table.merge(aji, "left", _KEYS)
    if "centre_hits" in images:
        hits = images.groupby(_KEYS, sort=False)["centre_hits"].sum(min_count=1).reset_index()
        table = table.merge(hits, "left", _KEYS)
        counts = zip(table.pop("centre_hits"), table["cells"], table["predicted"], strict=True)
        table["centre_f1"] = [metrics.f1(h, n, m) if h == h else np.nan for h, n, m in counts]
    return table.dropna(axis="columns", how="all")


def class_metrics(cells: pd.DataFrame) -> pd.DataFrame:
    """Compute the metrics of the true cells of each class; ``typed_right`` of those found.

    In ``pq``, a predicted cell without a partner counts against its predicted class.
    """
    spare = cells[cells["cell"] == 0].groupby([*_KEYS, "predicted"]).size().to_dict()
    rows: list[dict[Any, Any]] = []
    keys = [*_KEYS, "true"]
    for _, part in cells[cells["cell"] > 0].groupby(keys, sort=False):
        names = part.iloc[0][keys].to_dict()
        found = part[part["found"] & (part["true"] != WBC)]
        scores = part["cell_iou"].fillna(part["box_iou"]).dropna()
        count = int((part["label"] > 0).sum()) + spare.get(tuple(names.values()), 0)
        pq = metrics.panoptic_quality(scores, len(part), count) if len(scores) else float("nan")
        rows.append(
            {
                **names,
                "cells": len(part),
                "found": part["found"].mean(),
                "typed_right": _ratio((found["true"] == found["predicted"]).sum(), len(found)),
                **{name: part[name].mean() for name in SCORES},
                "pq": pq,
            }
        )
    return pd.DataFrame(rows).dropna(axis="columns", how="all")


def confusion_table(cells: pd.DataFrame, types: Sequence[str]) -> pd.DataFrame:
    """Count the cells of each projection and true type (rows) by predicted class (columns)."""
    typed = cells[cells["true"].isin(types)]
    predicted = _predicted_types(typed)
    columns = [*types, *sorted(set(predicted) - {*types, MISSED}), MISSED]
    rows = [name for name in types if name in set(typed["true"])]
    tables = {
        name: pd.crosstab(part["true"], predicted[part.index]).reindex(
            index=rows, columns=columns, fill_value=0
        )
        for name, part in typed.groupby("projection", sort=False)
    }
    if not tables:
        return pd.DataFrame(columns=["projection", "true", *columns])
    return pd.concat(tables, names=["projection"]).rename_axis(columns=None).reset_index()
