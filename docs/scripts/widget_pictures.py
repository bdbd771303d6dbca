"""Make the picture of the widget: the docked plugin over a bundled smear, after a run.

``python docs/scripts/widget_pictures.py [MODEL]`` writes ``docs/images/segment_widget.png``; MODEL
is a name or a file, ``wbc-smear`` by default. Without a display, run it under ``xvfb-run -a -s
"-screen 0 1600x1000x24"``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

IMAGES = Path(__file__).parents[1] / "images"
SIZE = (1280, 720)
WIDTH = 330
"""Of the widget, where napari shows its whole name."""
PATIENCE = 300
"""Seconds that a run may take."""


def main(model: str = "wbc-smear") -> None:
    """Take the picture of the widget with `model`."""
    IMAGES.mkdir(exist_ok=True)
    viewer, widget = window("smear-1")
    choose(widget, model)
    run(widget)
    picture(viewer, "segment_widget")
    viewer.close()


def window(sample: str) -> tuple[napari.Viewer, Any]:
    """Viewer with a bundled smear and the widget beside it."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    viewer.open_sample("napari-wbc-nca", sample)
    dock, widget = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Segment WBCs")
    dock.parent().resizeDocks([dock], [WIDTH], Qt.Orientation.Horizontal)
    QTest.qWait(200)
    viewer.reset_view()
    return viewer, widget


def choose(widget: Any, model: str) -> None:
    """Choose a model by name or file."""
    if Path(model).is_file():
        widget.form.model.open(model)
    else:
        widget.form.model.names.setCurrentText(model)
    if widget.form.model.model != model:
        raise SystemExit(f"{model!r} is neither a file nor the name of a model")


def run(widget: Any) -> None:
    """Press the button and wait for the result."""
    widget.form.wanted["nucleus"].setChecked(True)
    widget.button.click()
    wait(lambda: not widget.running)


def wait(ended: Callable[[], bool]) -> None:
    """Let the window work until `ended`."""
    for _ in range(PATIENCE * 20):
        QTest.qWait(50)
        if ended():
            return
    raise SystemExit(f"still running after {PATIENCE} s")


def picture(viewer: napari.Viewer, name: str) -> None:
    """Save the whole window, as a person sees it."""
    QTest.qWait(500)
    viewer.screenshot(str(IMAGES / f"{name}.png"), canvas_only=False, flash=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
