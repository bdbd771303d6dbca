"""``evaluate``: a model, or a method in folds, against known cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_wbc_nca.cli import console
from napari_wbc_nca.cli.options import given, make, with_fields
from napari_wbc_nca.cli.segment import PREDICT, load
from napari_wbc_nca.cli.train import TRAIN
from napari_wbc_nca.evaluation.params import (
    CLASS_METHOD,
    CrossValidateParams,
    EvaluateParams,
    measures_classes,
)
from napari_wbc_nca.params import fields

if TYPE_CHECKING:
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.types import Checkpoint


def class_models(names: str, against: str = "") -> list[Checkpoint]:
    """Models that are measured pixel by pixel, side by side.

    Parameters
    ----------
    names
        Of one model, or of several joined by commas.
    against
        Of another; empty where there is none.

    Returns
    -------
    list of Checkpoint
        None where one of two models has another method: their cells can be compared.

    Raises
    ------
    typer.BadParameter
        When one of several joined by commas has another method.
    """
    listed = [names] if Path(names).exists() else [name.strip() for name in names.split(",")]
    models = [load(name) for name in [*listed, *([against] if against else [])]]
    other = [model for model in models if model.method != CLASS_METHOD]
    if other and len(listed) > 1:
        found = ", ".join(f"{model.name} is a model of {model.method}" for model in other)
        raise typer.BadParameter(
            "models joined by commas are measured pixel by pixel, so all must be of "
            f"{CLASS_METHOD}, but {found}; give one model, and a second with --against"
        )
    return [] if other else models


def evaluate_classes(
    models: Sequence[Checkpoint], data: Sequence[Path], output: Path, values: dict[str, Any]
) -> None:
    """Print accuracy and IoU of each class, model and data set, and keep them in `output`."""
    from napari_wbc_nca.evaluation import class_maps as workflow

    params: Any = make(PREDICT[CLASS_METHOD], values, CLASS_METHOD)
    title = ", ".join(model.name for model in models)
    try:
        measured = console.follow(workflow.measure(models, data, params), title)
        workflow.write(measured, output)
    except (ValueError, OSError) as error:
        raise console.stop(error) from error
    console.say(workflow.text(measured.table))
    console.say(f"Tables are in {output}")


OWN = {field.name for field in fields(CrossValidateParams)}


@with_fields({"evaluate": EvaluateParams, **PREDICT})
def evaluate(
    model: Annotated[
        str, typer.Argument(help="Name or file of a model; with --folds, name of a method.")
    ],
    data: Annotated[
        list[Path],
        typer.Argument(
            help="Pictures with masks, or labelled as for training; several with --folds."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for tables and plots.")
    ] = Path("wbc-evaluation"),
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Train in so many folds, and test on each data set.", metavar="K"),
    ] = None,
    train: Annotated[
        list[str] | None,
        typer.Option(help="Parameter of the training in folds, such as epochs=20; repeatable."),
    ] = None,
    against: Annotated[
        str,
        typer.Option(help="Second model, by name or file, to compare with.", show_default="none"),
    ] = "",
    **values: Any,
) -> None:
    """Measure a model on pictures whose cells are known, two side by side, or a method in folds."""
    own = {name: value for name, value in values.items() if name in OWN}
    segment = {name: value for name, value in values.items() if name not in OWN}
    if folds is not None and against:
        raise typer.BadParameter("--against compares two models, and --folds trains; give one")
    if folds is not None:
        _folds(model, data, output, own | {"folds": folds}, segment, train or [])
        return
    models, params = class_models(model, against), make(EvaluateParams, own)
    several = not against and len(models) + len(data) > 2
    if models and (several or _by_classes(models, data, params)):
        evaluate_classes(models, data, output, segment)
        return
    if len(data) > 1 or train:
        raise typer.BadParameter("several data sets, or --train, need --folds")
    from napari_wbc_nca.evaluation import evaluate as workflow
    from napari_wbc_nca.evaluation import report

    checkpoint = load(model)
    if against:
        _compare((checkpoint, load(against)), data[0], output, params, given(segment))
        return
    settings: NcaParams = make(PREDICT[checkpoint.method], segment)
    try:
        measured = console.follow(
            workflow.run(checkpoint, data[0], params, settings), f"{checkpoint.name} on {data[0]}"
        )
        report.write(measured, output)
    except (ValueError, OSError) as error:
        raise console.stop(error) from error
    console.say(report.text(measured))
    console.say(f"Tables and plots are in {output}")


def _by_classes(models: list[Checkpoint], data: list[Path], params: EvaluateParams) -> bool:
    try:
        return measures_classes(models, data, params)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _compare(
    models: tuple[Checkpoint, Checkpoint],
    data: Path,
    output: Path,
    params: EvaluateParams,
    segment: dict[str, Any],
) -> None:
    from napari_wbc_nca.evaluation import compare, report

    try:
        steps = compare.run(models, compare.targets(data, params), params, segment)
        measured = console.follow(steps, f"{models[0].name} and {models[1].name} on {data}")
        report.write_comparison(measured, output)
    except (ValueError, OSError) as error:
        raise console.stop(error) from error
    console.say(report.comparison_text(measured))
    console.say(f"Tables and plots are in {output}")


def _folds(
    method: str,
    data: list[Path],
    output: Path,
    own: dict[str, Any],
    segment: dict[str, Any],
    train: list[str],
) -> None:
    from napari_wbc_nca.evaluation import cross_validate, report

    if method not in TRAIN:
        raise typer.BadParameter(
            f"with --folds, the first argument is a method: {', '.join(TRAIN)}; got {method!r}"
        )
    params = make(CrossValidateParams, own)
    settings: NcaParams = make(PREDICT[method], segment)
    learn: Any = make(TRAIN[method], assigned(train, TRAIN[method]))
    try:
        steps = cross_validate.cross_validate(method, data, params, learn, settings)
        measured = console.follow(steps, method)
        report.write_transfer(measured, output)
    except (ValueError, OSError) as error:
        raise console.stop(error) from error
    console.say(report.transfer_text(measured))
    console.say(f"Tables and plots are in {output}")


def assigned(texts: list[str], cls: type) -> dict[str, Any]:
    """Values written ``name=value``, in the types of the fields of `cls`.

    Raises
    ------
    typer.BadParameter
        For what is not of that form, is no field, or has another type.
    """
    types = {field.name: field.type for field in fields(cls)}
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in types:
            raise typer.BadParameter(
                f"{text!r}: expected name=value with a name of {', '.join(types)}",
                param_hint="--train",
            )
        found[name] = _value(text, value.strip(), types[name])
    return found


def _value(text: str, value: str, kind: Any) -> Any:
    known = {**dict.fromkeys(("true", "yes"), True), **dict.fromkeys(("false", "no"), False)}
    try:
        if kind is bool:
            return known[value.lower()]
        return kind(value) if kind in (int, float) else value
    except (KeyError, ValueError) as error:
        raise typer.BadParameter(
            f"{text!r}: expected a value of type {kind.__name__}", param_hint="--train"
        ) from error
