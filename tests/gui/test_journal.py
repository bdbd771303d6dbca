"""Corrections of a real window that are written into a project, and restored from it."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import tifffile
from hands import Hands
from napari.layers import Labels
from squares import smear

from napari_wbc_nca.project.project import Project, is_project
from napari_wbc_nca.widgets.features_sync import follow
from napari_wbc_nca.widgets.features_table import EDITED
from napari_wbc_nca.widgets.review.layer_journal import journal_of
from napari_wbc_nca.widgets.review.open_projects import close_all
from napari_wbc_nca.widgets.review.restore import offers_of

SQUARES = ((10, 10), (10, 60), (50, 40))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "smear.tif"
    tifffile.imwrite(path, smear(*SQUARES), photometric="rgb")
    return path


def cells(viewer):
    return next(
        layer
        for layer in reversed(viewer.layers)
        if isinstance(layer, Labels) and layer.name.endswith("cells")
    )


@pytest.fixture
def segmented(viewer, widget, finish, click):
    """Open an image and segment it; returns the layer of its cells."""

    def run(path):
        viewer.open(str(path), plugin="napari")
        click(widget.button)
        finish(widget)
        layer = cells(viewer)
        viewer.layers.selection.active = layer
        return layer

    return run


def paint(viewer, layer, *way, label=1):
    layer.selected_label, layer.brush_size, layer.mode = label, 5, "paint"
    Hands(viewer).drag(*way)
    layer.mode = "pan_zoom"


def state(layer):
    table = follow(layer).table
    return np.array(layer.data), dict(zip(table["index"], table["class"], strict=True))


def reopened(viewer, qtbot, path):
    """Forget all layers, as a new napari does, open the image again and take the offer."""
    viewer.layers.clear()
    gc.collect()
    close_all()
    viewer.open(str(path), plugin="napari")
    offers = offers_of(viewer)
    qtbot.waitUntil(lambda: bool(offers.open), timeout=10_000)
    (offer,) = offers.open
    offers.take(offer)
    qtbot.waitUntil(lambda: len(viewer.layers) > 1, timeout=10_000)
    return offer.text, cells(viewer)


def test_segmenting_alone_leaves_no_project(image, segmented):
    layer = segmented(image)
    assert journal_of(layer) is not None
    close_all()
    assert not is_project(image.with_name("smear.wbcproject"))


def test_corrections_are_restored_when_the_image_is_opened_again(viewer, image, segmented, qtbot):
    layer = segmented(image)
    paint(viewer, layer, (40, 10), (40, 30), label=1)
    paint(viewer, layer, (80, 10), (80, 100), label=7)
    hands = Hands(viewer)
    hands.key("Control-Z")
    hands.key("Control-Shift-Z")
    follow(layer).classify(2, "blast")
    paint(viewer, layer, (5, 100), (30, 100), label=8)
    hands.key("Control-Z")
    expected = state(layer)
    text, restored = reopened(viewer, qtbot, image)
    assert text.startswith("Restore 3 corrections of ")
    found = state(restored)
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]
    assert restored.features.set_index("index")["origin"][2] == EDITED
    kinds = [kind for (kind,) in edits(image)]
    assert kinds == ["paint", "paint", "classify", "paint"]


def edits(image):
    close_all()
    with Project(image.with_name("smear.wbcproject")) as project:
        return project.database.query("SELECT kind FROM edits ORDER BY id")


def test_undo_goes_on_through_earlier_sessions(viewer, image, segmented, qtbot):
    layer = segmented(image)
    states = [state(layer)]
    for y in (40, 80):
        paint(viewer, layer, (y, 10), (y, 30))
        states.append(state(layer))
    _, layer = reopened(viewer, qtbot, image)
    paint(viewer, layer, (5, 50), (5, 100), label=9)
    states.append(state(layer))
    hands = Hands(viewer)
    for expected in [*states[2::-1], states[0]]:
        hands.key("Control-Z")
        found = state(layer)
        np.testing.assert_array_equal(found[0], expected[0])
        assert found[1] == expected[1]
    for expected in states[1:]:
        hands.key("Control-Shift-Z")
        np.testing.assert_array_equal(layer.data, expected[0])
    journal_of(layer).flush()
    hands.key("Control-Z")
    _, layer = reopened(viewer, qtbot, image)
    np.testing.assert_array_equal(layer.data, states[2][0])
