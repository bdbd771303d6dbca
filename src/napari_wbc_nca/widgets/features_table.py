"""Features of a Labels layer: one row a label, measured columns, class and origin.

napari 0.9 takes the position of a row in its Features table for the label. While its widget works
on a layer whose table has the column ``index``, it is given a stand-in that counts by rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, wraps
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Labels

from napari_wbc_nca.cell_types import AUTO
from napari_wbc_nca.ops.labels import COLUMNS

UNKNOWN = "unknown"
"""Class of a cell that nobody named yet."""

_FEW = 10
"""Values of a column that are written one by one."""
Row = dict[str, Any]
Rows = Mapping[int, Row | None]
"""Label to its row; None where it has none."""


def complete_table(table: pd.DataFrame, measured: pd.DataFrame, origin: str = AUTO) -> pd.DataFrame:
    """Complete a table: one row for each cell that was measured, and none for others.

    Without the column ``index``, rows of `table` belong to labels 0, 1, 2 and so on; `measured` is
    from :func:`napari_wbc_nca.ops.labels.measure_cells`, `origin` for cells whose row has none.
    """
    known = with_index(table).drop_duplicates("index").set_index("index", drop=False)
    known = known.drop(columns=[name for name in measured if name in known])
    out = known.reindex(measured.index)
    out["index"] = out["label"] = out.index
    out = pd.concat([out, measured], axis=1)
    for name, value in (("class", UNKNOWN), ("origin", origin)):
        given = out[name].astype(object) if name in out else pd.Series(None, out.index, object)
        out[name] = given.where(given.notna(), value).astype("str")
    if "area_um2" in out:
        out["area_um2"] = out["area_px"] * pixel_area(table)
    order = [name for name in table if name in out]
    front = [name for name in ("index", "label") if name not in order]
    rest = [name for name in out if name not in (*order, *front)]
    columns = {name: _whole(str(name), out[name].array) for name in (*front, *order, *rest)}
    return pd.DataFrame(columns)


def with_index(table: pd.DataFrame) -> pd.DataFrame:
    """Add the column ``index``, by which napari finds the row of a label."""
    if "index" in table:
        return table
    numbers = table["label"] if "label" in table else np.arange(len(table))
    return table.assign(index=np.asarray(numbers, np.int64))


def is_complete(table: pd.DataFrame) -> bool:
    """Return whether a table has all columns that keeping it up to date needs."""
    return {"index", "label", "class", "origin", *COLUMNS} <= set(table)


def rows_by_label(table: pd.DataFrame, labels: Iterable[int]) -> dict[int, Row | None]:
    """Return the rows of some labels."""
    wanted = list(labels)
    at = np.flatnonzero(np.isin(table["index"].to_numpy(), wanted))
    names = [str(name) for name in table]
    # Taking rows out of a table of 5,000 cells as rows is ten times slower than either.
    if len(at) <= _FEW:
        values = [[_plain(table.iat[place, n]) for n in range(len(names))] for place in at.tolist()]
    else:
        columns = [table[name].array.take(at).tolist() for name in table]
        values = [list(row) for row in zip(*columns, strict=True)]
    rows: list[Row] = [dict(zip(names, row, strict=True)) for row in values]
    found = {row["index"]: row for row in rows}
    return {label: found.get(label) for label in wanted}


def _plain(value: Any) -> Any:
    """Return a number of numpy as one of Python."""
    return value.item() if isinstance(value, np.generic) else value


def replace_rows(table: pd.DataFrame, changes: Rows) -> pd.DataFrame:
    """Change, add or, where None, remove rows; the table stays in the order of labels."""
    labels = table["index"].to_numpy()
    kept = np.flatnonzero(~np.isin(labels, list(changes)))
    new = [row for row in changes.values() if row is not None]
    order = np.argsort([*labels[kept].tolist(), *(row["index"] for row in new)], kind="stable")
    columns = {}
    for name in table:
        values = _joined(table[name].array.take(kept), [row[str(name)] for row in new])
        columns[name] = _whole(str(name), values[order])
    return pd.DataFrame(columns)


def with_changed_values(table: pd.DataFrame, old: Rows, new: Rows) -> pd.DataFrame | None:
    """Change values of some rows; None where rows come or go, or values are of another type.

    The table that is given stays as it is.
    """
    changes: dict[str, dict[int, Any]] = {}
    for label, row in new.items():
        before = old.get(label)
        if row is None or before is None:
            return None
        for name, value in row.items():
            if not same_value(before.get(name), value):
                changes.setdefault(name, {})[label] = value
    return write_values(table, table["index"].to_numpy(), changes)


def write_values(
    table: pd.DataFrame, labels: Any, changes: Mapping[str, Mapping[int, Any]]
) -> pd.DataFrame | None:
    """Return a table with other values, by column and label; None where a type does not fit.

    `labels` ``(N,)`` are those of its rows. The table that is given stays as it is.
    """
    # Deep: pandas takes a shared block of columns apart for each of them, which takes longer.
    out, numbers = table.copy(), {str(name): n for n, name in enumerate(table)}
    wanted = {label for values in changes.values() for label in values}
    try:
        places = {label: int(np.flatnonzero(labels == label)[0]) for label in wanted}
        for name, values in changes.items():
            if len(values) > _FEW:
                at = [places[label] for label in values]
                out.iloc[at, numbers[name]] = list(values.values())
                continue
            for label, value in values.items():
                out.iat[places[label], numbers[name]] = value
    except (TypeError, ValueError, KeyError, IndexError):
        return None
    return out


def show_same_rows(layer: Labels, table: pd.DataFrame) -> bool:
    """Set features with the rows and columns that a layer has; False where that cannot be helped.

    napari checks a new table column by column and lists its labels again, which takes longer than
    the correction of a cell.
    """
    known: Any = getattr(layer, "_feature_table", None)
    if not hasattr(known, "_values"):
        return False
    known._values = table
    layer.events.properties()
    layer.events.features()
    return True


def _joined(old: Any, added: list[Any]) -> Any:
    """Append values to a column."""
    if old.dtype.kind in "iuf":
        return np.concatenate([np.asarray(old), np.asarray(added)]) if added else np.asarray(old)
    values = np.array([*old.tolist(), *added], object)
    if isinstance(old.dtype, pd.StringDtype):
        return pd.array(values, dtype=old.dtype)
    return values.astype(bool) if old.dtype.kind == "b" and not pd.isna(values).any() else values


def _whole(name: str, values: Any) -> Any:
    """Convert counts and places in pixels back to integers, after a row without them."""
    whole = name in ("index", "label") or name.startswith(("box_", "axis_"))
    if not (whole or name.endswith("_px")) or values.dtype.kind != "f" or np.isnan(values).any():
        return values
    return values.astype(np.int64)


def row_box(row: Row) -> tuple[slice, slice]:
    """Return the box of a cell from its row."""
    y, x = (slice(int(row[f"box_{axis}0"]), int(row[f"box_{axis}1"])) for axis in "yx")
    return y, x


def transfer_row(current: Row | None, here: Row | None, there: Row | None) -> Row | None:
    """Return the row as it was recorded `there` in the history, not `here`; later changes stay."""
    if current is None or here is None or there is None:
        return there
    return {
        name: there.get(name, value) if same_value(value, here.get(name)) else value
        for name, value in current.items()
    }


def pixel_area(table: pd.DataFrame) -> float:
    """Return the area of a pixel in µm², from the areas of a table; NaN where it has none."""
    if "area_um2" not in table or "area_px" not in table:
        return float("nan")
    return float((table["area_um2"] / table["area_px"]).median())


def same_value(a: Any, b: Any) -> bool:
    """Return whether two values of a table are the same; missing ones are."""
    return bool(a is b or a == b or (pd.isna(a) and pd.isna(b)))


METHODS = "_on_features_change", "_on_table_selection_changed", "_update_table_selected_cells"
"""Methods of napari's widget that take rows for labels, or show the numbers of rows."""


class RowSelection:
    """Stand-in for a Labels layer whose selected label is counted in rows of its table."""

    def __init__(self, layer: Labels) -> None:
        self.layer, self.name = layer, layer.name

    @property
    def features(self) -> pd.DataFrame:
        """Features of the layer, with their labels as the table's index."""
        table: pd.DataFrame = self.layer.features.set_axis(self._labels, axis="index")
        return table

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
    for one in opened:  # Qt keeps the methods that were connected
        one.table.selectionModel().selectionChanged.disconnect(one._on_table_selection_changed)
    for name in METHODS:
        setattr(FeaturesTable, name, _by_label(getattr(FeaturesTable, name)))
    for one in opened:
        one.table.selectionModel().selectionChanged.connect(one._on_table_selection_changed)
        one._on_features_change()


def _by_label(method: Callable[..., None]) -> Callable[..., None]:
    """Return a method of the widget that works on stand-ins of its Labels layers."""

    @wraps(method)
    def adapted(widget: Any, *_: Any) -> None:
        layers = widget._selected_layers
        widget._selected_layers = [
            RowSelection(x) if isinstance(x, Labels) and "index" in x.features else x
            for x in layers
        ]
        try:
            method(widget)
        finally:
            widget._selected_layers = layers

    return adapted
