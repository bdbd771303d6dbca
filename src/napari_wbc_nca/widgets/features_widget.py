"""Adapt napari's Features table widget to tables whose column ``index`` holds the labels.

napari 0.9 takes the position of a row in the table for its label: the row of cell 1 selects label
0, and a deleted cell shifts all rows below it. Labels layers map labels to rows by the column
``index``; while napari's widget works on such a layer, it is given a stand-in that counts as the
widget does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

if TYPE_CHECKING:
    import pandas as pd

METHODS = (
    "_on_features_change",
    "_on_table_selection_changed",
    "_update_table_selected_cells",
)
"""Methods of napari's widget that take rows for labels, or show the numbers of rows."""


class RowSelection:
    """Stand-in for a Labels layer whose selected label is counted in rows of its table.

    Parameters
    ----------
    layer
        Labels layer whose features have the column ``index``.
    """

    def __init__(self, layer: Labels) -> None:
        self.layer, self.name = layer, layer.name

    @property
    def features(self) -> pd.DataFrame:
        """Features of the layer, with their labels as the table's index."""
        return self.layer.features.set_axis(self._labels, axis="index")

    @property
    def selected_label(self) -> int:
        """Row of the selected label; the number of rows where it has none."""
        found = np.flatnonzero(self._labels == self.layer.selected_label)
        return int(found[0]) if found.size else len(self._labels)

    @selected_label.setter
    def selected_label(self, row: int) -> None:
        self.layer.selected_label = int(self._labels[row])

    @property
    def _labels(self) -> Any:
        return self.layer.features["index"].to_numpy()


@cache
def adapt_features_widget() -> None:
    """Have napari's Features table select cells by their label, now and when it is opened."""
    try:
        from napari_builtins._qt.features_table import FeaturesTable
    except ImportError:  # before napari 0.7
        return
    from qtpy.QtWidgets import QApplication

    opened = [w for w in QApplication.allWidgets() if isinstance(w, FeaturesTable)]
    for widget in opened:  # Qt keeps the methods that were connected
        widget.table.selectionModel().selectionChanged.disconnect(
            widget._on_table_selection_changed
        )
    for name in METHODS:
        setattr(FeaturesTable, name, _by_label(getattr(FeaturesTable, name)))
    for widget in opened:
        widget.table.selectionModel().selectionChanged.connect(widget._on_table_selection_changed)
        widget._on_features_change()


def _by_label(method: Callable[..., None]) -> Callable[..., None]:
    """Return a method of the widget that works on stand-ins of its Labels layers."""

    @wraps(method)
    def adapted(widget: Any, *_: Any) -> None:
        layers = widget._selected_layers
        widget._selected_layers = [
            RowSelection(layer)
            if isinstance(layer, Labels) and "index" in layer.features
            else layer
            for layer in layers
        ]
        try:
            method(widget)
        finally:
            widget._selected_layers = layers

    return adapted
