"""``train``: train a model, or fine-tune one, from weak labels or masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_wbc_nca.cli import console
from napari_wbc_nca.cli.options import drop_unset, with_fields
from napari_wbc_nca.cli.segment import load
from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.recipes import describe_recipe
from napari_wbc_nca.methods.registry import continue_params, finetune_params, training_params
from napari_wbc_nca.params import split_names

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint

TRAIN = {name: method.train_params for name, method in registry.METHODS.items()}


@with_fields(TRAIN)
def train(
    method: Annotated[str, typer.Argument(help=f"One of {', '.join(TRAIN)}.")],
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder of crops by class, of images with labels or masks, a .toml of these, or "
            "an annotation project."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the weights (.safetensors).")
    ],
    classes: Annotated[
        str, typer.Option(help="Class names of YOLO indices, comma-separated, if not in the data.")
    ] = "",
    init: Annotated[
        str, typer.Option(help="Model to start from, by name or file.", show_default="none")
    ] = "",
    finetune: Annotated[
        str,
        typer.Option(
            help="Model to fine-tune with a few corrected images, at its scale and a low rate.",
            show_default="none",
        ),
    ] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a training that was stopped.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace FILE, and start from the beginning.")
    ] = False,
    **values: Any,
) -> None:
    """Train a model from weak labels (classes, boxes or points), and from masks where there are.

    FILE.state beside FILE holds the state of the training until the model is written; --resume
    continues from it.
    """
    from napari_wbc_nca.datasets import readers
    from napari_wbc_nca.io import weights
    from napari_wbc_nca.workflow import train as workflow
    from napari_wbc_nca.workflow.projects import training_data

    if method not in TRAIN:
        raise typer.BadParameter(f"unknown method {method!r}; known are {', '.join(TRAIN)}")
    if init and finetune:
        raise typer.BadParameter(
            "--init and --finetune both name the model to start from; give one of them"
        )
    params = training_params_of(method, drop_unset(values))
    state = output.with_name(f"{output.name}.state")
    _check_files(output, state, resume, force)
    start = load(init or finetune) if init or finetune else None
    with console.exit_on_error():
        if start is not None:
            own = drop_unset(values)
            params = (
                finetune_params(start, own) if finetune else continue_params(method, start, own)
            )
        samples = readers.read(training_data(data), split_names(classes))
        if text := describe_recipe(method, params):
            console.print_message(text)
        for note in workflow.data_notes(samples, params):
            console.print_message(f"Note: {note}")
        steps = workflow.run_training(
            workflow.TrainingRequest(method, params, start, state), samples
        )
        trained: Checkpoint = console.run_with_progress(steps, method)
        digest = weights.save(replace(trained, name=output.stem), output)
        state.unlink(missing_ok=True)
    console.print_result(f"Classes: {', '.join(trained.classes)}")
    console.print_result(f"Written: {output} (SHA-256 {digest})")


def training_params_of(method: str, values: Mapping[str, Any]) -> Any:
    """Make the training parameters of `method` by its recipe; wrong usage where they do not fit."""
    try:
        return training_params(method, values)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _check_files(output: Path, state: Path, resume: bool, force: bool) -> None:
    """Refuse before training an output that cannot be written, or would replace another."""
    if output.suffix != ".safetensors":
        raise typer.BadParameter(f"{output} does not end with .safetensors", param_hint="--output")
    if resume and force:
        raise typer.BadParameter(
            "--resume continues and --force starts from the beginning; give one of them"
        )
    if resume and not state.exists():
        raise typer.BadParameter(f"there is no stopped training to continue: no {state}")
    console.refuse_existing(output, force or resume)
    if state.exists() and not (force or resume):
        raise typer.BadParameter(
            f"{state} is left from a training that was stopped; give --resume to continue, or "
            "--force to start from the beginning"
        )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if force:
            state.unlink(missing_ok=True)
    except OSError as error:
        raise typer.BadParameter(
            f"{output} cannot be written: {error.strerror}; choose another folder"
        ) from error
