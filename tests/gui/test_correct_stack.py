from __future__ import annotations

import numpy as np
from hands import Hands

from napari_wbc_nca.widgets.correction_keys import bind_keys
from napari_wbc_nca.widgets.features_sync import follow


def stack():
    """Two planes; on the second, two rectangles that touch and one apart."""
    labels = np.zeros((2, 60, 120), np.uint16)
    labels[0, 5:25, 5:25] = 1
    labels[1, 10:50, 10:60] = 3
    labels[1, 10:50, 60:110] = 4
    labels[1, 52:58, 2:8] = 7
    return labels


def test_stack_is_corrected_on_the_plane_that_is_shown(viewer, notes):
    """All that needs a slider or points, in one window: see ``test_correct.py``."""
    bind_keys()
    layer = viewer.add_labels(stack(), scale=(1, 0.5, 0.5))
    follow(layer)
    viewer.dims.set_current_step(0, 1)
    hands = Hands(viewer)

    hands.point((15, 45))
    hands.key("Alt-D")
    hands.key("Alt-C")
    hands.drag((2, 15), (29, 15))
    planes = dict(zip(layer.features["index"], layer.features["axis_0"], strict=True))
    assert planes == {1: 0, 3: 1, 7: 1, 8: 1}
    areas = dict(zip(layer.features["index"], layer.features["area_px"], strict=True))
    assert areas == {label: (layer.data == label).sum() for label in areas}
    np.testing.assert_array_equal(layer.data[0], stack()[0])
    viewer.dims.set_current_step(0, 0)
    hands.key("Control-Z")
    hands.key("Control-Z")
    np.testing.assert_array_equal(layer.data, stack())
    assert layer.features["index"].tolist() == [1, 3, 4, 7]

    viewer.dims.set_current_step(0, 1)
    hands.key("Alt-Shift-C")
    assert "there are no points" in notes[-1]
    viewer.add_points([[1, 15, 10], [1, 15, 22], [1, 15, 40], [0, 15, 35]])
    viewer.layers.selection.active = layer
    hands.native.setFocus()
    hands.key("Alt-Shift-C")
    assert layer.data[1, 30, 20] != layer.data[1, 30, 44]
    assert (layer.data[1, 10:50, 60:110] == 4).all()
    np.testing.assert_array_equal(layer.data > 0, stack() > 0)
    hands.key("Control-Z")
    np.testing.assert_array_equal(layer.data, stack())

    viewer.dims.ndisplay = 3
    hands.key("Alt-D")
    assert "switch to 2D" in notes[-1]
