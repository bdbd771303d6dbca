"""Evaluate a model, or compare two, on images whose true cells or classes are known."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from napari_wbc_nca.datasets.samples import Sample
from napari_wbc_nca.evaluation import plots
from napari_wbc_nca.evaluation.cells import HEADLINE, CellEvaluation, measure_cells
from napari_wbc_nca.evaluation.class_maps import measure_classes
from napari_wbc_nca.evaluation.ground_truth import EvaluationImage, read_images
from napari_wbc_nca.evaluation.params import EvaluateParams, measures_classes
from napari_wbc_nca.evaluation.report import Report, markdown, write_report
from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods import registry
from napari_wbc_nca.params import as_dict, check, fields, from_mapping
from napari_wbc_nca.progress import Progress, map_progress, run_to_end
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_wbc_nca.methods.params import PredictParams

Data = str | Path | Sequence[str | Path] | Sequence[Sample]


@dataclass(frozen=True, eq=False)
class Comparison(Report):
    """Results of two models, `evaluations`, on the same images.

    Attributes
    ----------
    names
        Of the models; the second gets a number where both are alike.
    summary
        One row a metric: its value for each model, and the second's less the first's.
    cells
        One row a true cell: its score and predicted class for each model, the largest difference
        of scores first.
    disagreements
        The first of these cells, as each model segments them.
    """

    stem: ClassVar[str] = "comparison"

    names: tuple[str, str]
    evaluations: tuple[CellEvaluation, CellEvaluation]
    summary: pd.DataFrame
    cells: pd.DataFrame
    disagreements: list[tuple[plots.CellCrop, plots.CellCrop]]
    provenance: dict[str, Any]

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables by name."""
        return {"comparison": self.summary, "cells": self.cells}

    def text(self) -> str:
        """Return the metrics of both models side by side as Markdown."""
        return self.join(" and ".join(self.names), [markdown(self.summary)])

    def headline(self) -> str:
        """Return the main metrics of both models in one line."""
        rows = self.summary.set_index("figure")[list(self.names)].T.map("{:.3f}".format)
        texts = [f"{name} {' and '.join(rows[k])}" for k, name in HEADLINE.items() if k in rows]
        return f"{' and '.join(self.names)}: {', '.join(texts)}"

    def figures(self) -> dict[str, Figure]:
        """Plot the cells that the models segment most differently."""
        pairs = self.disagreements
        return {"disagreements": plots.plot_disagreements(pairs)} if pairs else {}

    def parts(self) -> dict[str, Report]:
        """Return the report of each model."""
        return dict(zip(("first", "second"), self.evaluations, strict=True))


def evaluate(
    model: str | Path | Checkpoint,
    data: Data,
    *,
    against: str | Path | Checkpoint | None = None,
    output: str | Path | None = None,
    **values: Any,
) -> Report:
    """Measure a model on `data`, alone or `against` a second one.

    Models of `cellmixer` are measured pixel by pixel on images with masks, and by their white
    blood cells on boxes, points and a folder a class.

    Parameters
    ----------
    model, against
        Name of a model, file of a checkpoint, or the checkpoint itself.
    data
        Folder of images with masks, or weakly labelled data in any form that training takes;
        several folders of images with the class of each pixel; or samples.
    output
        Folder for the report; made where it does not exist.
    **values
        Fields of `EvaluateParams` and of the prediction parameters of the models' methods.

    Returns
    -------
    Report
        A `CellEvaluation`, `ClassEvaluation` or `Comparison`.

    Raises
    ------
    ValueError
        For an unknown parameter, and for data or a model that cannot be read.
    """
    names = [model] if against is None else [model, against]
    models = [m if isinstance(m, Checkpoint) else model_store.resolve(m) for m in names]
    own = {field.name for field in fields(EvaluateParams)}
    params = from_mapping(EvaluateParams, {k: v for k, v in values.items() if k in own})
    settings = {k: v for k, v in values.items() if k not in own}
    report = run_to_end(run(models, data, params, settings))
    if output is not None:
        write_report(report, output)
    return report


def run(
    models: Sequence[Checkpoint],
    data: Data,
    params: EvaluateParams,
    values: Mapping[str, Any] | None = None,
) -> Generator[Progress, None, Report]:
    """Check the parameters, and return the steps of :func:`evaluate`.

    `models` are one or two; any number of `cellmixer`, where images with masks are measured. Each
    takes those prediction parameters `values` that its method has. A ValueError names a parameter
    that is unknown, out of bounds or has no effect here, and more models or data sets than can be
    measured together.
    """
    check(params)
    settings = prediction_params(models, values or {})
    listed = [data] if isinstance(data, str | Path) else list(data)
    folders = [one for one in listed if not isinstance(one, Sample)]
    if folders and measures_classes(models, folders, params):
        return measure_classes(models, folders, settings[0])
    if len(models) > 2 or len(folders) > 1:
        raise ValueError(
            f"got {len(models)} models and {len(folders)} data sets; expected one or two models "
            "and one data set, unless cellmixer is measured on images with masks"
        )
    samples = [one for one in listed if isinstance(one, Sample)]
    return _measure(models, folders, samples, params, settings)


def prediction_params(
    models: Sequence[Checkpoint], values: Mapping[str, Any]
) -> list[PredictParams]:
    """Make the prediction parameters of each model from those `values` that its method has.

    A name that no method has and a value that is out of bounds raise ValueError.
    """
    classes: list[Any] = [registry.get(model.method).predict_params for model in models]
    names = [{field.name for field in fields(cls)} for cls in classes]
    unknown = {name: value for name, value in values.items() if name not in set().union(*names)}
    return [
        from_mapping(cls, unknown | {n: v for n, v in values.items() if n in own})
        for cls, own in zip(classes, names, strict=True)
    ]


def _measure(
    models: Sequence[Checkpoint],
    folders: Sequence[str | Path],
    samples: Sequence[Sample],
    params: EvaluateParams,
    settings: Sequence[PredictParams],
) -> Generator[Progress, None, Report]:
    """Measure one model or two by their cells."""
    images = [image for folder in folders for image in read_images(folder, params)]
    images += [EvaluationImage(sample, None, whole=False) for sample in samples]
    source = {"data": str(folders[0])} if folders else {}
    if len(models) == 1:
        report = yield from measure_cells(models[0], images, params, settings[0])
        return replace(report, provenance={**source, **report.provenance})
    # All cells are kept, since those of the largest differences are not known before the end.
    every = replace(params, worst=sys.maxsize, projections="")
    measured = []
    for number, (model, own) in enumerate(zip(models, settings, strict=True)):
        to_both = partial(_scale_step, number, model.name)
        measured.append(
            (yield from map_progress(measure_cells(model, images, every, own), to_both))
        )
    comparison = _compare((models[0].name, models[1].name), measured, params)
    return replace(comparison, provenance={**source, **comparison.provenance})


def _scale_step(number: int, name: str, step: Progress) -> Progress:
    """Convert a step of one of two models into a step of both."""
    done = number * step.total + step.done
    return Progress(done, 2 * step.total, f"{name}: {step.message}")


def _compare(
    names: tuple[str, str], measured: Sequence[CellEvaluation], params: EvaluateParams
) -> Comparison:
    """Put the results of two models side by side."""
    first, second = names
    names = (first, second if second != first else f"{second} (2)")
    table = _join_cells(names, measured)
    crops = [{(c.image, c.cell): c for some in e.worst.values() for c in some} for e in measured]
    order = list(zip(table["image"].astype(str), table["cell"].astype(int), strict=True))
    common = [key for key in order if all(key in known for known in crops)][: params.worst]
    one, two = (
        replace(e, worst={k: plots.lowest_scores(v, params.worst) for k, v in e.worst.items()})
        for e in measured
    )
    return Comparison(
        names,
        (one, two),
        _join_summaries(names, measured),
        table,
        [(crops[0][key], crops[1][key]) for key in common],
        {
            "models": [dict(e.provenance) for e in measured],
            "notes": list(dict.fromkeys(note for e in measured for note in e.notes)),
            **as_dict(params),
        },
    )


def _join_summaries(names: tuple[str, str], measured: Sequence[CellEvaluation]) -> pd.DataFrame:
    rows = [e.summary.iloc[0].drop(["projection", "data"]) for e in measured]
    table = pd.DataFrame(dict(zip(names, rows, strict=True))).astype(float)
    table["difference"] = table[names[1]] - table[names[0]]
    return table.rename_axis("figure").reset_index()


def _join_cells(names: tuple[str, str], measured: Sequence[CellEvaluation]) -> pd.DataFrame:
    """Join the true cells with each model's score and class, the largest difference first."""
    keys = ["data", "image", "cell", "true"]
    tables = []
    for name, evaluation in zip(names, measured, strict=True):
        cells = evaluation.cells[evaluation.cells["cell"] > 0]
        score = cells["cell_iou"].fillna(cells["box_iou"])
        tables.append(
            cells[keys].assign(**{f"score {name}": score, f"class {name}": cells["predicted"]})
        )
    table = tables[0].merge(tables[1], on=keys)
    difference = (table[f"score {names[0]}"] - table[f"score {names[1]}"]).abs()
    order = difference.sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)
