"""Scatter plot and histogram of the cells' columns; cells are selected by a lasso."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.widgets import LassoSelector, SpanSelector
from qtpy.QtWidgets import QHBoxLayout

from napari_wbc_nca.ops.differential import TOTAL, differential
from napari_wbc_nca.widgets.layout import Column, choice_box
from napari_wbc_nca.widgets.train import theme_colours

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from qtpy.QtGui import QShowEvent

    from napari_wbc_nca.widgets.review.model import ReviewModel

HISTOGRAM, DIFFERENTIAL = "(histogram)", "(differential)"
"""What the vertical axis shows instead of a column."""


class CellsPlot(Column):
    """Plot of one or two columns of the table of cells.

    A lasso drawn around points, or a span of a histogram, selects cells.
    """

    def __init__(self) -> None:
        super().__init__()
        # As wide as the dock, however long the names of columns are.
        self.horizontal = choice_box((), "Column of the horizontal axis")
        self.vertical = choice_box((), "Column of the vertical axis, or what is counted")
        self.horizontal.setAccessibleName("Horizontal axis")
        self.vertical.setAccessibleName("Vertical axis")
        self.canvas = FigureCanvasQTAgg(Figure(layout="constrained"))  # type: ignore[no-untyped-call]
        self.canvas.setMinimumHeight(100)
        axes = QHBoxLayout()
        axes.addWidget(self.horizontal, 1)
        axes.addWidget(self.vertical, 1)
        self.rows.addLayout(axes)
        self.rows.addWidget(self.canvas)
        self._model: ReviewModel | None = None
        self._selector: LassoSelector | SpanSelector | None = None
        self.horizontal.currentTextChanged.connect(self.draw)
        self.vertical.currentTextChanged.connect(self.draw)

    def show_cells(self, model: ReviewModel | None) -> None:
        """Plot the cells of a model, or none."""
        self._model = model
        if model is not None:
            model.changed.connect(self.draw)
            model.cells_changed.connect(lambda _: self.draw())
            model.selection_changed.connect(self.draw)
            self._offer(model.table)
        self.draw()

    def draw(self) -> None:
        """Draw the plot, where it is seen."""
        if not self.isVisible() or self._model is None:
            return
        figure = self.canvas.figure
        figure.clear()
        import matplotlib as mpl

        with mpl.rc_context(theme_colours()):
            figure.set_facecolor(mpl.rcParams["axes.facecolor"])
            axes = figure.add_subplot()
            self.horizontal.setEnabled(self.vertical.currentText() != DIFFERENTIAL)
            axes.set_xlabel(self.horizontal.currentText())
            if self.vertical.currentText() == HISTOGRAM:
                self._histogram(axes, self._model.table)
            elif self.vertical.currentText() == DIFFERENTIAL:
                self._differential(axes, self._model)
            else:
                self._scatter(axes, self._model.table, self._model.colours())
        self.canvas.draw_idle()  # type: ignore[no-untyped-call]

    def showEvent(self, event: QShowEvent) -> None:
        """Draw what changed while the plot was not seen."""
        super().showEvent(event)
        self.draw()

    def _offer(self, table: pd.DataFrame) -> None:
        names = [str(name) for name in table.select_dtypes("number") if table[name].notna().any()]
        for box, first, extra in (
            (self.horizontal, "area_px", []),
            (self.vertical, "nc_ratio", [HISTOGRAM, DIFFERENTIAL]),
        ):
            box.blockSignals(True)
            box.clear()
            box.addItems(extra + names)
            box.setCurrentText(first if first in names else (extra + names or [""])[0])
            box.blockSignals(False)

    def _differential(self, axes: Axes, model: ReviewModel) -> None:
        """Draw the shares of the types as bars, with their intervals."""
        counts = differential(model.table.assign(**{"class": model.table["group"]}), model.classes)
        counts = counts[counts["class"] != TOTAL].iloc[::-1]
        known = model.colours()
        whiskers = [counts["percent"] - counts["low"], counts["high"] - counts["percent"]]
        axes.barh(
            counts["class"],
            counts["percent"],
            xerr=np.clip(whiskers, 0, None),
            color=[known.get(name, "gray") for name in counts["class"]],
            ecolor="gray",
        )
        axes.set_xlabel("% of white cells, with 95 % intervals")
        self._selector = None

    def _scatter(self, axes: Axes, table: pd.DataFrame, known: Mapping[str, str]) -> None:
        x, y = self.horizontal.currentText(), self.vertical.currentText()
        if x not in table or y not in table:
            return
        names = table["group"].astype(str)
        axes.scatter(table[x], table[y], s=14, c=[known[name] for name in names])
        chosen = table[table.index.isin(self._model.selection if self._model else ())]
        axes.scatter(chosen[x], chosen[y], s=60, facecolors="none", edgecolors="white")
        axes.set_ylabel(y)
        points = table[[x, y]].to_numpy(float)
        self._selector = LassoSelector(
            axes, lambda line: self._choose(Path(line).contains_points(points))
        )

    def _histogram(self, axes: Axes, table: pd.DataFrame) -> None:
        x = self.horizontal.currentText()
        if x not in table:
            return
        values = table[x].to_numpy(float)
        axes.hist(values[np.isfinite(values)], bins=30, color="#56b4e9")
        axes.set_ylabel("cells")
        self._selector = SpanSelector(
            axes, lambda low, high: self._choose((values >= low) & (values <= high)), "horizontal"
        )

    def _choose(self, inside: np.ndarray) -> None:
        if self._model is not None:
            self._model.select(self._model.table.index[inside])
