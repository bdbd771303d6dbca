"""Make the pictures of corrections: a line across a cell, and the cells that it makes.

``python docs/scripts/correct_pictures.py`` writes ``docs/images/correct_line.png`` and
``docs/images/correct_done.png``. Without a display, run it under ``xvfb-run -a -s
"-screen 0 1600x1000x24"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from widget_pictures import IMAGES, picture, wait, window

if TYPE_CHECKING:
    import napari

LEFT, NONE, ALT = (
    Qt.MouseButton.LeftButton,
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.AltModifier,
)
WIDTH = 330


def main() -> None:
    """Segment a bundled smear, cut a cell by a line and give a piece another class."""
    IMAGES.mkdir(exist_ok=True)
    viewer, widget = window("smear-1")
    widget.button.click()
    wait(lambda: not widget.running)
    for layer in viewer.layers:
        layer.visible = not layer.name.endswith("centroids")
    viewer.window.remove_dock_widget(widget)
    dock, correct = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Correct cells")
    dock.parent().resizeDocks([dock], [WIDTH], Qt.Orientation.Horizontal)
    labels = next(layer for layer in viewer.layers if layer.name.endswith("cells"))
    viewer.layers.selection.active = labels
    row = labels.features.sort_values("area_px").iloc[-1]
    look_at(viewer, labels, row)
    cut(viewer, labels, row)
    viewer.mouse_over_canvas = False
    labels.selected_label = int(labels.features["index"].max())
    correct.classes[1].click()
    picture(viewer, "correct_done")
    viewer.close()


def look_at(viewer: napari.Viewer, layer: Any, row: Any) -> None:
    """Show a cell and what lies around it."""
    viewer.scene.camera.center = layer.data_to_world((row["centroid_y"], row["centroid_x"]))
    viewer.scene.camera.zoom *= 1.4
    QTest.qWait(300)


def cut(viewer: napari.Viewer, layer: Any, row: Any) -> None:
    """Draw a line across a cell, and take a picture before it ends."""
    x = row["box_x0"] + 0.62 * (row["box_x1"] - row["box_x0"])
    margin = 0.08 * (row["box_y1"] - row["box_y0"])
    rows = np.linspace(row["box_y0"] - margin, row["box_y1"] + margin, 12)
    way = [place(viewer, layer.data_to_world((y, x))) for y in rows]
    native = viewer.window._qt_viewer.canvas.native
    press(viewer, Qt.Key.Key_C, ALT)
    QTest.mousePress(native, LEFT, NONE, way[0])
    for at in way[1:]:
        QTest.mouseMove(native, at)
        QTest.qWait(30)
    picture(viewer, "correct_line")
    QTest.mouseRelease(native, LEFT, NONE, way[-1])
    QTest.qWait(200)


def press(viewer: napari.Viewer, key: Any, modifier: Any = NONE) -> None:
    """Press a key over the canvas."""
    QTest.keyClick(viewer.window._qt_viewer.canvas.native, key, modifier)
    QTest.qWait(100)


def place(viewer: napari.Viewer, at: Any) -> QPoint:
    """Where a place in the world lies on the canvas."""
    canvas = viewer.window._qt_viewer.canvas
    transform = canvas.view.scene.node_transform(canvas._scene_canvas.scene)
    x, y = transform.map([at[-1], at[-2]])[:2]
    return QPoint(round(float(x)), round(float(y)))


if __name__ == "__main__":
    main()
