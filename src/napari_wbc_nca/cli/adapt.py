"""``adapt``: adapt a model to the corrections of an annotation project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_wbc_nca.cell_types import format_count
from napari_wbc_nca.cli import console
from napari_wbc_nca.cli.segment import load

if TYPE_CHECKING:
    from napari_wbc_nca.workflow.adapt import Adaptation


def adapt(
    model: Annotated[str, typer.Argument(help="Name or file of the model to adapt.")],
    project: Annotated[Path, typer.Argument(help="Folder of an annotation project.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the adapted model (.safetensors).")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.")] = False,
) -> None:
    """Adapt a model to corrected and confirmed cells, within seconds.

    The last layer of its classifier is fitted to their types, and the border of its outlines to
    theirs, near the weights they had; classes that the model never knew are added. No file is
    written where the adapted model types cells that were left out of the fit worse than the model
    did, or no better than by chance.
    """
    from napari_wbc_nca.io import weights
    from napari_wbc_nca.workflow import adapt as workflow

    if output.suffix != ".safetensors":
        raise typer.BadParameter(f"{output} does not end with .safetensors", param_hint="--output")
    console.refuse_existing(output, force)
    parent = load(model)
    with console.exit_on_error():
        steps = workflow.run(parent, project)
        found: Adaptation = console.run_with_progress(steps, "adapt")
        for name, why in found.failed.items():
            console.print_message(f"Failed: {name}: {why}")
        cells = ", ".join(format_count(count, name) for name, count in found.cells.items())
        console.print_result(f"Learnt from: {cells or 'no cell'}")
        console.print_result(f"Compared with {parent.name}: {found.gate.reason}")
        if figures := found.checkpoint.card.get("adapted_outlines"):
            shown = f"{figures['iou']:.3f}, {figures['iou_before']:.3f} before"
            console.print_result(f"Outlines of cells that were left out, IoU: {shown}")
        if found.gate.judged and not found.gate.keep:
            console.print_message(f"Not written: {output}; keep {parent.name}")
            raise typer.Exit(1)
        digest = weights.save(replace(found.checkpoint, name=output.stem), output)
    console.print_result(f"Written: {output} (SHA-256 {digest})")
