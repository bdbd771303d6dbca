"""Command line: ``napari-wbc-nca``.

Each command reads its options, calls the workflow that the widgets call too, and prints the
result. Modules that take long to import are imported inside the commands that need them.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from napari_wbc_nca.cli import (
    adapt,
    console,
    count,
    demo,
    evaluate,
    export,
    models,
    report,
    segment,
    train,
)

PLUGIN, WIDGET = "napari-wbc-nca", "Segment WBCs"
"""Names in the manifest."""
BINDINGS = ("PySide6", "PyQt6", "PyQt5")

app = typer.Typer(
    name="napari-wbc-nca",
    help="Segment and type white blood cells in stained smears.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.command()(demo.demo)
app.command()(segment.segment)
app.command()(train.train)
app.command()(adapt.adapt)
app.command()(evaluate.evaluate)
app.command()(count.count)
app.command()(report.report)
app.command()(export.export)
app.command("import")(export.import_)
app.add_typer(models.app, name="models")


@app.command()
def gui(image: Annotated[Path | None, typer.Argument(help="Image to open.")] = None) -> None:
    """Open napari with the widget, and an image if one is given."""
    if find_spec("napari") is None or not any(map(find_spec, BINDINGS)):
        missing = "napari" if find_spec("napari") is None else "a Qt binding"
        console.print_message(
            f'{missing} is not installed; run: pip install "napari-wbc-nca[all]" '
            "(segment and demo work without a window)"
        )
        raise typer.Exit(1)
    if image is not None and not image.exists():
        raise typer.BadParameter(f"{image}: there is no such file; check the path")
    images = [] if image is None else [str(image)]
    # A separate process, in which napari itself reports what it lacks.
    command = [sys.executable, "-m", "napari", *images, "--with", PLUGIN, WIDGET]
    raise typer.Exit(subprocess.run(command).returncode)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"napari-wbc-nca {version('napari-wbc-nca')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Segment and type white blood cells in stained smears."""


def main() -> None:
    """Run the command line; exit status 0: all done, 1: some inputs failed, 2: wrong usage."""
    app()
