"""Two models side by side on the same pictures."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from napari_wbc_nca.evaluation.cases import MeasuredCell, worst
from napari_wbc_nca.evaluation.evaluate import Evaluation, measure
from napari_wbc_nca.evaluation.params import EvaluateParams
from napari_wbc_nca.evaluation.targets import Target, targets
from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods import registry
from napari_wbc_nca.params import as_dict, check, fields, from_mapping
from napari_wbc_nca.progress import Progress, map_progress, run_to_end
from napari_wbc_nca.types import Checkpoint

__all__ = ["Comparison", "compare", "run", "targets"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What two models make of the same pictures.

    Attributes
    ----------
    names
        Of the models; the second is told from the first where they are alike.
    evaluations
        What was measured of each.
    summary
        One row a figure: its value for each model, and the second's less the first's.
    cells
        One row a true cell: its score and predicted class for each model, the largest difference
        of scores first.
    disagreements
        The first of these cells, as each model outlines them.
    provenance
        Models, data and every parameter.
    """

    names: tuple[str, str]
    evaluations: tuple[Evaluation, Evaluation]
    summary: pd.DataFrame
    cells: pd.DataFrame
    disagreements: list[tuple[MeasuredCell, MeasuredCell]]
    provenance: dict[str, Any]


def compare(
    first: str | Path | Checkpoint,
    second: str | Path | Checkpoint,
    data: str | Path,
    *,
    output: str | Path | None = None,
    **values: Any,
) -> Comparison:
    """Measure two models on `data`; parameters as of :func:`~.evaluate.evaluate`."""
    own = {field.name for field in fields(EvaluateParams)}
    params = check(from_mapping(EvaluateParams, {k: v for k, v in values.items() if k in own}))
    models = [m if isinstance(m, Checkpoint) else model_store.resolve(m) for m in (first, second)]
    given = {name: value for name, value in values.items() if name not in own}
    found = run_to_end(run((models[0], models[1]), targets(data, params), params, given))
    if output is not None:
        from napari_wbc_nca.evaluation.report import write_comparison

        write_comparison(found, output)
    return found


def run(
    models: tuple[Checkpoint, Checkpoint],
    pictures: Sequence[Target],
    params: EvaluateParams,
    values: dict[str, Any] | None = None,
) -> Generator[Progress, None, Comparison]:
    """Measure two models step by step.

    Parameters
    ----------
    models
        To be compared, of any methods.
    pictures
        With known cells.
    params
        How is measured. Each model is run in its own way: `projections` are not compared.
    values
        Prediction parameters; each model takes those that its method has.

    Yields
    ------
    Progress
        After each picture and model.
    """
    every = replace(params, worst=sys.maxsize, projections="")
    measured = []
    for number, model in enumerate(models):
        steps = measure(model, pictures, every, _settings(model, values or {}))
        measured.append((yield from map_progress(steps, partial(_of_two, number, model.name))))
    a, b = models[0].name, models[1].name
    names = (a, b if b != a else f"{b} (2)")
    return _together(names, (measured[0], measured[1]), params)


def _of_two(number: int, name: str, step: Progress) -> Progress:
    """A step of one model, as one of both."""
    done = number * step.total + step.done
    return Progress(done, 2 * step.total, f"{name}: {step.message}")


def _settings(model: Checkpoint, values: dict[str, Any]) -> Any:
    cls = registry.get(model.method).predict_params
    known = {field.name for field in fields(cls)}
    return from_mapping(cls, {name: value for name, value in values.items() if name in known})


def _together(
    names: tuple[str, str], measured: tuple[Evaluation, Evaluation], params: EvaluateParams
) -> Comparison:
    table = _side_by_side(names, measured)
    cases = [{(c.image, c.cell): c for kept in e.worst.values() for c in kept} for e in measured]
    order = list(zip(table["image"].astype(str), table["cell"].astype(int), strict=True))
    shown = [key for key in order if all(key in known for known in cases)][: params.worst]
    kept = tuple(
        replace(e, worst={name: worst(some, params.worst) for name, some in e.worst.items()})
        for e in measured
    )
    return Comparison(
        names,
        (kept[0], kept[1]),
        _summary(names, measured),
        table,
        [(cases[0][key], cases[1][key]) for key in shown],
        {"models": [dict(e.provenance) for e in measured], **as_dict(params)},
    )


def _summary(names: tuple[str, str], measured: tuple[Evaluation, Evaluation]) -> pd.DataFrame:
    rows = [e.summary.iloc[0].drop(["projection", "data"]) for e in measured]
    table = pd.DataFrame(dict(zip(names, rows, strict=True))).astype(float)
    table["difference"] = table[names[1]] - table[names[0]]
    return table.rename_axis("figure").reset_index()


def _side_by_side(names: tuple[str, str], measured: tuple[Evaluation, Evaluation]) -> pd.DataFrame:
    """True cells with each model's score and class, where they differ most first."""
    keys = ["data", "image", "cell", "true"]
    tables = []
    for name, evaluation in zip(names, measured, strict=True):
        cells = evaluation.cells[evaluation.cells["cell"] > 0]
        score = cells["cell_iou"].fillna(cells["box_iou"])
        tables.append(
            cells[keys].assign(**{f"score {name}": score, f"class {name}": cells["predicted"]})
        )
    table = tables[0].merge(tables[1], on=keys)
    away = (table[f"score {names[0]}"] - table[f"score {names[1]}"]).abs()
    return table.loc[away.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)
