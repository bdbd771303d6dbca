"""``models``: list, describe, verify and import models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from napari_wbc_nca.cli import console
from napari_wbc_nca.params import split_names

app = typer.Typer(help="List, describe, import and verify models.", no_args_is_help=True)


@app.command("list")
def list_models() -> None:
    """List the available models."""
    from napari_wbc_nca.io import model_store

    rows = []
    for name in model_store.names():
        try:
            found = model_store.info(name)
        except ValueError as error:
            rows.append([name, "damaged", str(error), ""])
            continue
        classes = ", ".join(found["classes"])
        rows.append([name, found["method"], classes, f"{found['parameters']:,}"])
    if not rows:
        console.print_result("There is no model.")
        return
    console.print_table(["name", "method", "classes", "parameters"], rows)


@app.command()
def info(model: Annotated[str, typer.Argument(help="Name of a model, or a file.")]) -> None:
    """Show the card of a model as JSON: classes, scale, data, licence, metrics, hash."""
    from napari_wbc_nca.io import model_store

    try:
        found = model_store.info(model)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if "images" in found.get("card", {}):  # hundreds of ids, which nobody reads
        found["card"] = {**found["card"], "images": len(found["card"]["images"])}
    console.print_result(json.dumps(found, indent=2, ensure_ascii=False, default=str))


@app.command()
def verify(
    model: Annotated[str | None, typer.Argument(help="Name or file; all models if none.")] = None,
) -> None:
    """Check that model files are complete and unchanged; exit status 1 if one is not."""
    from napari_wbc_nca.models.build import verify_models

    found = verify_models(model)
    console.print_table(["model", "state"], [[name, why or "whole"] for name, why in found.items()])
    if any(found.values()):
        raise typer.Exit(1)


@app.command("import")
def import_model(
    file: Annotated[Path, typer.Argument(help="Published checkpoint (.pt or .pth).")],
    method: Annotated[
        str,
        typer.Option(
            help="Method that it was trained with.",
            show_default="nca_max or propagation, by its layout",
        ),
    ] = "",
    classes: Annotated[
        str,
        typer.Option(
            help="Class names in the order of its outputs, comma-separated.",
            show_default="the thirteen of the WBC-NCA paper; cell for propagation",
        ),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File for the model (.safetensors).", show_default="your models"
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Name among your models, where no file is given.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Import a checkpoint in the layout that the authors of WBC-NCA or of WSISPDR published.

    Code in the file is not executed.
    """
    from napari_wbc_nca.io import model_store, weights
    from napari_wbc_nca.models.build import check_weights

    console.refuse_existing(output, force)
    with console.exit_on_error():
        published = model_store.import_published(file, split_names(classes), method)
        checkpoint = check_weights(published, file)
        if output is not None:
            weights.save(checkpoint, output)
            console.print_result(f"Written: {output}")
            return
        own = name or re.sub(r"[^a-z0-9_-]+", "-", file.stem.lower()).strip("-_")
        path = model_store.register(checkpoint, own)
    console.print_result(f"{own} is now among your models: {path}")
