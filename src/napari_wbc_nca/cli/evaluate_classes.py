"""What ``evaluate`` does with models that give each pixel a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_wbc_nca.cli import console
from napari_wbc_nca.cli.options import make
from napari_wbc_nca.cli.segment import PREDICT, load
from napari_wbc_nca.workflow.evaluate_params import CLASS_METHOD

if TYPE_CHECKING:
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
    from napari_wbc_nca.workflow import evaluate_classes as workflow

    params: Any = make(PREDICT[CLASS_METHOD], values, CLASS_METHOD)
    title = ", ".join(model.name for model in models)
    try:
        measured = console.follow(workflow.measure(models, data, params), title)
        workflow.write(measured, output)
    except (ValueError, OSError) as error:
        raise console.stop(error) from error
    console.say(workflow.text(measured.table))
    console.say(f"Tables are in {output}")
