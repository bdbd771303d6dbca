"""Centroids added, moved and removed in a real window; only what they touch changes."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from squares import smear

from napari_wbc_nca.widgets.instance_updates import merge_features

CORNERS = ((10, 10), (50, 70))


@pytest.fixture
def run(viewer, dots_widget, click, finish):
    """Run the small method over an image; what it gives, and a way to wait for an update."""

    def segment(pixels, **options):
        viewer.add_image(pixels, name="smear", **options)
        dots_widget.form.outputs["contribution"].setChecked(True)
        click(dots_widget.button)
        finish(dots_widget)
        return dots_widget.tools.current

    return segment


@pytest.fixture
def settle(qtbot):
    """Wait until nothing is being updated, nor about to be."""

    def wait(tools):
        qtbot.waitUntil(lambda: not tools.busy, timeout=20_000)

    return wait


def test_added_point_becomes_a_cell_in_every_layer(viewer, run, settle):
    tools = run(smear(*CORNERS), scale=(0.5, 0.5))
    points, cells = viewer.layers["smear centroids"], viewer.layers["smear cells"]
    points.add((70, 20))
    settle(tools)
    assert (cells.data[70, 20], cells.data[20, 20], cells.data[60, 80]) == (3, 1, 2)
    assert viewer.layers["smear contributions"].data[70, 20] == 3
    assert list(cells.features["index"]) == [1, 2, 3]
    assert list(cells.features["class"]) == ["lymphocyte", "neutrophil", "lymphocyte"]
    np.testing.assert_allclose(points.data, [(20, 20), (60, 80), (70, 20)])
    assert list(points.features["index"]) == [1, 2, 3]
    np.testing.assert_allclose(points.face_color[2], cells.get_color(3))
    status = tools.host.status.text().replace("\N{NO-BREAK SPACE}", " ")
    assert status == "3 cells: 2 lymphocytes, 1 neutrophil"


def test_removed_and_moved_points(viewer, run, settle):
    tools = run(smear(*CORNERS))
    points, cells = viewer.layers["smear centroids"], viewer.layers["smear cells"]
    points.selected_data = {0}
    points.remove_selected()
    settle(tools)
    assert set(np.unique(cells.data)) == {0, 2}
    assert list(cells.features["index"]) == [2]
    points.data = [(30, 30)]
    settle(tools)
    assert set(np.unique(cells.data)) == {0, 3}
    assert cells.data[30, 30] == 3
    assert cells.data[60, 80] == 0


def test_edits_of_labels_survive_an_update_and_both_can_be_undone(viewer, run, settle):
    tools = run(smear(*CORNERS))
    cells = viewer.layers["smear cells"]
    cells.paint((80, 100), 9)
    viewer.layers["smear centroids"].add((70, 20))
    settle(tools)
    assert cells.data[80, 100] == 9
    assert cells.data[70, 20] == 10
    names = dict(zip(cells.features["index"], cells.features["class"], strict=True))
    assert names == {1: "lymphocyte", 2: "neutrophil", 9: "unknown", 10: "lymphocyte"}
    cells.undo()
    assert (cells.data[70, 20], cells.data[80, 100]) == (0, 9)
    cells.undo()
    assert cells.data[80, 100] == 0
    cells.redo()
    cells.redo()
    assert (cells.data[70, 20], cells.data[80, 100]) == (10, 9)


def test_integer_of_a_removed_cell_is_not_given_again(viewer, run, settle):
    tools = run(smear(*CORNERS))
    points, cells = viewer.layers["smear centroids"], viewer.layers["smear cells"]
    cells.paint((52, 72), 2)
    points.data = [(20, 20), (30, 100)]
    settle(tools)
    assert cells.data[30, 100] == 3
    assert set(np.unique(cells.data)) == {0, 1, 3}


def test_without_following_the_button_updates(viewer, run, click, settle):
    tools = run(smear(*CORNERS))
    click(tools.follow)
    points, cells = viewer.layers["smear centroids"], viewer.layers["smear cells"]
    points.add((70, 20))
    assert not tools.busy
    assert cells.data[70, 20] == 0
    click(tools.update_button)
    settle(tools)
    assert cells.data[70, 20] == 3
    click(tools.update_button)
    settle(tools)
    assert list(cells.features["index"]) == [1, 2, 3]


def test_point_outside_is_a_notification_and_changes_nothing(viewer, run, settle, notes):
    tools = run(smear(*CORNERS))
    points, cells = viewer.layers["smear centroids"], viewer.layers["smear cells"]
    before = cells.data.copy()
    points.add((200, 20))
    settle(tools)
    assert notes == ["(200, 20) lies outside the image; remove it"]
    np.testing.assert_array_equal(cells.data, before)
    points.remove_selected()
    settle(tools)
    assert len(notes) == 1
    np.testing.assert_array_equal(cells.data, before)


def test_contribution_of_the_selected_cell_follows(viewer, run, click, settle):
    tools = run(smear(*CORNERS), scale=(0.5, 0.5))
    points, cells = viewer.layers["smear centroids"], viewer.layers["smear cells"]
    click(tools.chosen)
    points.selected_data = {1}
    layer = viewer.layers["smear contribution 2"]
    assert (layer.data[60, 80], layer.data[20, 20]) == (0.5, 0)
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    assert viewer.layers.index(layer) == 1
    cells.selected_label = 2
    cells.selected_label = 1
    assert layer.name == "smear contribution 1"
    assert (layer.data[60, 80], layer.data[20, 20]) == (0, 0.5)
    click(tools.chosen)
    assert layer not in viewer.layers


def test_update_of_one_plane_leaves_the_others(viewer, run, settle, dots_widget):
    dots_widget.form.planes.setCurrentText("all planes")
    stack = np.stack([smear((10, 10)), smear((40, 60), (10, 90))])
    tools = run(stack)
    points, cells = viewer.layers["smear centroids"], viewer.layers["smear cells"]
    before = cells.data[1].copy()
    points.add((0, 70, 20))
    settle(tools)
    assert cells.data[0, 70, 20] == 4
    np.testing.assert_array_equal(cells.data[1], before)
    assert list(cells.features["index"]) == [1, 2, 3, 4]
    assert list(cells.features["axis_0"]) == [0, 1, 1, 0]
    points.selected_data = {at for at, row in enumerate(points.data) if row[0] == 1}
    points.remove_selected()
    settle(tools)
    assert not cells.data[1].any()
    assert set(np.unique(cells.data[0])) == {0, 1, 4}


def test_update_of_the_current_plane_of_a_stack(viewer, run, settle):
    viewer.dims.set_current_step(0, 1)
    tools = run(np.stack([smear((10, 10)), smear((40, 60))]))
    cells, points = viewer.layers["smear cells"], viewer.layers["smear centroids"]
    points.add((0, 10, 100))
    settle(tools)
    assert cells.data.shape == (1, 90, 120)
    assert cells.data[0, 10, 100] == cells.data.max()


def test_lazy_image_says_why_it_cannot_be_corrected(viewer, run):
    pixels = da.from_array(smear(*CORNERS), chunks=(50, 50, 3))
    tools = run(pixels, rgb=True)
    assert "lazy image" in tools.hint.text()
    assert not tools.update_button.isEnabled()


def test_without_points_the_hint_says_how_to_get_them(viewer, run, dots_widget, click):
    click(dots_widget.form.outputs["points"])
    tools = run(smear(*CORNERS))
    assert "Tick Points" in tools.hint.text()


def test_a_second_run_is_corrected_by_its_own_points(
    viewer, run, dots_widget, click, finish, settle
):
    tools = run(smear(*CORNERS))
    click(dots_widget.button)
    finish(dots_widget)
    viewer.layers["smear centroids"].add((70, 20))
    viewer.layers["smear centroids [1]"].add((70, 100))
    settle(tools)
    assert viewer.layers["smear cells"].data.max() == 2
    assert viewer.layers["smear cells [1]"].data[70, 100] == 3
    viewer.layers.remove("smear centroids [1]")
    viewer.layers.remove("smear cells [1]")
    click(dots_widget.button)
    finish(dots_widget)


def test_merged_features_keep_rows_and_columns_of_people():
    import pandas as pd

    before = pd.DataFrame({"index": [1, 2, 3], "class": ["a", "b", "c"]})
    after = pd.DataFrame({"index": [1, 3, 4], "class": ["a", "d", "e"]})
    features = pd.DataFrame(
        {"index": [1, 2, 3, 9], "class": ["z", "b", "c", "mine"], "reviewed": [True] * 4}
    )
    found = merge_features(features, before, after)
    assert list(found["index"]) == [1, 3, 4, 9]
    assert list(found["class"]) == ["z", "d", "e", "mine"]
    assert list(found["reviewed"].isna()) == [False, False, True, False]
    seen = pd.DataFrame({"index": [1, 4], "class": ["a", "unknown"], "origin": ["auto", "added"]})
    found = merge_features(seen, before, after)
    assert list(found["class"]) == ["a", "d", "e"]
    assert list(found["origin"].fillna("")) == ["auto", "", "added"]
