"""Table of the cells under review: sorted and filtered by pandas, drawn by Qt where it is seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QLineEdit, QVBoxLayout, QWidget

from napari_wbc_nca.widgets.review.keys import KeysTableView

if TYPE_CHECKING:
    from napari_wbc_nca.widgets.review.model import ReviewModel

FIRST = ("type", "doubt", "reason", "status", "probability", "area_px", "nc_ratio")
"""Columns that come first; the others follow in the order of the cells' table."""
HIDDEN = ("index", "label", "group", "unsure", "doubtful", "second", "second_probability")
CAPTIONS = {
    "area_px": "area (px)",
    "area_um2": "area (µm²)",
    "nc_ratio": "N:C ratio",
    "reviewed_at": "time (UTC)",
    "touches_border": "cut by the border",
}
_CELL = Qt.ItemDataRole.DisplayRole
_NOWHERE = QModelIndex()
ModelIndex = QModelIndex | QPersistentModelIndex


class CellsTableModel(QAbstractTableModel):
    """Rows of a table of cells, in an order and behind a filter.

    Attributes
    ----------
    labels
        Label of each row that is shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self._table = pd.DataFrame()
        self._columns: list[str] = []
        self._colours: Mapping[str, str] = {}
        self._sorted: tuple[str, bool] = ("", True)
        self._filter = ""
        self.labels: list[int] = []

    def set_table(self, table: pd.DataFrame, colours: Mapping[str, str]) -> None:
        """Show another table, in the same order and behind the same filter."""
        self.beginResetModel()
        self._table, self._colours = table, colours
        first = [name for name in FIRST if name in table]
        others = [str(n) for n in table if n not in first and n not in HIDDEN]
        self._columns = first + [name for name in others if not name.startswith("doubt_")]
        self._arrange()
        self.endResetModel()

    def change_cells(self, table: pd.DataFrame, colours: Mapping[str, str]) -> None:
        """Show other values of the rows there are; they stay where they are until sorted again."""
        if self._filter:
            self.set_table(table, colours)
            return
        self._table, self._colours = table, colours
        last = self.index(len(self.labels) - 1, len(self._columns))
        self.dataChanged.emit(self.index(0, 0), last)

    def set_filter(self, text: str) -> None:
        """Show rows that hold a text in any column of words, or satisfy ``column > number``."""
        self.beginResetModel()
        self._filter = text.strip()
        self._arrange()
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; column 0 is the label."""
        self.layoutAboutToBeChanged.emit()
        name = self._columns[column - 1] if 0 < column <= len(self._columns) else ""
        self._sorted = (name, order == Qt.SortOrder.AscendingOrder)
        self._arrange()
        self.layoutChanged.emit()

    def rowCount(self, parent: ModelIndex = _NOWHERE) -> int:
        """Return the number of rows that are shown."""
        return 0 if parent.isValid() else len(self.labels)

    def columnCount(self, parent: ModelIndex = _NOWHERE) -> int:
        """Return the number of columns, that of the label included."""
        return 0 if parent.isValid() else len(self._columns) + 1

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _CELL) -> Any:
        """Return the caption of a column."""
        if role != _CELL or orientation != Qt.Orientation.Horizontal:
            return None
        if section == 0:
            return "label"
        name = self._columns[section - 1]
        return CAPTIONS.get(name, name.replace("_", " "))

    def data(self, index: ModelIndex, role: int = _CELL) -> Any:
        """Return the text of a cell, and the colour of a type."""
        label = self.labels[index.row()]
        if index.column() == 0:
            return str(label) if role == _CELL else None
        name = self._columns[index.column() - 1]
        value = self._table.at[label, name]
        if role == _CELL:
            return text_of(value)
        if role == Qt.ItemDataRole.ForegroundRole and name == "type":
            return QColor(self._colours.get(str(self._table.at[label, "group"]), "white"))
        if role == Qt.ItemDataRole.ToolTipRole and name == "reason":
            return str(value)
        return None

    def _arrange(self) -> None:
        table = self._table
        if self._filter and len(table):
            table = table[matching(table, self._filter)]
        name, ascending = self._sorted
        if name and name in table:
            table = table.sort_values(name, ascending=ascending, kind="stable")
        elif not ascending:
            table = table.iloc[::-1]
        self.labels = [int(label) for label in table.index]


def matching(table: pd.DataFrame, text: str) -> pd.Series:
    """Find the rows that a filter lets through.

    Parameters
    ----------
    table
        One row a cell.
    text
        ``area_px > 500`` and the like where it is such a comparison, else words of which each
        stands in some column of texts.

    Examples
    --------
    >>> cells = pd.DataFrame({"type": ["monocyte", "blast"], "area_px": [900, 400]})
    >>> matching(cells, "area_px > 500").tolist(), matching(cells, "bla").tolist()
    ([True, False], [False, True])
    """
    for sign, compare in (
        *(("<=", pd.Series.le), (">=", pd.Series.ge)),
        *(("<", pd.Series.lt), (">", pd.Series.gt), ("=", pd.Series.eq)),
    ):
        name, found, value = text.partition(sign)
        if found and name.strip() in table:
            column = table[name.strip()]
            if pd.api.types.is_numeric_dtype(column):
                number = pd.to_numeric(value.strip(), errors="coerce")
                return column.astype(float).pipe(compare, float(number))
            return column.astype(str) == value.strip()
    texts = table.select_dtypes(exclude="number").astype(str).agg(" ".join, axis=1).str.lower()
    out = pd.Series(True, table.index)
    for word in text.lower().split():
        out &= texts.str.contains(word, regex=False)
    return out


def text_of(value: Any) -> str:
    """Format a value: three digits of a fraction, nothing for what is missing."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.3g}"
    return str(value)


class CellsTable(QWidget):
    """Table of the cells under review, with a filter, that shares their selection."""

    opened = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.filter = QLineEdit(placeholderText="Filter: eosinophil, area_px > 500 …")
        self.filter.setClearButtonEnabled(True)
        self.rows = CellsTableModel()
        self.view = KeysTableView()
        self.view.setModel(self.rows)
        self.view.setSortingEnabled(True)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(20)
        self.view.setAccessibleName("Table of cells")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.filter)
        layout.addWidget(self.view)
        self._model: ReviewModel | None = None
        self.filter.textChanged.connect(self.rows.set_filter)
        self.view.selectionModel().selectionChanged.connect(self._on_rows)
        self.view.doubleClicked.connect(lambda at: self.opened.emit(self.rows.labels[at.row()]))

    def show_cells(self, model: ReviewModel | None) -> None:
        """Show the cells of a model, or none."""
        self._model = model
        if model is not None:
            model.changed.connect(self._on_changed)
            model.cells_changed.connect(self._on_cells)
            model.selection_changed.connect(self._on_selection)
        self._on_changed()

    def _on_changed(self) -> None:
        if self._model is not None:
            self.rows.set_table(self._model.table, self._model.colours())
            self._on_selection()

    def _on_cells(self, labels: object) -> None:
        if self._model is not None:
            self.rows.change_cells(self._model.table, self._model.colours())
            if self.filter.text():
                self._on_selection()

    def _on_rows(self) -> None:
        """Select the cells whose rows were selected."""
        if self._model is not None:
            chosen = self.view.selectionModel().selectedRows()
            current = self.view.currentIndex().row()
            # The row that was clicked comes first: it is the one that the card shows.
            rows = sorted((index.row() for index in chosen), key=lambda row: row != current)
            self._model.select(self.rows.labels[row] for row in rows)

    def _on_selection(self) -> None:
        """Select the rows of the cells that were selected elsewhere."""
        if self._model is None:
            return
        rows = np.flatnonzero(np.isin(self.rows.labels, self._model.selection))
        selection = QItemSelection()
        # By runs of rows: Qt takes long for thousands of single ones.
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else ():
            ends = (self.rows.index(int(run[at]), 0) for at in (0, -1))
            selection.select(*ends)
        flags = QItemSelectionModel.SelectionFlag
        selector = self.view.selectionModel()
        selector.blockSignals(True)
        selector.select(selection, flags.ClearAndSelect | flags.Rows)
        selector.blockSignals(False)
        if len(rows):
            self.view.scrollTo(self.rows.index(int(rows[0]), 0))
        self.view.viewport().update()
