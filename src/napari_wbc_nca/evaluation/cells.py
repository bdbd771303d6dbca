"""Measure the cells that a model predicts against the ground truth of images."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from napari_wbc_nca.cell_types import NONE, WBC
from napari_wbc_nca.datasets.samples import image_id, read_rgb
from napari_wbc_nca.evaluation import plots
from napari_wbc_nca.evaluation.ground_truth import EvaluationImage, read_ground_truth
from napari_wbc_nca.evaluation.report import Report, markdown
from napari_wbc_nca.evaluation.scores import (
    COLUMNS,
    class_metrics,
    confusion_table,
    count_centre_hits,
    detection_metrics,
    keep_white_cells,
    remove_unreviewed,
    score_cells,
    summarise,
)
from napari_wbc_nca.io.images import read
from napari_wbc_nca.ops import metrics
from napari_wbc_nca.params import as_dict, fields, from_mapping, split_names
from napari_wbc_nca.progress import Progress, run_to_end
from napari_wbc_nca.types import Checkpoint, Image, Segmentation
from napari_wbc_nca.workflow import segment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_wbc_nca.evaluation.params import EvaluateParams
    from napari_wbc_nca.methods.params import PredictParams

HEADLINE = {"f1": "F1", "cell_iou": "cell IoU", "pq": "PQ", "aji": "AJI"}
"""Main metrics, and their names for people."""


@dataclass(frozen=True, eq=False)
class CellEvaluation(Report):
    """Results of one model, measured by its cells.

    Attributes
    ----------
    cells
        One row a true cell, and one a predicted cell without a partner.
    images, summary, classes
        One row a projection and image, data set, or true class of a data set.
    confusion
        Counts: true types in rows, predicted classes in columns.
    worst
        Projection to the cells of lowest IoU, the lowest first.
    """

    stem: ClassVar[str] = "summary"

    cells: pd.DataFrame
    images: pd.DataFrame
    summary: pd.DataFrame
    classes: pd.DataFrame
    confusion: pd.DataFrame
    worst: dict[str, list[plots.CellCrop]]
    provenance: dict[str, Any]

    def text(self) -> str:
        """Return summary, classes and confusion as Markdown."""
        across = self.summary.set_index("projection").T.rename_axis("figure").reset_index()
        tables = {"Summary": across, "Classes": self.classes, "Confusion": self.confusion}
        parts = [f"## {name}\n\n{markdown(table)}" for name, table in tables.items() if len(table)]
        return self.join(self.provenance["model"], parts)

    def headline(self) -> str:
        """Return the number of cells and the main metrics in one line."""
        row = self.summary.iloc[0]
        shown = [f"{name} {row[key]:.3f}" for key, name in HEADLINE.items() if key in row]
        return f"{int(row['cells'])} cells: {', '.join(shown)}"

    def figures(self) -> dict[str, Figure]:
        """Plot scores, the confusion of types, and the cells of lowest IoU."""
        figures = {"scores": plots.plot_scores(self.cells)}
        for projection, table in self.confusion.groupby("projection"):
            counts = table.set_index("true").drop(columns="projection")
            figures[f"confusion_{projection}"] = plots.plot_confusion(counts)
        crops = {f"worst_{name}": crops for name, crops in self.worst.items() if crops}
        return figures | {name: plots.plot_cells(some) for name, some in crops.items()}


def measure_cells(
    checkpoint: Checkpoint,
    images: Sequence[EvaluationImage],
    params: EvaluateParams,
    settings: PredictParams,
) -> Generator[Progress, None, CellEvaluation]:
    """Measure the cells of one model, with progress after each image.

    Crops of one cell are segmented with ``locate=whole``, whatever `settings` says.
    """
    cells: list[pd.DataFrame] = []
    rows: list[dict[str, Any]] = []
    variants = _projections(params, settings)
    worst: dict[str, list[plots.CellCrop]] = {name: [] for name in variants}
    trained_on: list[str] = []
    for done, image in enumerate(images, start=1):
        rgb = read_rgb(image.sample)
        if image_id(rgb) in checkpoint.card.get("images", ()):
            trained_on.append(image.name)
        for name, setting in variants.items():
            keys = {"projection": name, "data": image.sample.source, "image": image.name}
            scores, together, crops = _measure(checkpoint, image, rgb, params, setting)
            cells.append(scores.assign(**keys))
            rows.append(keys | detection_metrics(scores) | together)
            worst[name] = plots.lowest_scores(worst[name] + crops, params.worst)
        yield Progress(done, len(images), f"measured {image.name}")
    table = pd.concat(cells, ignore_index=True)[["projection", "data", "image", *COLUMNS]]
    types = split_names(params.types) or [c for c in checkpoint.classes if c not in (NONE, WBC)]
    by_image = pd.DataFrame(rows).dropna(axis="columns", how="all")
    sources = {image.sample.source for image in images}
    notes = training_notes(checkpoint, sources, trained_on, len(images))
    return CellEvaluation(
        table,
        by_image,
        summarise(table, types, by_image),
        class_metrics(table),
        confusion_table(table, types),
        worst,
        {
            "model": checkpoint.name,
            "sha256": checkpoint.sha256,
            "images": len(images),
            "trained_on": trained_on,
            "notes": notes,
            **as_dict(params),
            **as_dict(settings),
        },
    )


def training_notes(
    checkpoint: Checkpoint, sources: set[str], trained_on: Sequence[str], count: int
) -> list[str]:
    """State which of `count` measured images the model was trained on, or may have been.

    `trained_on` names those that its card lists, and `sources` the measured data sets: cards of
    earlier versions list names of data sets only.
    """
    if trained_on:
        named = ", ".join(trained_on[:5]) + (", …" if len(trained_on) > 5 else "")
        return [
            f"{checkpoint.name} was trained on {len(trained_on)} of these {count} images "
            f"({named}); measure other images to learn how well it does on new ones"
        ]
    shared = sorted(sources & {*checkpoint.card.get("data", {})})
    if shared and "images" not in checkpoint.card:
        return [
            f"{checkpoint.name} was trained on a data set called {', '.join(shared)}; if it holds "
            "these images, measure others to learn how well it does on new ones"
        ]
    return []


def _projections(params: EvaluateParams, settings: Any) -> dict[str, Any]:
    """Return the parameters of each projection by its name, where a method has projections."""
    values = as_dict(settings)
    if "projection" not in values:
        return {"model": settings}
    names = split_names(params.projections) or (settings.projection,)
    return {name: from_mapping(type(settings), values | {"projection": name}) for name in names}


def _measure(
    checkpoint: Checkpoint, image: EvaluationImage, rgb: Any, params: EvaluateParams, settings: Any
) -> tuple[pd.DataFrame, dict[str, Any], list[plots.CellCrop]]:
    """Score the cells of one image one by one and together, and crop them out."""
    choices = {field.name: field.choices for field in fields(type(settings))}
    if image.whole and "whole" in choices.get("locate", ()):
        settings = replace(settings, locate="whole")
    truth = read_ground_truth(image)
    own = image.sample.pixels
    picture = read(image.sample.path) if own is None else Image(own, image.name)
    prediction = run_to_end(predict(picture, checkpoint, settings))
    prediction = remove_unreviewed(truth, keep_white_cells(prediction))
    scores = score_cells(truth, prediction, params.overlap)
    crops = plots.crop_cells(image.name, rgb, truth, prediction, scores)
    together: dict[str, Any] = {}
    if not truth.whole:
        together["centre_hits"] = count_centre_hits(truth, prediction, params.centre_distance)
    if truth.cell is None:
        return scores, together, crops
    aji = metrics.aggregated_jaccard(truth.cell, np.asarray(prediction.labels["cell"]))
    return scores, together | {"aji": aji}, crops


def predict(
    image: Image, checkpoint: Checkpoint, params: PredictParams
) -> Generator[Progress, None, Segmentation]:
    """Segment one image as the rest of the program does."""
    return segment.run(image, checkpoint, params)
