"""Layers that come and go while cells are corrected, each test in a window of its own."""

from __future__ import annotations

import numpy as np

from napari_wbc_nca.widgets.features_sync import follow


def squares():
    labels = np.zeros((100, 100), np.uint16)
    labels[20:60, 20:60], labels[70:90, 30:80] = 2, 5
    return labels


def check(layer):
    """The table says what the pixels say."""
    labels, areas = np.unique(layer.data[layer.data > 0], return_counts=True)
    assert layer.features["index"].tolist() == labels.tolist()
    assert layer.features["area_px"].tolist() == areas.tolist()


def test_layer_that_goes_is_let_go(viewer):
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Correct cells")
    layer = viewer.add_labels(squares())
    assert docked.buttons["merge"].isEnabled()
    viewer.layers.remove(layer)
    assert docked.layer is None
    assert not docked.buttons["merge"].isEnabled()
    assert docked.title.text() == "Select a Labels layer"


def test_steps_from_before_the_widget_opened_are_undone_too(viewer):
    layer = viewer.add_labels(squares())
    layer.fill((40, 40), 0)
    follow(layer)
    assert layer.features["index"].tolist() == [5]
    layer.undo()
    check(layer)
    assert layer.features["index"].tolist() == [2, 5]
    layer.redo()
    check(layer)
