"""Make the pictures of the Segment widget: docked beside a bundled smear, after a run.

``python docs/scripts/widget_pictures.py [NAME…]`` writes ``docs/images/NAME.png`` for each name of
`PICTURES`, all of them by default. Without a display, run it under ``xvfb-run -a -s "-screen 0
1600x1000x24"``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

IMAGES = Path(__file__).parents[1] / "images"
SIZE = (1280, 720)
WIDTH = 376
"""Of the widget, where napari shows its whole name."""
PATIENCE = 300
"""Seconds that a run may take."""


def main(*names: str) -> None:
    """Take the pictures `names`."""
    IMAGES.mkdir(exist_ok=True)
    for name in names or PICTURES:
        viewer, widget = PICTURES[name]()
        picture(viewer, name)
        widget.on_close()
        viewer.close()


def cells() -> tuple[napari.Viewer, Any]:
    """Cells and nuclei by an automaton."""
    viewer, widget = window("smear-1")
    choose(widget, "wbc-smear")
    run(widget, "nucleus")
    return viewer, widget


def centroids() -> tuple[napari.Viewer, Any]:
    """A corrected centroid, and the contribution of a cell, by a detector."""
    viewer, widget = window("smear-1")
    choose(widget, "smear-cells")
    run(widget)
    points, tools = viewer.layers["smear-1 centroids"], widget.tools.current
    start = time.perf_counter()
    points.selected_data = {0}
    points.remove_selected()
    wait(lambda: not tools.busy)
    print(f"one of {len(points.data) + 1} cells updated in {time.perf_counter() - start:.2f} s")
    largest = points.features["area_px"].idxmax()
    points.selected_data = {int(largest)}
    tools.chosen.setChecked(True)
    return viewer, widget


def preview() -> tuple[napari.Viewer, Any]:
    """Centroids that a run would find."""
    viewer, widget = window("smear-1")
    choose(widget, "smear-cells")
    controls = widget.preview.current
    controls.shown.setChecked(True)
    wait(lambda: not controls.busy)
    return viewer, widget


def classes() -> tuple[napari.Viewer, Any]:
    """A class for each pixel."""
    viewer, widget = window("smear-1")
    choose(widget, "smear-mix")
    run(widget)
    return viewer, widget


def foreground() -> tuple[napari.Viewer, Any]:
    """What training of CellMixer would take for cells."""
    viewer, widget = window("mixed-culture")
    choose(widget, "smear-mix")
    controls = widget.preview.current
    controls.foreground.open(True)
    controls.shown.setChecked(True)
    wait(lambda: not controls.busy)
    return viewer, widget


PICTURES: dict[str, Callable[[], tuple[napari.Viewer, Any]]] = {
    "segment_widget": cells,
    "segment_centroids": centroids,
    "segment_preview": preview,
    "segment_classes": classes,
    "segment_foreground": foreground,
}
"""Name of a picture to what sets it up."""


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
    """Choose a model by name."""
    widget.form.model.names.setCurrentText(model)
    if widget.form.model.model != model:
        raise SystemExit(f"{model!r} is not the name of a model")


def run(widget: Any, *more: str) -> None:
    """Press the button, with `more` to be added than is ticked, and wait for the result."""
    for name in more:
        widget.form.outputs[name].setChecked(True)
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
