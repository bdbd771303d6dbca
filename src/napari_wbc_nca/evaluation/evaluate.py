"""Measure a model against pictures with known cells."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from napari_wbc_nca.datasets.readers import NONE, WBC, read_rgb
from napari_wbc_nca.evaluation import class_maps
from napari_wbc_nca.evaluation.cases import MeasuredCell, cases, worst
from napari_wbc_nca.evaluation.figures import by_class, confusion, detection, summary
from napari_wbc_nca.evaluation.params import EvaluateParams, listed, measures_classes
from napari_wbc_nca.evaluation.scores import COLUMNS, reviewed, score, white, whole_picture
from napari_wbc_nca.evaluation.targets import Target, targets, truth
from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.images import read
from napari_wbc_nca.methods import registry
from napari_wbc_nca.params import as_dict, check, fields, from_mapping
from napari_wbc_nca.progress import Progress, run_to_end
from napari_wbc_nca.types import Checkpoint, Image

if TYPE_CHECKING:
    from napari_wbc_nca.evaluation.class_maps import ClassEvaluation
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.types import Segmentation


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    Attributes
    ----------
    cells
        One row a true cell, and one a predicted cell that is none.
    images
        One row a picture and projection.
    summary
        One row a projection and data set.
    classes
        One row a projection, data set and true class.
    confusion
        Counts: true types in rows, predicted classes in columns.
    worst
        Projection to the cells of lowest IoU, the lowest first.
    provenance
        Model, data and every parameter.
    """

    cells: pd.DataFrame
    images: pd.DataFrame
    summary: pd.DataFrame
    classes: pd.DataFrame
    confusion: pd.DataFrame
    worst: dict[str, list[MeasuredCell]]
    provenance: dict[str, Any]


def evaluate(
    model: str | Path | Checkpoint,
    data: str | Path,
    *,
    output: str | Path | None = None,
    **values: Any,
) -> Evaluation | ClassEvaluation:
    """Measure `model` on `data`, and write tables and plots into `output` where it is given.

    A model of `cellmixer` is measured pixel by pixel on pictures with masks, and by its white
    blood cells on boxes, points and a folder a class.

    Parameters
    ----------
    model
        Name of a model, file of a checkpoint, or the checkpoint itself.
    data
        Folder of pictures with masks, or weakly labelled data in any form that training takes.
    output
        Folder for the report; made where it does not exist.
    **values
        Fields of `EvaluateParams` and of the method's prediction parameters.

    Raises
    ------
    ValueError
        For an unknown parameter, and for data or a model that cannot be read.
    """
    checkpoint = model if isinstance(model, Checkpoint) else model_store.resolve(model)
    known = registry.get(checkpoint.method).predict_params
    own = {field.name for field in fields(EvaluateParams)}
    params = from_mapping(EvaluateParams, {k: v for k, v in values.items() if k in own})
    segment: Any = from_mapping(known, {k: v for k, v in values.items() if k not in own})
    if measures_classes([checkpoint], [data], params):
        classes = run_to_end(class_maps.measure([checkpoint], [data], segment))
        if output is not None:
            class_maps.write(classes, output)
        return classes
    measured = run_to_end(run(checkpoint, data, params, segment))
    if output is not None:
        from napari_wbc_nca.evaluation.report import write

        write(measured, output)
    return measured


def run(
    checkpoint: Checkpoint, data: str | Path, params: EvaluateParams, segment: NcaParams
) -> Generator[Progress, None, Evaluation]:
    """Measure `checkpoint` on `data` step by step; as :func:`evaluate`.

    Yields
    ------
    Progress
        After each picture.
    """
    measured = yield from measure(checkpoint, targets(data, check(params)), params, check(segment))
    return replace(measured, provenance={"data": str(data), **measured.provenance})


def measure(
    checkpoint: Checkpoint,
    pictures: Sequence[Target],
    params: EvaluateParams,
    segment: NcaParams,
) -> Generator[Progress, None, Evaluation]:
    """Measure `checkpoint` on `pictures`, with a progress after each.

    Crops of one cell are segmented with ``locate=whole``, whatever `segment` says.
    """
    settings = _settings(params, segment)
    cells: list[pd.DataFrame] = []
    images: list[dict[str, Any]] = []
    shown: dict[str, list[MeasuredCell]] = {name: [] for name in settings}
    for done, target in enumerate(pictures, start=1):
        for name, setting in settings.items():
            keys = {"projection": name, "data": target.sample.source, "image": target.name}
            rows, together, held = _measure(checkpoint, target, params, setting)
            cells.append(rows.assign(**keys))
            images.append(keys | detection(rows) | together)
            shown[name] = worst(shown[name] + held, params.worst)
        yield Progress(done, len(pictures), f"measured {target.name}")
    table = pd.concat(cells, ignore_index=True)[["projection", "data", "image", *COLUMNS]]
    types = listed(params.types) or [c for c in checkpoint.classes if c not in (NONE, WBC)]
    by_image = pd.DataFrame(images).dropna(axis="columns", how="all")
    return Evaluation(
        table,
        by_image,
        summary(table, types, by_image),
        by_class(table),
        confusion(table, types),
        shown,
        {
            "model": checkpoint.name,
            "sha256": checkpoint.sha256,
            "images": len(pictures),
            **as_dict(params),
            **as_dict(segment),
        },
    )


def _settings(params: EvaluateParams, segment: Any) -> dict[str, Any]:
    """Name to the parameters of each way that is compared: projections, where a method has them."""
    if "projection" not in as_dict(segment):
        return {"model": segment}
    names = listed(params.projections) or (segment.projection,)
    return {
        name: from_mapping(type(segment), as_dict(segment) | {"projection": name}) for name in names
    }


def _measure(
    checkpoint: Checkpoint, target: Target, params: EvaluateParams, segment: Any
) -> tuple[pd.DataFrame, dict[str, Any], list[MeasuredCell]]:
    """Scores of one picture's cells, and of all together, and the cells as they look."""
    known = {field.name: field.choices for field in fields(type(segment))}
    alone = target.whole and "whole" in known.get("locate", ())
    setting = replace(segment, locate="whole") if alone else segment
    true = truth(target)
    found = reviewed(true, white(run_to_end(predict(image_of(target), checkpoint, setting))))
    rows = score(true, found, params.overlap)
    rgb = read_rgb(target.sample)
    return rows, whole_picture(true, found), cases(target.name, rgb, true, found, rows)


def image_of(target: Target) -> Image:
    """The picture to be segmented, from its file or from memory."""
    if target.sample.pixels is not None:
        return Image(target.sample.pixels, target.name)
    return read(target.sample.path)


def predict(
    image: Image, checkpoint: Checkpoint, segment: NcaParams
) -> Generator[Progress, None, Segmentation]:
    """Segment one picture as every other face of the program does."""
    from napari_wbc_nca.workflow.segment import run

    return run(image, checkpoint, segment)
