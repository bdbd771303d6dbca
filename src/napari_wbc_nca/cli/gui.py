"""``gui``: napari with the widget."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from napari_wbc_nca.cli import console

PLUGIN, WIDGET = "napari-wbc-nca", "Segment WBCs"
"""Names in the manifest."""
BINDINGS = ("PySide6", "PyQt6", "PyQt5")


def gui(
    image: Annotated[Path | None, typer.Argument(help="Image to open.")] = None,
) -> None:
    """Open napari with the widget, and an image if one is given."""
    if find_spec("napari") is None or not any(map(find_spec, BINDINGS)):
        missing = "napari" if find_spec("napari") is None else "a Qt binding"
        console.tell(
            f'{missing} is not installed; run: pip install "napari-wbc-nca[all]" '
            "(segment and demo work without a window)"
        )
        raise typer.Exit(1)
    if image is not None and not image.exists():
        raise typer.BadParameter(f"{image}: there is no such file; check the path")
    opened = [] if image is None else [str(image)]
    # A process of its own: what napari needs is found out, and said, by napari.
    command = [sys.executable, "-m", "napari", *opened, "--with", PLUGIN, WIDGET]
    raise typer.Exit(subprocess.run(command).returncode)
