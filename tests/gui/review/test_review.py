"""The Review dock in a real window, with real keys and mouse."""

from __future__ import annotations

import numpy as np
import pytest
from hands import Hands
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget
from reviewing import add_cells, close_dock, open_dock, press, settle

from napari_wbc_nca.widgets.linked_layers import link_layers
from napari_wbc_nca.widgets.missed_places import MISSED
from napari_wbc_nca.widgets.planes import OURS, SHOWS
from napari_wbc_nca.widgets.review import prompts
from napari_wbc_nca.widgets.review.canvas import canvas_size
from napari_wbc_nca.widgets.review.plots import CellsPlot
from napari_wbc_nca.widgets.review.prompts import Found

LEFT = Qt.MouseButton.LeftButton
NONE, CONTROL = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier


def click_crop(dock, label, modifier=NONE):
    QTest.mouseClick(
        dock.gallery.viewport(), LEFT, modifier, dock.gallery.rectangle(label).center()
    )
    settle()


def counts(dock):
    """Type to number, as the table of the differential shows it."""
    table = dock.differential.table
    return {
        table.item(row, 0).text(): int(table.item(row, 1).text()) for row in range(table.rowCount())
    }


def selected_rows(dock):
    rows = dock.table.view.selectionModel().selectedRows()
    return [dock.table.rows.labels[index.row()] for index in rows]


def test_dock_shows_an_unsure_type_nowhere_as_a_fact(dock, layer):
    assert dock.model.cell(3)["type"] == "unsure (neutrophil 0.45, lymphocyte 0.30)"
    assert counts(dock)["unsure"] == 1
    assert counts(dock)["neutrophil"] == 3
    np.testing.assert_allclose(layer.get_color(3)[:3], [168 / 255] * 3, atol=0.01)
    assert not np.allclose(layer.get_color(1), layer.get_color(3))


def test_space_confirms_and_goes_on_through_the_queue(dock, column):
    press(dock.gallery, "n")
    assert dock.model.selection == (3,)
    press(dock.gallery, " ")
    assert column("status")[3] == "accepted"
    assert dock.model.selection == (2,)
    press(dock.gallery, "2")
    assert column("class")[2] == "lymphocyte"
    assert column("status")[2] == "edited"
    assert counts(dock)["lymphocyte"] == 1
    assert "No doubtful cell" in dock.status.text()
    assert "2 of 4 white cells reviewed" in dock.differential.summary.text()


def test_undo_and_redo_are_followed_by_the_differential(dock, layer, column):
    dock.reviewer.setText("AB")
    dock.reviewer.editingFinished.emit()
    click_crop(dock, 1)
    press(dock.gallery, "u")
    assert column("class")[1] == "unsure"
    assert column("reviewer")[1] == "AB"
    assert column("reviewed_at")[1]
    assert counts(dock)["unsure"] == 2
    layer.undo()
    settle()
    assert column("class")[1] == "neutrophil"
    assert counts(dock)["unsure"] == 1
    layer.redo()
    settle()
    assert counts(dock)["unsure"] == 2


def test_selection_is_one_in_canvas_table_gallery_and_card(viewer, dock, layer):
    click_crop(dock, 2)
    assert layer.selected_label == 2
    assert selected_rows(dock) == [2]
    assert "Cell 2" in dock.card.text.text()
    layer.mode = "pan_zoom"
    Hands(viewer).click((70, 70))
    assert dock.model.selection == (3,)
    assert selected_rows(dock) == [3]
    dock.tabs.setCurrentWidget(dock.table)
    settle()
    view = dock.table.view
    at = view.visualRect(dock.table.rows.index(dock.table.rows.labels.index(4), 1)).center()
    QTest.mouseClick(view.viewport(), LEFT, NONE, at)
    assert dock.model.selection == (4,)
    assert layer.selected_label == 4
    layer.selected_label = 1
    assert dock.model.selection == (1,)


def test_double_click_zooms_to_three_times_the_box(viewer, dock, layer):
    at = dock.gallery.rectangle(2).center()
    QTest.mouseDClick(dock.gallery.viewport(), LEFT, NONE, at)
    camera = getattr(viewer, "scene", viewer).camera
    np.testing.assert_allclose(camera.center[-2:], (20, 70), atol=1)
    assert min(canvas_size(viewer)) / camera.zoom == pytest.approx(60)


def test_several_cells_are_reclassified_at_once_and_deleted_in_one_step(dock, layer, column):
    click_crop(dock, 1)
    click_crop(dock, 4, CONTROL)
    assert set(dock.model.selection) == {1, 4}
    press(dock.gallery, "2")
    assert column("class") == {
        1: "lymphocyte", 2: "neutrophil", 3: "neutrophil", 4: "lymphocyte"
    }  # fmt: skip
    dock.model.select([1, 4])
    press(dock.gallery, "d")
    assert sorted(np.unique(layer.data)) == [0, 2, 3]
    assert sorted(dock.model.table.index) == [2, 3]
    layer.undo()
    settle()
    assert sorted(np.unique(layer.data)) == [0, 1, 2, 3, 4]
    assert column("class")[4] == "lymphocyte"


def test_cells_dragged_to_another_group_get_its_class(dock, column):
    gallery = dock.gallery
    start = gallery.rectangle(1).center()
    group = next(group for group in gallery._groups if group.name == "lymphocyte")
    end = start.__class__(30, group.top - gallery.verticalScrollBar().value() + 5)
    viewport = gallery.viewport()
    QTest.mousePress(viewport, LEFT, NONE, start)
    QTest.mouseMove(viewport, (start + end) / 2)
    QTest.mouseMove(viewport, end)
    QTest.mouseRelease(viewport, LEFT, NONE, end)
    assert column("class")[1] == "lymphocyte"


def test_names_of_columns_do_not_widen_the_dock(qtbot, dock):
    dock.model.table["a column whose name is longer than the dock is wide, much longer"] = 1.0
    plot = CellsPlot()
    qtbot.addWidget(plot)
    plot.show_cells(dock.model)
    assert plot.vertical.findText(dock.model.table.columns[-1]) >= 0
    assert plot.minimumSizeHint().width() < 300


def test_a_clicked_type_filters_gallery_and_table(dock):
    table = dock.differential.table
    row = [table.item(n, 0).text() for n in range(table.rowCount())].index("unsure")
    at = table.visualItemRect(table.item(row, 0)).center()
    QTest.mouseClick(table.viewport(), LEFT, NONE, at)
    assert dock.gallery.labels() == [3]
    assert dock.table.rows.labels == [3]
    dock.all.click()
    assert len(dock.gallery.labels()) == 4


def test_keys_on_the_canvas_act_on_the_review(viewer, dock, layer, column):
    viewer.layers.selection.active = layer
    hands = Hands(viewer)
    hands.leave()
    hands.key("Alt-N")
    assert dock.model.selection == (3,)
    hands.key("Alt-Return")
    assert column("status")[3] == "accepted"
    assert dock.model.selection == (2,)
    hands.key("Alt-U")
    assert column("class")[2] == "unsure"
    dock.model.select([1])
    hands.key("Alt-X")
    assert column("status")[1] == "rejected"
    assert sum(counts(dock).values()) == 2 * 3
    assert "Alt+N" in dock.keys.text() or not dock.keys.isVisible()
    dock.show_keys()
    assert "Next doubtful" in dock.keys.text()


def test_cells_of_all_open_images_are_counted_together(viewer, dock):
    add_cells(viewer, "second")
    settle()
    assert dock.model.layer.name == "second cells"
    dock.differential.scope.setCurrentText("Open images")
    assert counts(dock)["neutrophil"] == 6
    assert "2 images" in dock.differential.summary.text()
    text = dock.differential.csv()
    assert text.startswith("image,class,n,percent")
    assert {line.split(",")[0] for line in text.splitlines()[1:]} == {
        "smear", "second", "all images"
    }  # fmt: skip


def test_renamed_and_removed_layers_are_followed(viewer, dock, layer):
    layer.name = "renamed"
    assert dock.layer.currentText() == "renamed"
    model = dock.model
    add_cells(viewer, "second")
    viewer.layers.selection.active = layer
    assert dock.model.layer is layer
    assert dock.model is not model
    viewer.layers.remove(layer)
    settle()
    assert dock.model.layer.name == "second cells"
    viewer.layers.clear()
    settle()
    assert dock.model is None
    assert counts(dock) == {}
    assert dock.card.text.text() == "No cell is selected."


def test_a_closed_dock_leaves_the_canvas_alone(viewer, dock, layer):
    viewer.window.remove_dock_widget(dock)
    settle()
    assert dock.model is None
    assert len(viewer.mouse_double_click_callbacks) == 1
    Hands(viewer).key("Alt-N")
    assert "Review cells first" in viewer.status


def test_dock_shares_the_place_of_the_segment_dock(viewer, widget, layer):
    dock = open_dock(viewer)
    settle()
    window = viewer.window._qt_window
    own, other = (
        next(d for d in window.findChildren(QDockWidget) if d.isAncestorOf(x))
        for x in (dock, widget)
    )
    assert other in window.tabifiedDockWidgets(own)
    assert dock.isVisible()


def test_a_click_after_a_adds_a_cell_and_after_r_redraws_it(
    viewer, dock, layer, column, monkeypatch, qtbot
):
    def find(source, index, prompt, model):
        yield None
        corner = (int(prompt.centre[0]) - 5, int(prompt.centre[1]) - 5)
        return Found(corner, np.ones((10, 10), bool), {"class": "lymphocyte", "p_lymphocyte": 0.9})

    monkeypatch.setattr(prompts, "find", find)
    monkeypatch.setattr(prompts, "model_of", lambda layer: ("squares", {}, 20.0))
    viewer.reset_view()
    settle()
    press(dock.gallery, "a")
    Hands(viewer).click((70, 20))
    qtbot.waitUntil(lambda: 5 in dock.model.table.index, timeout=20_000)
    assert column("area_px")[5] == 100
    assert column("class")[5] == "lymphocyte"
    assert dock.model.cell(5)["status"] == "added"
    assert dock.model.selection == (5,)
    press(dock.gallery, "r")
    Hands(viewer).click((20, 20))
    qtbot.waitUntil(lambda: column("area_px")[1] == 100, timeout=20_000)
    assert (layer.data == 1).sum() == 100
    layer.undo()
    layer.undo()
    settle()
    assert 5 not in dock.model.table.index
    assert column("area_px")[1] == 400


def test_likely_missed_cells_take_part_in_the_queue(viewer, layer, column, monkeypatch, qtbot):
    def find(source, index, prompt, model):
        yield None
        assert prompt.centre.tolist() == [70, 20]
        mask = np.ones((10, 10), bool)
        return Found((65, 15), mask, {"class": "lymphocyte"}, np.eye(10, dtype=bool))

    monkeypatch.setattr(prompts, "find", find)
    monkeypatch.setattr(prompts, "model_of", lambda layer: ("squares", {}, 20.0))
    places = [(70, 20, 0.3), (40, 100, 0.99)]
    layer.metadata[OURS] |= {
        "run": "1",
        MISSED: [
            {"plane": [], "y": y, "x": x, "score": score, "reason": "nearly", "diameter": 20.0}
            for y, x, score in places
        ],
    }
    made = {OURS: {"run": "1", SHOWS: "nucleus"}}
    nuclei = viewer.add_labels(np.zeros_like(layer.data), metadata=made, colormap=layer.colormap)
    link_layers(layer, [nuclei])
    viewer.layers.selection.active = layer
    dock = open_dock(viewer)
    try:
        press(dock.gallery, "p")
        assert dock.model.selection == (-1,)
        assert "Likely missed cell" in dock.card.text.text()
        press(dock.gallery, " ")
        assert dock.model.queue() == [3, 2, -2]
        layer.undo()
        settle()
        assert dock.model.queue() == [3, 2, -2, -1]
        dock.model.select([-1])
        press(dock.gallery, "1")
        assert "Enter adds it" in dock.status.text()
        dock.reviewer.setFocus()
        QTest.keyClick(dock.reviewer, Qt.Key.Key_Return)
        assert "Segmenting" not in dock.status.text()
        dock.gallery.setFocus()
        QTest.keyClick(dock.gallery, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: 5 in dock.model.table.index, timeout=20_000)
        assert dock.model.cell(5)["status"] == "added"
        assert column("class")[5] == "lymphocyte"
        assert dock.model.places.index.tolist() == [-2]
        assert (nuclei.data == 5).sum() == 10
        layer.undo()
        settle()
        assert dock.model.places.index.tolist() == [-1, -2]
        assert not nuclei.data.any()
        layer.redo()
        assert (nuclei.data == 5).sum() == 10
    finally:
        close_dock(viewer, dock)
