"""``evaluate``: measure models, or cross-validate a method, on images whose cells are known."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_wbc_nca.cli import console
from napari_wbc_nca.cli.options import drop_unset, make, with_fields
from napari_wbc_nca.cli.segment import PREDICT, load
from napari_wbc_nca.cli.train import TRAIN, training_params_of
from napari_wbc_nca.evaluation.params import CLASS_METHOD, CrossValidateParams, EvaluateParams
from napari_wbc_nca.methods.recipes import describe_recipe
from napari_wbc_nca.params import fields, split_names

if TYPE_CHECKING:
    from napari_wbc_nca.evaluation.report import Report
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint

_EVALUATE = {field.name for field in fields(CrossValidateParams)}


@with_fields({"evaluate": EvaluateParams, **PREDICT})
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="Name or file of a model; several of cellmixer, joined by commas; with --folds, "
            "name of a method."
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Argument(
            help="Images with masks, or labelled as for training, or annotation projects; several "
            "with --folds."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for tables and plots.")
    ] = Path("wbc-evaluation"),
    folds: Annotated[
        int | None,
        typer.Option(
            min=2, help="Cross-validate a method in K folds of each data set.", metavar="K"
        ),
    ] = None,
    test: Annotated[
        list[Path] | None,
        typer.Option(help="With --folds, a data set that is measured only; repeatable."),
    ] = None,
    train: Annotated[
        list[str] | None,
        typer.Option(help="Parameter of the training in folds, such as epochs=20; repeatable."),
    ] = None,
    against: Annotated[
        str,
        typer.Option(help="Second model, by name or file, to compare with.", show_default="none"),
    ] = "",
    bias: Annotated[
        bool,
        typer.Option(
            "--bias",
            help="Instead measure where in the windows of cells an automaton finds what its types "
            "are decided by: nucleus, cytoplasm or background.",
        ),
    ] = False,
    **values: Any,
) -> None:
    """Measure a model, compare two, or cross-validate a method, on images whose cells are known."""
    own = {name: value for name, value in values.items() if name in _EVALUATE}
    settings = {name: value for name, value in values.items() if name not in _EVALUATE}
    if folds is not None and against:
        raise typer.BadParameter("--against compares two models, and --folds trains; give one")
    if folds is not None:
        params = make(CrossValidateParams, own | {"folds": folds})
        _cross_validate(model, data, test or [], output, params, settings, train or [])
        return
    if bias:
        _check_bias(load(model), data, output, make(EvaluateParams, own), settings)
        return
    models = _load_models(model, against)
    if train or test or (len(data) > 1 and not all(one.method == CLASS_METHOD for one in models)):
        raise typer.BadParameter("several data sets, --test or --train need --folds")
    from napari_wbc_nca.evaluation import evaluate as workflow

    try:
        steps = workflow.run(models, data, make(EvaluateParams, own), drop_unset(settings))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    names = ", ".join(one.name for one in models)
    _report(steps, f"{names} on {', '.join(map(str, data))}", output)


def _check_bias(
    model: Checkpoint,
    data: list[Path],
    output: Path,
    params: EvaluateParams,
    settings: dict[str, Any],
) -> None:
    from napari_wbc_nca.evaluation.bias import check_bias
    from napari_wbc_nca.evaluation.ground_truth import read_images

    chosen: Any = make(PREDICT[model.method], drop_unset(settings))
    with console.exit_on_error():
        images = [image for folder in data for image in read_images(folder, params)]
    names = ", ".join(map(str, data))
    _report(check_bias(model, images, chosen), f"{model.name} on {names}", output)


def _load_models(names: str, against: str) -> list[Checkpoint]:
    """Load one model, the one to compare with, or several of `cellmixer` joined by commas."""
    listed = [names] if Path(names).exists() else split_names(names)
    models = [load(name) for name in [*listed, *([against] if against else [])]]
    other = [model for model in models if model.method != CLASS_METHOD]
    if other and len(listed) > 1:
        found = ", ".join(f"{model.name} is a model of {model.method}" for model in other)
        raise typer.BadParameter(
            "models joined by commas are measured pixel by pixel, so all must be of "
            f"{CLASS_METHOD}, but {found}; give one model, and a second with --against"
        )
    return models


def _cross_validate(
    method: str,
    data: list[Path],
    test: list[Path],
    output: Path,
    params: CrossValidateParams,
    settings: dict[str, Any],
    train: list[str],
) -> None:
    from napari_wbc_nca.evaluation import cross_validate

    if method not in TRAIN:
        raise typer.BadParameter(
            f"with --folds, the first argument is a method: {', '.join(TRAIN)}; got {method!r}"
        )
    predict: Any = make(PREDICT[method], settings)
    learn = training_params_of(method, parse_values(train, TRAIN[method]))
    if text := describe_recipe(method, learn):
        console.print_message(text)
    steps = cross_validate.cross_validate(method, data, params, learn, predict, test, output)
    _report(steps, f"{method} in {params.folds} folds", output)


def _report(steps: Generator[Progress, None, Report], title: str, output: Path) -> None:
    """Run an evaluation, write its report and print it."""
    from napari_wbc_nca.evaluation.report import write_report

    with console.exit_on_error():
        report = console.run_with_progress(steps, title)
        write_report(report, output)
    console.print_result(report.text())
    for note in report.notes:
        console.print_message(f"Note: {note}")
    console.print_result(f"Tables and plots are in {output}")


def parse_values(texts: list[str], cls: type) -> dict[str, Any]:
    """Parse texts ``name=value`` into the types of the fields of `cls`; wrong usage for others."""
    types = {field.name: field.type for field in fields(cls)}
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in types:
            raise typer.BadParameter(
                f"{text!r}: expected name=value with a name of {', '.join(types)}",
                param_hint="--train",
            )
        try:
            values[name] = _PARSERS.get(types[name], str)(value.strip())
        except (KeyError, ValueError) as error:
            raise typer.BadParameter(
                f"{text!r}: expected a value of type {types[name].__name__}", param_hint="--train"
            ) from error
    return values


_TRUTH = {"true": True, "yes": True, "false": False, "no": False}
_PARSERS: dict[Any, Callable[[str], Any]] = {
    bool: lambda text: _TRUTH[text.lower()],
    int: int,
    float: float,
}
