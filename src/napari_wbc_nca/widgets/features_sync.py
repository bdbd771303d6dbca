"""Keep the features of a Labels layer in step with its pixels, and with napari's undo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np

from napari_wbc_nca.cell_types import ADDED, AUTO, EDITED
from napari_wbc_nca.ops.labels import measure_cells, measure_rows
from napari_wbc_nca.widgets import undo_history as history
from napari_wbc_nca.widgets.class_colours import inherit_colours, recolour
from napari_wbc_nca.widgets.features_table import (
    UNKNOWN,
    Row,
    Rows,
    complete_table,
    is_complete,
    pixel_area,
    replace_rows,
    row_box,
    rows_by_label,
    show_same_rows,
    transfer_row,
    with_changed_values,
)
from napari_wbc_nca.widgets.planes import Index, labels_source, pixel_size

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Labels

    from napari_wbc_nca.ops.edit import Edit

LARGEST = 2**28
"""Pixels above which labels on disk are not measured."""

_FOLLOWERS: WeakKeyDictionary[Labels, Follower] = WeakKeyDictionary()


def follow(layer: Labels, *, fresh: bool = False) -> Follower:
    """Keep the features of `layer` in step with its pixels, from the first call on.

    Where the features are `fresh`, known to be those of the pixels, these are not measured.
    """
    layer = getattr(layer, "__wrapped__", layer)  # plugins get proxies
    if layer not in _FOLLOWERS:
        _FOLLOWERS[layer] = Follower(layer, fresh=fresh)
    return _FOLLOWERS[layer]


@dataclass(frozen=True, eq=False)
class Recorded:
    """Rows of the table before and after a step of the history; None where they are unknown.

    `change` are its pixels, known when it is done for the first time.
    """

    step: history.Step  # kept, since its id identifies it
    before: Rows | None
    after: Rows | None
    done: bool = True
    change: history.PixelChange | None = None


class Follower:
    """Keep one row a label in a layer's features, and write edits; made by :func:`follow`.

    `places` are rows of numbers below 0: decisions on places where a cell was likely missed. They
    are annotated, undone and written into journals as those of cells.
    """

    def __init__(self, layer: Labels, *, fresh: bool) -> None:
        self._layer = ref(layer)
        self._steps: dict[int, Recorded] = {}
        self.places: dict[int, Row] = {}
        self._edit: Edit | None = None
        self._annotated: dict[int, Mapping[str, Any]] = {}
        self.operation = ""
        self.listeners: list[Callable[[str, Recorded], None]] = []
        self._stale = False
        self._seen: tuple[int, ...] = ()
        self._largest = 0
        if fresh and "origin" not in layer.features:
            layer.features = layer.features.assign(origin=AUTO)
        if not (fresh and is_complete(layer.features)):
            self.measure_all(AUTO)
        self._largest = max([0, *layer.features["index"].tolist()])
        for steps, done in ((history.undo_steps(layer), True), (history.redo_steps(layer), False)):
            for step in steps:
                self._steps[history.step_id(step)] = Recorded(step, None, None, done)
        for name in ("paint", "labels_update", "set_data"):
            getattr(layer.events, name).connect(self._on_pixels)
        layer.events.data.connect(self._on_data)

    @property
    def layer(self) -> Labels:
        """The layer that is followed."""
        layer = self._layer()
        if layer is None:
            raise ValueError("the layer was removed; choose another one")
        return layer

    @property
    def fresh_label(self) -> int:
        """A label that no cell has, or had since the layer is followed."""
        return self._largest + 1

    def write(
        self,
        edit: Edit,
        index: Index,
        operation: str = "",
        values: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> None:
        """Write an edit of the plane at `index`, as one step of napari's undo.

        `operation` is its name in a journal; `values`, as in :meth:`annotate`, belong to the same
        step. A ValueError says that the edit changes nothing.
        """
        layer = self.layer
        window = np.asarray(layer.data[(*index, *edit.part)])
        changed = np.nonzero(window != edit.values)
        if not changed[0].size:
            raise ValueError("nothing to change: the cell already is like that")
        inside = [at + side.start for at, side in zip(changed, edit.part, strict=True)]
        lead = [np.full(changed[0].size, at) for at in index]
        inherit_colours(layer, edit.parents)
        self._edit, self.operation = edit, operation
        self._annotated = self._with_columns(values or {})
        try:
            with layer.block_history():
                layer.data_setitem((*lead, *inside), edit.values[changed])
        finally:
            self._edit, self.operation, self._annotated = None, "", {}

    def classify(self, label: int, name: str) -> None:
        """Give a cell a class, as one step of napari's undo."""
        self.annotate({label: {"class": name}})

    def annotate(self, values: Mapping[int, Mapping[str, Any]], operation: str = "") -> None:
        """Change columns of cells' rows, as one step of napari's undo.

        `values` are label to new values by column; new columns are empty for all other cells.
        `operation` is its name in a journal, by default that of the column.
        """
        self._annotated, self.operation = self._with_columns(values), operation
        try:
            history.add_empty_step(self.layer)
        finally:
            self._annotated, self.operation = {}, ""

    def _with_columns(
        self, values: Mapping[int, Mapping[str, Any]]
    ) -> dict[int, Mapping[str, Any]]:
        """Return `values`, after columns that the table lacks were added to it."""
        rows = (row for label, row in values.items() if label > 0)
        new = {name: "" for row in rows for name in row if name not in self.table}
        if new:
            self.layer.features = self.table.assign(**new)
        return dict(values)

    def boxes(self, labels: Iterable[int]) -> dict[int, tuple[slice, slice]]:
        """Return the boxes of cells; all are measured where the table is wrong about one."""
        wanted = list(labels)
        if self._stale or not all(map(self._is_right, rows_by_label(self.table, wanted).values())):
            self.measure_all(ADDED)
        found = rows_by_label(self.table, wanted)
        return {label: row_box(row) for label, row in found.items() if row is not None}

    def measure_all(self, origin: str) -> None:
        """Measure all cells; what else the table holds of them stays."""
        layer = self.layer
        if not isinstance(layer.data, np.ndarray) and layer.data.size > LARGEST:
            raise ValueError(
                f"{layer.name} has {layer.data.size} pixels on disk and no table of its cells; "
                f"crop it, or segment it with this plugin, which makes the table"
            )
        measured = measure_cells(np.asarray(layer.data))
        layer.features = complete_table(layer.features, measured, origin)
        self._largest = max(self._largest, *measured.index.tolist(), 0)
        self._stale = False

    @property
    def table(self) -> pd.DataFrame:
        """The layer's features, with all the columns that following it needs."""
        if not is_complete(self.layer.features):  # somebody set features of their own
            self.measure_all(AUTO)
        table: pd.DataFrame = self.layer.features
        return table

    def _rows(self, labels: Iterable[int]) -> dict[int, Row | None]:
        """Return the rows of cells and of places."""
        wanted = list(labels)
        places = {label: self.places.get(label) for label in wanted if label < 0}
        return rows_by_label(self.table, [label for label in wanted if label > 0]) | places

    def _is_right(self, row: Row | None) -> bool:
        if row is None:
            return False
        window = np.asarray(self.layer.data[(..., *row_box(row))])
        return bool(np.count_nonzero(window == row["index"]) == row["area_px"])

    def _on_data(self, event: Any = None) -> None:
        self._stale = True

    def _on_pixels(self, event: Any = None) -> None:
        """Apply to the table what the history did since the last call."""
        layer = self._layer()
        if layer is None:
            return
        state = history.state_of(layer)
        if state == self._seen:  # napari announces each move of the mouse
            return
        undone, done = list(history.redo_steps(layer)), list(history.undo_steps(layer))
        for step in undone:
            record = self._steps.get(history.step_id(step))
            if record is not None and record.done:
                self._travel(record, back=True)
        for step in done:
            record = self._steps.get(history.step_id(step))
            if record is None:
                if not history.is_written(layer, step):
                    return  # the event of the pixels follows
                self._record(step)
            elif not record.done:
                self._travel(record, back=False)
        known = {history.step_id(step) for step in (*undone, *done)}
        self._steps = {key: record for key, record in self._steps.items() if key in known}
        self._seen = state

    def _record(self, step: history.Step) -> None:
        """Apply a step that was done for the first time."""
        change = history.change_of(self.layer, step)
        self._largest = max(self._largest, *change.gain, 0)
        if self._stale:
            self.measure_all(ADDED)
        before = self._rows([*change.gain, *self._annotated])
        after = self._measured(change, before)
        if self._edit is not None:
            after = _inherited(after, before, self._edit)
        for label, values in self._annotated.items():
            if label < 0:
                after[label] = {**(before[label] or {"index": label}), **values}
            elif (row := after.get(label) or before[label]) is not None:
                named = _named(row, values["class"]) if "class" in values else row
                after[label] = {**named, **values}
        record = self._steps[history.step_id(step)] = Recorded(step, before, after)
        self._show(before, after)
        self._notify("edit", replace(record, change=change))  # whose pixels are not kept

    def _travel(self, record: Recorded, *, back: bool) -> None:
        """Undo or redo a step in the table; values changed since stay."""
        self._steps[history.step_id(record.step)] = replace(record, done=not back)
        here, there = (record.after, record.before) if back else (record.before, record.after)
        if here is None or there is None:
            self.measure_all(ADDED)
        else:
            now = self._rows(there)
            wanted = {k: transfer_row(now[k], here.get(k), row) for k, row in there.items()}
            self._show(now, wanted)
        self._notify("undo" if back else "redo", record)

    def _notify(self, action: str, record: Recorded) -> None:
        for listener in self.listeners:
            listener(action, record)

    def _measured(self, change: history.PixelChange, before: Rows) -> dict[int, Row | None]:
        """Measure the labels that a step changed."""
        if change.part is None:
            return {}
        boxes = [row_box(row) for label, row in before.items() if label > 0 and row is not None]
        area = history.around([change.part[-2:], *boxes])
        labels = np.asarray(self.layer.data[(..., *area)])
        found = measure_rows(labels, change.gain, [side.start for side in area])
        after: dict[int, Row | None] = dict.fromkeys(change.gain)
        for label, sizes in found.items():
            row = before[label] or self._blank(label)
            origin = EDITED if row["origin"] == AUTO else row["origin"]
            after[label] = row | {"origin": origin} | self._sizes(sizes)
        return after

    def _sizes(self, found: Mapping[str, float]) -> Row:
        table = self.layer.features
        sizes: Row = {name: value for name, value in found.items() if name in table}
        if "area_um2" in table:
            known, side = pixel_area(table), pixel_size(labels_source(self.layer))
            sizes["area_um2"] = found["area_px"] * (known if known > 0 or side is None else side**2)
        return sizes

    def _blank(self, label: int) -> Row:
        """Return the row of a cell that a person drew."""
        row: Row = dict.fromkeys(map(str, self.layer.features), np.nan)
        return row | {"index": label, "label": label, "class": UNKNOWN, "origin": ADDED}

    def _show(self, old: Rows, changes: Rows) -> None:
        layer = self.layer
        if not changes:
            return
        for number, row in changes.items():
            if number < 0 and row is None:
                self.places.pop(number, None)
            elif number < 0 and row is not None:
                self.places[number] = row
        cells = {label: row for label, row in changes.items() if label > 0}
        if not cells:
            layer.events.features()  # who follows the features follows the places too
            return
        classes = {
            label: row["class"]
            for label, row in cells.items()
            if row is not None and row["class"] != (old.get(label) or {}).get("class")
        }
        recolour(layer, classes)  # first: who follows the features sees the colours too
        table = with_changed_values(layer.features, old, cells)
        if table is None or not show_same_rows(layer, table):
            layer.features = replace_rows(layer.features, cells)


def _named(row: Row, name: str) -> Row:
    """Return a row with the class that a person gave."""
    probability = row.get(f"p_{name}", np.nan)
    origin = EDITED if row["origin"] == AUTO else row["origin"]
    changes = {"class": name, "origin": origin, "class_probability": probability}
    return row | {column: value for column, value in changes.items() if column in row}


def _inherited(after: dict[int, Row | None], before: Rows, edit: Edit) -> dict[int, Row | None]:
    """Return the rows of new labels with the class of the cells whose pixels they took."""
    out = dict(after)
    for label, old in edit.parents.items():
        row, parent = after.get(label), before.get(old)
        if row is None or parent is None:
            continue
        if edit.moved:
            out[label] = parent | {"index": label, "label": label}
        else:
            origin = EDITED if parent["origin"] == AUTO else parent["origin"]
            out[label] = row | {"class": parent["class"], "origin": origin}
    return out
