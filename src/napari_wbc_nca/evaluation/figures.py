"""Tables of an evaluation, made from its table of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from napari_wbc_nca.cell_types import WBC
from napari_wbc_nca.evaluation.scores import MISSED, SCORES, THRESHOLDS
from napari_wbc_nca.ops.metrics import balanced_accuracy, f1, panoptic_quality

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KEYS = ["projection", "data"]


def detection(cells: pd.DataFrame) -> dict[str, float]:
    """Counts, F1, panoptic quality, and mean IoU and Dice of `cells`; a missed cell scores 0.

    ``f1_at_0.75`` is F1 where a cell counts as found from an IoU of 0.75 on; of masks, or of
    boxes where only those are known.
    """
    true = cells[cells["cell"] > 0]
    predicted, hits = int((cells["label"] > 0).sum()), int(cells["hit"].sum())
    scores = true["cell_iou"].fillna(true["box_iou"]).dropna()
    measured = {"pq": panoptic_quality(scores, len(true), predicted)} | {
        f"f1_at_{least:g}": f1(int((scores >= least).sum()), len(true), predicted)
        for least in THRESHOLDS
    }
    return {
        "cells": len(true),
        "predicted": predicted,
        "hits": hits,
        "f1": f1(hits, len(true), predicted),
        **{name: true[name].mean() for name in SCORES},
        **(measured if len(scores) else dict.fromkeys(measured, float("nan"))),
    }


def figures(cells: pd.DataFrame, types: Sequence[str]) -> dict[str, float]:
    """All figures of `cells`: those of :func:`detection`, precision, recall and types.

    Types are compared over the true cells of `types`. ``type_balanced`` is the accuracy among
    those found, balanced over the types; in ``type_balanced_all`` a missed cell counts as wrong;
    ``type_accuracy`` is the plain share of right ones among those found.
    """
    counted = detection(cells)
    typed = cells[cells["true"].isin(types)]
    found = typed[typed["found"]]
    return counted | {
        "precision": _share(counted["hits"], counted["predicted"]),
        "recall": _share(counted["hits"], counted["cells"]),
        "cell_iou_sd": cells.loc[cells["cell"] > 0, "cell_iou"].std(),
        "typed_cells": len(typed),
        "type_balanced": balanced_accuracy(list(found["true"]), list(found["predicted"])),
        "type_balanced_all": balanced_accuracy(list(typed["true"]), list(_answers(typed))),
        "type_accuracy": _share((found["true"] == found["predicted"]).sum(), len(found)),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _answers(cells: pd.DataFrame) -> pd.Series[str]:
    return cells["predicted"].where(cells["found"], MISSED)


def summary(
    cells: pd.DataFrame, types: Sequence[str], images: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Figures of each projection over all data sets, and over each where there are several.

    ``aji`` is the mean over the `images` that have one.
    """
    table = _summary(cells, types, images)
    if (cells if images is None else images)["data"].nunique() > 1:
        every = None if images is None else images.assign(data="all")
        both = _summary(cells.assign(data="all"), types, every)
        table = pd.concat([both, table], ignore_index=True)
    return table.dropna(axis="columns", how="all")


def _summary(
    cells: pd.DataFrame, types: Sequence[str], images: pd.DataFrame | None
) -> pd.DataFrame:
    # Of a data set without cells, true or found, only its pictures tell.
    places = (cells if images is None else images)[KEYS].drop_duplicates()
    table = pd.DataFrame(
        place | figures(cells[(cells[KEYS] == pd.Series(place)).all(axis=1)], types)
        for place in places.to_dict("records")
    )
    if images is None or "aji" not in images:
        return table
    return table.merge(images.groupby(KEYS, sort=False)["aji"].mean().reset_index(), "left", KEYS)


def by_class(cells: pd.DataFrame) -> pd.DataFrame:
    """Figures of the true cells of each class; ``typed_right`` is a share of those found.

    In ``pq``, a cell found in vain counts against the class that was predicted.
    """
    spare = cells[cells["cell"] == 0].groupby([*KEYS, "predicted"]).size().to_dict()

    def of_class(part: pd.DataFrame) -> dict[str, float]:
        found = part[part["found"] & (part["true"] != WBC)]
        scores = part["cell_iou"].fillna(part["box_iou"]).dropna()
        vain = spare.get(tuple(part.iloc[0][[*KEYS, "true"]]), 0)
        given = int((part["label"] > 0).sum()) + vain
        return {
            "cells": len(part),
            "found": part["found"].mean(),
            "typed_right": _share((found["true"] == found["predicted"]).sum(), len(found)),
            **{name: part[name].mean() for name in SCORES},
            "pq": panoptic_quality(scores, len(part), given) if len(scores) else float("nan"),
        }

    true = cells[cells["cell"] > 0]
    return _grouped(true, [*KEYS, "true"], of_class).dropna(axis="columns", how="all")


def confusion(cells: pd.DataFrame, types: Sequence[str]) -> pd.DataFrame:
    """Cells of each projection and true type in rows, predicted classes in columns."""
    typed = cells[cells["true"].isin(types)]
    answers = _answers(typed)
    columns = [*types, *sorted(set(answers) - {*types, MISSED}), MISSED]
    rows = [name for name in types if name in set(typed["true"])]

    def counts(part: pd.DataFrame) -> pd.DataFrame:
        table = pd.crosstab(part["true"], answers[part.index])
        return table.reindex(index=rows, columns=columns, fill_value=0)

    tables = {name: counts(part) for name, part in typed.groupby("projection", sort=False)}
    if not tables:
        return pd.DataFrame(columns=["projection", "true", *columns])
    return pd.concat(tables, names=["projection"]).rename_axis(columns=None).reset_index()


def _grouped(
    cells: pd.DataFrame, keys: list[str], compute: Callable[[pd.DataFrame], dict[str, float]]
) -> pd.DataFrame:
    rows = [
        dict(zip(keys, names, strict=True)) | compute(part)
        for names, part in cells.groupby(keys, sort=False)
    ]
    return pd.DataFrame(rows)
