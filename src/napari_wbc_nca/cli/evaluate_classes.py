"""What ``evaluate`` does with models that give each pixel a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.cli import console
from napari_wbc_nca.cli.options import make
from napari_wbc_nca.cli.segment import PREDICT, load

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint

_METHOD = "cellmixer"


def class_models(names: str) -> list[Checkpoint]:
    """Models whose `names`, joined by commas, are all of a class per pixel; else none."""
    listed = [names] if Path(names).exists() else names.split(",")
    models = [load(name.strip()) for name in listed]
    return models if all(model.method == _METHOD for model in models) else []


def evaluate_classes(
    models: Sequence[Checkpoint], data: Sequence[Path], output: Path, values: dict[str, Any]
) -> None:
    """Print accuracy and IoU of each class, model and data set, and keep them in `output`."""
    from napari_wbc_nca.workflow import evaluate_classes as workflow

    params: Any = make(PREDICT[_METHOD], values, _METHOD)
    title = ", ".join(model.name for model in models)
    try:
        table = console.follow(workflow.run(models, data, params), title)
        output.mkdir(parents=True, exist_ok=True)
        table.to_csv(output / "classes.csv", index=False)
        (output / "classes.md").write_text(workflow.text(table), encoding="utf-8")
    except (ValueError, OSError) as error:
        raise console.stop(error) from error
    console.say(workflow.text(table))
    console.say(f"Tables are in {output}")
