"""Differential count of the cells under review, which follows every edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QGuiApplication
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
)

from napari_wbc_nca.ops.differential import TOTAL, differential
from napari_wbc_nca.widgets.layout import Column, row, text_label, with_tip
from napari_wbc_nca.widgets.review.keys import KeysTableWidget

if TYPE_CHECKING:
    from napari_wbc_nca.widgets.review.model import ReviewModel

HEADERS = ("type", "n", "%", "95 %", "doubtful", "border")
TIPS = (
    "Click a type to see only its cells",
    "Cells that are counted; rejected ones are not",
    "Share of all white cells, unsure ones included",
    "Wilson's 95 % interval of the share",
    "Cells that wait for a review",
    "Cells that the border of the image cuts",
)
THIS, OPEN, FOLDER = SCOPES = ("This image", "Open images", "Folder")
"""Whose cells are counted."""
ROW = 20
"""Height of a row in screen pixels."""


class DifferentialTable(Column):
    """Counts and shares of the types, with their intervals; a click chooses a type.

    Attributes
    ----------
    others
        Function that returns the tables of a choice of `SCOPES` by image.
    """

    type_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.table = _table()
        self.summary = text_label()
        tip = "Whose cells are counted and reported; Folder is that of the dock Images of a folder"
        self.scope = with_tip(QComboBox(), tip)
        self.scope.addItems(SCOPES)
        self.copy = with_tip(QPushButton("Copy"), "Copy the table, to be pasted into a spreadsheet")
        self.save = QPushButton("CSV…")
        self.save.setToolTip("Save the table; over several images, with rows for each")
        self.plot = with_tip(QPushButton("Plot"), "Show the shares and their intervals as bars")
        self.rows.addWidget(self.table)
        self.rows.addWidget(self.summary)
        self.report = QPushButton("Report…")
        self.report.setToolTip("Write a page to read, print and sign, with all cells and reasons")
        self.rows.addWidget(row(self.scope, self.copy, self.save, self.plot, self.report))
        self.counts = pd.DataFrame()
        self.others: Callable[[str], Mapping[str, pd.DataFrame]] = lambda scope: {}
        self._model: ReviewModel | None = None
        self.table.cellClicked.connect(self._on_click)
        self.copy.clicked.connect(self._copy)
        self.save.clicked.connect(self._save)
        self.scope.currentIndexChanged.connect(lambda _: self.update_counts())

    def show_cells(self, model: ReviewModel | None) -> None:
        """Count the cells of a model."""
        self._model = model
        if model is not None:
            model.changed.connect(self.update_counts)
            model.cells_changed.connect(lambda _: self.update_counts())
        self.update_counts()

    def update_counts(self) -> None:
        """Count the cells again."""
        if self._model is None:
            self.counts = pd.DataFrame()
            self.table.setRowCount(0)
            self.summary.setText("")
            return
        tables = self._tables()
        self.counts = _count(list(tables.values()), self._model.classes)
        self._fill(self._model.colours())
        suffix = f", {len(tables)} images" if len(tables) > 1 else ""
        self.summary.setText(review_progress(self.counts) + suffix)

    def csv(self, separator: str = ",") -> str:
        """Return the table as text; over several images with a column ``image``."""
        tables = self._tables() if self._model is not None else {}
        if self._model is None or len(tables) < 2:
            return str(self.counts.to_csv(sep=separator, index=False))
        parts = {name: _count([cells], self._model.classes) for name, cells in tables.items()}
        parts["all images"] = self.counts
        rows = pd.concat(parts, names=["image", ""]).reset_index("image")
        return str(rows.to_csv(sep=separator, index=False))

    def _tables(self) -> Mapping[str, pd.DataFrame]:
        assert self._model is not None
        one = {self._model.layer.name: self._model.table}
        scope = self.scope.currentText()
        return (one if scope == THIS else self.others(scope)) or one

    def _fill(self, colours: Mapping[str, str]) -> None:
        cells = self.table.model()
        if self.table.rowCount() != len(self.counts):
            self.table.setRowCount(len(self.counts))
            header = self.table.horizontalHeader().sizeHint().height()
            self.table.setFixedHeight(header + ROW * len(self.counts) + 4)
        with QSignalBlocker(cells):  # columns find their widths at each change that is announced
            for number, texts in enumerate(_texts(self.counts)):
                items = [self._write(number, *cell) for cell in enumerate(texts)]
                if texts[0] in colours:
                    items[0].setForeground(QColor(colours[texts[0]]))
        last = cells.index(len(self.counts) - 1, len(HEADERS) - 1)
        cells.dataChanged.emit(cells.index(0, 0), last)

    def _write(self, number: int, column: int, text: str) -> QTableWidgetItem:
        item = self.table.item(number, column)
        if item is None:
            item = QTableWidgetItem()
            side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
            item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
            self.table.setItem(number, column, item)
        item.setText(text)
        return item

    def _on_click(self, number: int, column: int) -> None:
        name = str(self.counts["class"].iloc[number])
        self.type_chosen.emit("" if name == TOTAL else name)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.csv("\t"))

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the differential", filter="CSV (*.csv)")
        if path:
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(self.csv())


def _table() -> QTableWidget:
    table = KeysTableWidget(0, len(HEADERS))
    for column, tip in enumerate(TIPS):
        item = QTableWidgetItem(HEADERS[column])
        item.setToolTip(tip)
        table.setHorizontalHeaderItem(column, item)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(ROW)
    header = table.horizontalHeader()
    header.setMinimumSectionSize(24)
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setAccessibleName("Differential count")
    return table


def _texts(counts: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the texts of each row of the table."""
    names = ("class", "n", "percent", "low", "high", "doubtful", "border")
    return [
        (
            str(name),
            str(n),
            f"{percent:.1f}",
            f"{low:.0f}\N{EN DASH}{high:.0f}" if name != TOTAL else "",
            str(doubtful),
            str(border),
        )
        for name, n, percent, low, high, doubtful, border in zip(
            *(counts[name].tolist() for name in names), strict=True
        )
    ]


def _count(tables: Sequence[pd.DataFrame], classes: list[str]) -> pd.DataFrame:
    """Count the cells of some images by the class by which they are counted."""
    wanted = {"class": "group", **{n: n for n in ("status", "doubtful", "touches_border")}}
    columns = {
        name: [
            table[column].to_numpy(object) if column in table else np.full(len(table), None)
            for table in tables
        ]
        for name, column in wanted.items()
    }
    return differential({n: np.concatenate(parts) for n, parts in columns.items()}, classes)


def review_progress(counts: pd.DataFrame) -> str:
    """Say in a sentence how far the review is.

    Examples
    --------
    >>> from napari_wbc_nca.ops.differential import differential
    >>> cells = pd.DataFrame({"class": ["monocyte"] * 2, "status": ["auto", "accepted"]})
    >>> review_progress(differential(cells))
    '1 of 2 white cells reviewed'
    """
    reviewed, total = (int(counts[name].iloc[-1]) for name in ("reviewed", "n"))
    return f"{reviewed} of {total} white cells reviewed"
