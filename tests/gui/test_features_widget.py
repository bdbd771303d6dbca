"""Rows of napari's Features table are cells, in a real window."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hands import Hands
from qtpy.QtCore import QItemSelectionModel, Qt
from qtpy.QtTest import QTest


def add_labels(viewer, name="cells"):
    """Three cells; their labels have gaps."""
    data = np.zeros((60, 90), np.uint32)
    data[5:15, 5:15], data[5:15, 30:40], data[30:50, 30:60] = 1, 4, 9
    table = pd.DataFrame({"index": [1, 4, 9], "class": ["monocyte", "basophil", "wbc"]})
    return viewer.add_labels(data, features=table, name=name)


def select_row(docked, row):
    """Click a row with the mouse."""
    view = docked.table
    place = view.visualRect(view.model().index(row, 1)).center()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)


def selected_rows(docked):
    return sorted({index.row() for index in docked.table.selectionModel().selectedIndexes()})


@pytest.fixture
def table_widget(viewer):
    features_table = pytest.importorskip("napari_builtins._qt.features_table")
    _, docked = viewer.window.add_plugin_dock_widget("napari", "Features table widget")
    assert isinstance(docked, features_table.FeaturesTable)
    return docked


def test_row_selects_its_cell_which_delete_then_deletes(viewer, table_widget):
    _, correct = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Correct cells")
    layer = add_labels(viewer)
    for row, label in enumerate((1, 4, 9)):
        select_row(table_widget, row)
        assert layer.selected_label == label
        assert table_widget.table.model().sourceModel().df.index[row] == label
    assert correct.cell.text().startswith("Cell 9: wbc")
    select_row(table_widget, 1)
    Hands(viewer).leave()
    correct.buttons["delete"].click()
    assert sorted(np.unique(layer.data)) == [0, 1, 9]
    select_row(table_widget, 1)
    assert layer.selected_label == 9


def test_selected_label_selects_its_row(viewer, table_widget):
    viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Correct cells")
    layer = add_labels(viewer)
    layer.selected_label = 4
    assert selected_rows(table_widget) == [1]
    layer.selected_label = 2
    assert selected_rows(table_widget) == []


def test_rows_of_several_layers_select_in_their_own(viewer, table_widget):
    viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Correct cells")
    first, second = add_labels(viewer), add_labels(viewer, "more")
    second.selected_label = 7
    viewer.layers.selection = {first, second}
    names = table_widget.table.model().sourceModel().df["Layer"].tolist()
    row = names.index("more") + 2
    select_row(table_widget, row)
    assert second.selected_label == 9
    selection = table_widget.table.selectionModel()
    selection.select(
        table_widget.table.model().index(names.index("cells") + 1, 0),
        QItemSelectionModel.SelectionFlag.ClearAndSelect,
    )
    assert first.selected_label == 4
