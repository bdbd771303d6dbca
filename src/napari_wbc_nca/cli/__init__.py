"""Command line: ``napari-wbc-nca``.

Each command gathers its inputs, calls the workflow that the widgets call too, and shows the
result. Whatever takes long to import is imported by the command that needs it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from napari_wbc_nca.cli import demo, evaluate, export, gui, models, segment, train

app = typer.Typer(
    name="napari-wbc-nca",
    help="Segment and type white blood cells in stained smears.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.command()(demo.demo)
app.command()(gui.gui)
app.command()(segment.segment)
app.command()(train.train)
app.command()(evaluate.evaluate)
app.command()(export.export)
app.command("import")(export.import_)
app.add_typer(models.app, name="models")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"napari-wbc-nca {version('napari-wbc-nca')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Segment and type white blood cells in stained smears."""


def main() -> None:
    """Run the command line; exit status 0 all done, 1 some inputs failed, 2 wrong usage."""
    app()
