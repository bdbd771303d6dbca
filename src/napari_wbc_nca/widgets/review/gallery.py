"""Gallery of cells: crops in groups, of which only those that are seen are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from qtpy.QtCore import QPoint, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from qtpy.QtWidgets import QAbstractScrollArea, QWidget

from napari_wbc_nca.cell_types import REJECTED, format_count

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt
    from qtpy.QtCore import QEvent

    from napari_wbc_nca.widgets.review.crops import CropSource
    from napari_wbc_nca.widgets.review.model import ReviewModel

CROP, GAP, BAR, HEADER = 64, 6, 5, 22
"""Screen pixels of a crop, between crops, of the probability bar, of a group's headline."""
_STEP = CROP + BAR + GAP


@dataclass(frozen=True, eq=False)
class Group:
    """Cells below one headline.

    Attributes
    ----------
    name
        Class of the cells; empty where all are in one group.
    labels
        Of the cells, in their order.
    top
        Screen pixel where the headline begins.
    """

    name: str
    labels: npt.NDArray[np.int64]
    top: int


class Gallery(QAbstractScrollArea):
    """Crops of the cells under review.

    A click selects, with Ctrl or Shift several; a double click emits `opened`; cells that are
    dragged to another group get its class.
    """

    opened = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.by_doubt = False
        self.only = ""
        self._model: ReviewModel | None = None
        self._crops: CropSource | None = None
        self._groups: list[Group] = []
        self._listed: Sequence[tuple[str, npt.NDArray[np.int64]]] = []
        self._order = np.zeros(0, np.int64)
        self._hover = 0
        self._pressed: tuple[int, QPoint] | None = None
        self._dragging = False
        self.viewport().setMouseTracking(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(CROP + HEADER)
        self.setAccessibleName("Gallery of cells")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def show_cells(self, model: ReviewModel | None, crops: CropSource | None) -> None:
        """Show the cells of a model, or none."""
        self._model, self._crops = model, crops
        if model is not None:
            model.changed.connect(self.rebuild)
            model.cells_changed.connect(self._on_cells)
            model.selection_changed.connect(self._on_selection)
        self.rebuild()

    def sort_by_doubt(self, on: bool) -> None:
        """Sort by doubt, or group by type."""
        self.by_doubt = on
        self.rebuild()

    def filter_class(self, name: str) -> None:
        """Show one class only; all where `name` is empty."""
        self.only = name
        self.rebuild()

    def labels(self) -> list[int]:
        """List the labels of the cells that are listed, in their order."""
        return [int(label) for label in self._order]

    def rebuild(self) -> None:
        """Sort the cells into groups again."""
        self._listed = self._arranged()
        self._place()

    def _place(self) -> None:
        """Place the groups one below the other, in as many columns as fit."""
        self._groups = []
        top = 0
        for name, labels in self._listed:
            self._groups.append(Group(name, labels, top))
            top += HEADER * bool(name) + -(-len(labels) // self._columns) * _STEP
        listed = [group.labels for group in self._groups]
        self._order = np.concatenate([np.zeros(0, np.int64), *listed])
        bar = self.verticalScrollBar()
        bar.setRange(0, max(0, top - self.viewport().height()))
        bar.setPageStep(self.viewport().height())
        bar.setSingleStep(_STEP)
        self.viewport().update()

    def rectangle(self, label: int) -> QRect | None:
        """Return where a cell lies in the viewport; None where it is not listed."""
        (found,) = np.nonzero(self._order == label)
        if not found.size:
            return None
        number = int(found[0])
        for group in self._groups:
            if number < len(group.labels):
                return self._rectangle(group, number)
            number -= len(group.labels)
        return None

    def _rectangle(self, group: Group, number: int) -> QRect:
        """Return where a cell of a group lies in the viewport."""
        row, column = divmod(number, self._columns)
        top = group.top + HEADER * bool(group.name) + row * _STEP
        left = GAP + column * (CROP + GAP)
        return QRect(left, top - self.verticalScrollBar().value(), CROP, CROP + BAR)

    def cell_at(self, point: QPoint) -> int:
        """Label of the cell at a point of the viewport; 0 where there is none."""
        group = self._group_at(point)
        if group is None:
            return 0
        y = point.y() + self.verticalScrollBar().value() - group.top - HEADER * bool(group.name)
        column, inside = divmod(point.x() - GAP, CROP + GAP)
        number = (y // _STEP) * self._columns + column
        within = y >= 0 and 0 <= column < self._columns and inside < CROP
        return int(group.labels[number]) if within and number < len(group.labels) else 0

    def sizeHint(self) -> QSize:
        """Return a size that shows some rows of cells."""
        return QSize(4 * (CROP + GAP) + GAP, 4 * (CROP + GAP))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Arrange the cells in as many columns as fit."""
        super().resizeEvent(event)
        self._place()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the cells that are seen."""
        painter = QPainter(self.viewport())
        offset, height = self.verticalScrollBar().value(), self.viewport().height()
        known = {} if self._model is None else self._model.colours()
        classes = [] if self._model is None else self._model.classes
        digits = {name: f"   ({number})" for number, name in enumerate(classes[:9], start=1)}
        chosen = set() if self._model is None else set(self._model.selection)
        for group in self._groups:
            top = group.top - offset
            if group.name and -HEADER < top < height:
                painter.setPen(QColor(known[group.name]))
                box = QRect(GAP, top, self.viewport().width(), HEADER)
                text = format_count(len(group.labels), group.name) + digits.get(group.name, "")
                painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, text)
            top += HEADER * bool(group.name)
            first = max(0, -top // _STEP) * self._columns
            last = ((height - top) // _STEP + 1) * self._columns
            for number in range(first, min(last, len(group.labels))):
                label, box = int(group.labels[number]), self._rectangle(group, number)
                self._draw(painter, label, box, known, label in chosen)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Select the cell under the mouse."""
        label = self.cell_at(event.pos())
        if self._model is None or not label:
            return
        selection = list(self._model.selection)
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            selection = (
                [n for n in selection if n != label] if label in selection else [*selection, label]
            )
        elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier and selection:
            selection = self._between(selection[0], label)
        elif label not in selection:
            selection = [label]
        self._pressed = (label, event.pos())
        self._model.select(selection)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show the outline of the cell under the mouse, or drag the selected ones."""
        if self._pressed is not None:
            far = (event.pos() - self._pressed[1]).manhattanLength() > GAP
            self._dragging = self._dragging or far
            shape = (
                Qt.CursorShape.ClosedHandCursor if self._dragging else Qt.CursorShape.ArrowCursor
            )
            self.viewport().setCursor(shape)
            return
        label = self.cell_at(event.pos())
        if label != self._hover:
            self._hover = label
            self.viewport().update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Give dragged cells the class of the group that they are dropped on."""
        dragged, self._dragging = self._dragging, False
        pressed, self._pressed = self._pressed, None
        self.viewport().unsetCursor()
        if self._model is None or pressed is None:
            return
        group = self._group_at(event.pos())
        if dragged and group is not None and group.name:
            self._model.classify(self._model.selection, group.name)
        elif not dragged and not event.modifiers() and len(self._model.selection) > 1:
            self._model.select([pressed[0]])

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Ask for the cell to be shown in the viewer."""
        if label := self.cell_at(event.pos()):
            self.opened.emit(label)

    def leaveEvent(self, event: QEvent) -> None:
        """Hide the outline of the cell that was under the mouse."""
        self._hover = 0
        self.viewport().update()

    @property
    def _columns(self) -> int:
        return max(1, (self.viewport().width() - GAP) // (CROP + GAP))

    def _arranged(self) -> Sequence[tuple[str, npt.NDArray[np.int64]]]:
        """Name and labels of each group, in their order."""
        if self._model is None:
            return []
        table = self._model.table
        # In arrays: an edit of one of 5,000 cells is not to be felt.
        doubt, labels = table["doubt"].to_numpy(float), table.index.to_numpy(np.int64)
        codes, names = pd.factorize(table["group"].to_numpy(object))
        order = np.argsort(-doubt, kind="stable")
        if self.only:
            order = order[np.append(names == self.only, False)[codes[order]]]
        if self.by_doubt:
            return [("", labels[order])]
        # Every class has a group, so that cells can be dragged to it.
        classes = [] if self.only else self._model.classes
        present = {str(name): code for code, name in enumerate(names)}
        listed = dict.fromkeys([*classes, *sorted(present)])
        if self.only:
            listed = dict.fromkeys([self.only] if order.size else [])
        return [(name, labels[order[codes[order] == present.get(name, -1)]]) for name in listed]

    def _group_at(self, point: QPoint) -> Group | None:
        y = point.y() + self.verticalScrollBar().value()
        above = [group for group in self._groups if group.top <= y]
        return above[-1] if above else None

    def _between(self, first: int, last: int) -> list[int]:
        """List the cells from one to another in the order of the gallery."""
        listed = self.labels()
        if first not in listed:
            return [last]
        a, b = listed.index(first), listed.index(last)
        return listed[a : b + 1] if a <= b else listed[b : a + 1][::-1]

    def _draw(
        self, painter: QPainter, label: int, box: QRect, known: Mapping[str, str], chosen: bool
    ) -> None:
        if self._model is None or self._crops is None:
            return
        row = self._model.cell(label)
        outline = label == self._hover
        painter.drawPixmap(box.topLeft(), self._crops.pixmap(label, row, CROP, outline))
        colour = QColor(known[str(row["group"])])
        share = float(np.nan_to_num(row["probability"], nan=1.0))
        bar = QRect(box.left(), box.top() + CROP + 1, round(CROP * share), BAR - 2)
        painter.fillRect(bar, colour)
        if row["status"] == REJECTED:
            painter.fillRect(QRect(box.left(), box.top(), CROP, CROP), QColor(0, 0, 0, 150))
        if chosen:
            painter.setPen(QPen(QColor("white"), 3))
            painter.drawRect(QRect(box.left() + 1, box.top() + 1, CROP - 2, CROP - 2))
        elif row["doubtful"]:
            painter.setPen(QPen(QColor("#f0a000"), 2, Qt.PenStyle.DotLine))
            painter.drawRect(QRect(box.left() + 1, box.top() + 1, CROP - 2, CROP - 2))

    def _on_cells(self, labels: Iterable[int]) -> None:
        """Move cells to their groups, or draw them again where they are."""
        assert self._model is not None
        groups = self._model.table["group"]
        listed = dict(self._listed)
        wanted = {label: "" if self.by_doubt else str(groups[label]) for label in labels}
        if self.only or any(
            name not in listed or not (listed[name] == label).any()
            for label, name in wanted.items()
        ):
            self.rebuild()
        else:
            self.viewport().update()

    def _on_selection(self) -> None:
        if self._model is not None and self._model.selection and self._pressed is None:
            box = self.rectangle(self._model.selection[0])
            if box is not None:
                bar = self.verticalScrollBar()
                if box.top() < 0 or box.bottom() > self.viewport().height():
                    bar.setValue(bar.value() + box.top() - self.viewport().height() // 3)
        self.viewport().update()
