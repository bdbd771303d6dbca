"""Counts, nuclei and centroids follow the corrections of a result, in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from hands import Hands
from squares import smear

from napari_wbc_nca.widgets.linked_layers import link_layers


def words(label):
    return label.text().replace("\N{NO-BREAK SPACE}", " ")


@pytest.fixture
def result(viewer, widget, click, finish, qtbot):
    """A lymphocyte and a neutrophil, with their nuclei."""
    viewer.add_image(smear((10, 10), (50, 70)), name="smear")
    qtbot.waitUntil(widget.form.outputs["nucleus"].isVisible)
    click(widget.form.outputs["nucleus"])
    click(widget.button)
    finish(widget)
    viewer.reset_view()
    return widget


def test_counts_legend_and_nuclei_follow_keys_and_undo(viewer, result):
    cells, nuclei = viewer.layers["smear cells"], viewer.layers["smear nuclei"]
    hands = Hands(viewer)
    before = nuclei.get_color(1)
    hands.point((20, 20))
    hands.key("Alt-1")
    assert words(result.status) == "2 cells: 2 neutrophils"
    assert "lymphocyte" not in result.legend.text()
    assert list(nuclei.features["class"]) == ["neutrophil", "neutrophil"]
    np.testing.assert_allclose(nuclei.get_color(1), cells.get_color(1))
    hands.key("Alt-D")
    assert words(result.status) == "1 cell: 1 neutrophil"
    assert nuclei.get_color(1)[3] == 0
    hands.key("Control-Z")
    hands.key("Control-Z")
    assert words(result.status) == "2 cells: 1 lymphocyte, 1 neutrophil"
    assert list(nuclei.features["class"]) == ["lymphocyte", "neutrophil"]
    np.testing.assert_allclose(nuclei.get_color(1), before)


def test_nuclei_of_merged_cells_have_the_class_of_the_cell_that_they_lie_in(viewer, result):
    cells, nuclei = viewer.layers["smear cells"], viewer.layers["smear nuclei"]
    hands = Hands(viewer)
    hands.key("Alt-M")
    hands.drag((20, 20), (60, 80))
    assert set(np.unique(cells.data)) == {0, 1}
    assert list(nuclei.features["class"]) == ["lymphocyte", "lymphocyte"]
    np.testing.assert_allclose(nuclei.get_color(2), cells.get_color(1))


def test_counts_of_a_cancelled_run_are_not_those_of_the_run_before(
    viewer, result, workflow, click, finish, qtbot
):
    workflow.slow = True
    workflow.calls.clear()
    click(result.button)
    qtbot.waitUntil(lambda: "segmenting" in result.status.text())
    assert result.legend.text() == ""
    click(result.progress.cancel)
    finish(result)
    assert words(result.status) == "Cancelled. 1 cell: 1 lymphocyte"
    viewer.layers["smear cells"].data_setitem((np.array([60]), np.array([80])), 0)
    assert words(result.status) == "Cancelled. 1 cell: 1 lymphocyte"


def test_second_result_is_selected_and_takes_the_place_of_the_first(viewer, result, click, finish):
    click(result.button)
    finish(result)
    first, second = viewer.layers["smear cells"], viewer.layers["smear cells [1]"]
    assert viewer.layers.selection.active is second
    assert [layer.visible for layer in (first, second)] == [False, True]
    assert not viewer.layers["smear nuclei"].visible
    hands = Hands(viewer)
    hands.point((20, 20))
    hands.key("Alt-D")
    assert second.data[20, 20] == 0
    assert first.data[20, 20] == 1


def test_points_take_the_class_of_their_cells_and_hide_with_them(
    viewer, dots_widget, click, finish
):
    viewer.add_image(smear((10, 10), (50, 70)), name="smear")
    click(dots_widget.button)
    finish(dots_widget)
    viewer.reset_view()
    cells, points = viewer.layers["smear cells"], viewer.layers["smear centroids"]
    colours = points.face_color.copy()
    hands = Hands(viewer)
    hands.point((20, 20))
    hands.key("Alt-2")
    assert list(points.features["class"]) == ["neutrophil", "neutrophil"]
    np.testing.assert_allclose(points.face_color[0], cells.get_color(2))
    hands.key("Alt-D")
    assert points.shown.tolist() == [False, True]
    hands.key("Control-Z")
    hands.key("Control-Z")
    assert points.shown.tolist() == [True, True]
    np.testing.assert_allclose(points.face_color, colours)


def test_cells_are_shown_by_outlines(viewer, result):
    cells = viewer.layers["smear cells"]
    assert cells.contour == 2
    assert cells.opacity == 1
    assert cells.get_value((20, 20)) == 1


def test_layers_are_not_kept_alive_by_their_link():
    import gc
    import weakref

    from napari.layers import Labels, Points

    data = np.ones((4, 4), np.uint32)
    cells, points = Labels(data, features={"index": [1], "class": ["wbc"]}), Points([[1, 1]])
    link_layers(cells, [points])
    gone = weakref.ref(cells), weakref.ref(points)
    del cells, points
    gc.collect()
    assert [known() for known in gone] == [None, None]
