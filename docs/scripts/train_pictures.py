"""Make the pictures of the Train and Evaluate widgets, over two bundled smears.

``python docs/scripts/train_pictures.py [MODEL]`` writes ``docs/images/train_widget.png`` and
``evaluate_widget.png``; MODEL is ``wbc-smear`` by default. Without a display, run it under
``xvfb-run -a -s "-screen 0 1600x1200x24"``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import napari
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from widget_pictures import picture, wait

from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.images import sample_path
from napari_wbc_nca.workflow.segment import segment

SIZE = (1280, 1000)
WIDTH = 376
SHORT = {"epochs": 4, "samples_per_epoch": 32, "readout_fit_windows": 64, "validation_share": 0.5}
"""A training for a picture: it learns little."""


def main(model: str = "wbc-smear") -> None:
    """Take the pictures, with models kept in a folder that is removed again."""
    with TemporaryDirectory() as home:
        os.environ[model_store.HOME] = home
        viewer = napari.Viewer(show=True)
        viewer.window.resize(*SIZE)
        for name in ("smear-1", "smear-2"):
            corrected(viewer, name, model)
        viewer.layers["smear-2"].visible = False
        viewer.layers["smear-2 cells"].visible = False
        train(viewer, model)
        evaluate(viewer, model)
        viewer.close()


def corrected(viewer: napari.Viewer, name: str, model: str) -> None:
    """Add a smear and its cells, as a person would have corrected them."""
    viewer.open_sample("napari-wbc-nca", name)
    found = segment(sample_path(name), model)
    features = found.cells.assign(index=found.cells["label"])
    viewer.add_labels(found.labels["cell"], name=f"{name} cells", features=features, opacity=0.5)


def train(viewer: napari.Viewer, model: str) -> None:
    """Teach a model by the cells, and show how it went."""
    widget = docked(viewer, "Train a model")
    widget.form.model.names.setCurrentText(model)
    for name, value in SHORT.items():
        widget.form.form.widgets[name].value = value
    widget.button.click()
    wait(lambda: not widget.running)
    picture(viewer, "train_widget")
    viewer.window.remove_dock_widget(widget)


def evaluate(viewer: napari.Viewer, model: str) -> None:
    """Compare the model with the one it was taught from."""
    widget = docked(viewer, "Evaluate models")
    widget.form.model.names.setCurrentText(model)
    widget.form.both.setChecked(True)
    widget.form.other.names.setCurrentText("my-model")
    widget.button.click()
    wait(lambda: not widget.running)
    picture(viewer, "evaluate_widget")


def docked(viewer: napari.Viewer, name: str) -> Any:
    """One of our widgets, beside the image."""
    dock, widget = viewer.window.add_plugin_dock_widget("napari-wbc-nca", name)
    dock.parent().resizeDocks([dock], [WIDTH], Qt.Orientation.Horizontal)
    QTest.qWait(500)
    viewer.reset_view()
    return widget


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(*sys.argv[1:])
