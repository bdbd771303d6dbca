"""Differential count of the cells under review, which follows every edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QGuiApplication
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_wbc_nca.cell_types import colours
from napari_wbc_nca.ops.differential import TOTAL, differential
from napari_wbc_nca.widgets.layout import row, text_label

if TYPE_CHECKING:
    from napari_wbc_nca.widgets.review.model import ReviewModel

HEADERS = ("type", "n", "%", "95 % interval", "doubtful", "border")
TIPS = (
    "Click a type to see only its cells",
    "Cells that are counted; rejected ones are not",
    "Share of all white cells, unsure ones included",
    "Wilson's interval of the share",
    "Cells that wait for a review",
    "Cells that the border of the image cuts",
)


class DifferentialTable(QWidget):
    """Counts and shares of the types, with their intervals; a click chooses a type."""

    type_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = QTableWidget(0, len(HEADERS))
        for column, tip in enumerate(TIPS):
            item = QTableWidgetItem(HEADERS[column])
            item.setToolTip(tip)
            self.table.setHorizontalHeaderItem(column, item)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(20)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setAccessibleName("Differential count")
        self.summary = text_label()
        self.copy = QPushButton("Copy")
        self.copy.setToolTip("Copy the table, to be pasted into a spreadsheet")
        self.save = QPushButton("Save as CSV…")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        layout.addWidget(self.summary)
        layout.addWidget(row(self.copy, self.save))
        self.counts = pd.DataFrame()
        self._model: ReviewModel | None = None
        self.table.cellClicked.connect(self._on_click)
        self.copy.clicked.connect(self._copy)
        self.save.clicked.connect(self._save)

    def show_cells(self, model: ReviewModel | None) -> None:
        """Count the cells of a model."""
        self._model = model
        if model is not None:
            model.changed.connect(self._update)
        self._update()

    def _update(self) -> None:
        if self._model is None:
            self.table.setRowCount(0)
            self.summary.setText("")
            return
        cells = self._model.table
        unsure = cells["class"].where(~cells["unsure"], "unsure")
        self.counts = differential(cells.assign(**{"class": unsure}), self._model.classes)
        known = colours(self.counts["class"])
        self.table.setRowCount(len(self.counts))
        for number, line in enumerate(self.counts.itertuples(index=False)):
            texts = (
                line[0],
                str(line.n),
                f"{line.percent:.1f}",
                f"{line.low:.1f}\N{EN DASH}{line.high:.1f}" if line[0] != TOTAL else "",
                str(line.doubtful),
                str(line.border),
            )
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight)
                elif line[0] != TOTAL:
                    item.setForeground(QColor(known[line[0]]))
                self.table.setItem(number, column, item)
        height = self.table.horizontalHeader().sizeHint().height() + 20 * len(self.counts) + 4
        self.table.setFixedHeight(height)
        self.summary.setText(summary(self.counts))

    def _on_click(self, number: int, column: int) -> None:
        name = str(self.counts["class"].iloc[number])
        self.type_chosen.emit("" if name == TOTAL else name)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.counts.to_csv(sep="\t", index=False))

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the differential", filter="CSV (*.csv)")
        if path:
            self.counts.to_csv(path, index=False)


def summary(counts: pd.DataFrame) -> str:
    """Sentence on how far the review is.

    Examples
    --------
    >>> from napari_wbc_nca.ops.differential import differential
    >>> cells = pd.DataFrame({"class": ["monocyte"] * 2, "status": ["auto", "accepted"]})
    >>> summary(differential(cells))
    '1 of 2 reviewed'
    """
    total = counts[counts["class"] == TOTAL].iloc[0]
    text = f"{total['reviewed']} of {total['n']} reviewed"
    if total["doubtful"]:
        text += f", {total['doubtful']} doubtful"
    if total["border"]:
        text += f", {total['border']} at the border"
    return text
