"""Journal of the corrections of one label layer: every edit, undo and redo is one transaction."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.io._files import to_json

if TYPE_CHECKING:
    import sqlite3
    from concurrent.futures import Future

    from napari_wbc_nca.project.database import Database

Labels = npt.NDArray[np.unsignedinteger[Any]]
Row = Mapping[str, Any]

_BAND = 1024
"""Rows of pixels in one blob of a snapshot."""
_CACHED = 64
"""Edits that stay in memory, so that undo need not read them."""


@dataclass(frozen=True, eq=False)
class RegionChange:
    """Change of a rectangle of one plane.

    Attributes
    ----------
    plane
        Position of the plane on the leading axes; empty for a single plane.
    origin
        Row and column of the rectangle's first pixel.
    before, after
        ``(h, w)`` labels.
    """

    plane: tuple[int, ...]
    origin: tuple[int, int]
    before: Labels
    after: Labels


@dataclass(frozen=True, eq=False)
class Correction:
    """One correction.

    Attributes
    ----------
    kind
        What was done, such as ``paint``, ``merge`` or ``classify``.
    regions
        What changed of the pixels, in order.
    rows
        Label to its row of the table of cells before and after; None where it had, or has, none.
        Numbers below 0 are places where a cell was likely missed, with what was decided.
    reviewer
        Who did it.
    time
        When, in UTC, as ISO 8601.
    """

    kind: str
    regions: tuple[RegionChange, ...] = ()
    rows: Mapping[int, tuple[Row | None, Row | None]] = field(default_factory=dict)
    reviewer: str = ""
    time: str = field(default_factory=lambda: now())


def now() -> str:
    """Return the time in UTC, as ISO 8601 with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def apply_edit(
    labels: Labels, rows: dict[int, Row], edit: Correction, forward: bool = True
) -> None:
    """Apply an edit to labels ``(..., Y, X)`` and rows in place; not `forward` takes it back."""
    for region in edit.regions if forward else reversed(edit.regions):
        y, x = region.origin
        height, width = region.before.shape
        values = region.after if forward else region.before
        where: tuple[Any, ...] = (*region.plane, slice(y, y + height), slice(x, x + width))
        labels[where] = values
    apply_rows(rows, edit.rows, forward)


def apply_rows(
    rows: dict[int, Row],
    changes: Mapping[int, tuple[Row | None, Row | None]],
    forward: bool = True,
) -> None:
    """Apply the changes of an edit to rows in place; not `forward` takes them back."""
    for label, (before, after) in changes.items():
        row = after if forward else before
        if row is None:
            rows.pop(label, None)
        else:
            rows[label] = row


def cell_rows(rows: Mapping[int, Row]) -> dict[int, Row]:
    """Return the rows of cells: numbers below 0 are places where a cell was likely missed."""
    return {label: row for label, row in rows.items() if label > 0}


def difference(
    labels: Labels, rows: Mapping[int, Row], new_labels: Labels, new_rows: Mapping[int, Row]
) -> tuple[tuple[RegionChange, ...], dict[int, tuple[Row | None, Row | None]]]:
    """Return what leads from one state of a layer to another: regions and rows of an edit.

    Labels are ``(..., Y, X)``; a ValueError says that their shapes differ.
    """
    if labels.shape != new_labels.shape:
        raise ValueError(
            f"the layer has the shape {new_labels.shape} now, its journal {labels.shape}; "
            "add the new labels as a layer, so that a new journal begins"
        )
    regions = []
    for plane in np.ndindex(labels.shape[:-2]):
        y, x = np.nonzero(labels[plane] != new_labels[plane])
        if y.size:
            where = slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int(x.max()) + 1)
            before, after = labels[plane][where].copy(), new_labels[plane][where].copy()
            regions.append(RegionChange(plane, (where[0].start, where[1].start), before, after))
    changes = {
        label: (rows.get(label), new_rows.get(label))
        for label in dict.fromkeys((*rows, *new_rows))
        if to_json(rows.get(label)) != to_json(new_rows.get(label))
    }
    return tuple(regions), changes


class Journal:
    """Corrections of one layer, written in the background in their order.

    Edits form a tree: one that is made after an undo begins a branch, and the undone ones stay
    in the database. `head` is the edit whose state the layer shows, 0 before the first.
    """

    def __init__(self, database: Database, layer: int) -> None:
        self._database, self.layer = database, layer
        ((self.head, self._tip),) = database.query(
            "SELECT head, tip FROM layers WHERE id = ?", layer
        )
        self._parents = dict(database.query("SELECT id, parent FROM edits WHERE layer = ?", layer))
        self._cache: dict[int, Correction] = {}

    def __len__(self) -> int:
        """Number of edits that are applied."""
        return sum(1 for _ in self._ancestors(self.head))

    def record(self, edit: Correction) -> Future[None]:
        """Append an edit that has just been made; the future is done once it is committed."""
        number = self._database.next_edit()
        self._parents[number], parent = self.head, self.head
        self.head = self._tip = number
        self._remember(number, edit)
        return self._database.submit(lambda c: _insert(c, self.layer, number, parent, edit))

    def undo(self) -> Correction | None:
        """Take back the last edit that is applied; returns it, or None where there is none."""
        if not self.head:
            return None
        edit = self.edit(self.head)
        self._move("undo", self._parents[self.head])
        return edit

    def redo(self) -> Correction | None:
        """Apply the edit again that was taken back last; returns it, or None."""
        following = [n for n in self._ancestors(self._tip) if self._parents[n] == self.head]
        if not following:
            return None
        edit = self.edit(following[0])
        self._move("redo", following[0])
        return edit

    def edit(self, number: int) -> Correction:
        """Read an edit by its number."""
        if number not in self._cache:
            self._database.flush()
            self._remember(number, _read(self._database, number))
        return self._cache[number]

    def restore(self) -> tuple[Labels, dict[int, Row]]:
        """Restore labels ``(..., Y, X)`` and rows by label, with all edits up to `head` applied."""
        self._database.flush()
        ((shape, rows),) = self._database.query(
            "SELECT shape, rows FROM layers WHERE id = ?", self.layer
        )
        bands = self._database.query(
            "SELECT labels FROM snapshots WHERE layer = ? ORDER BY band", self.layer
        )
        flat = np.concatenate([unpack(band) for (band,) in bands])
        labels = flat.reshape(json.loads(shape)).astype(np.uint32)
        table: dict[int, Row] = {int(label): row for label, row in json.loads(rows).items()}
        for number in reversed(list(self._ancestors(self.head))):
            apply_edit(labels, table, _read(self._database, number))
        return labels, table

    def rows(self) -> dict[int, Row]:
        """Restore the rows by label alone, without the pixels, which takes much less time."""
        self._database.flush()
        ((rows,),) = self._database.query("SELECT rows FROM layers WHERE id = ?", self.layer)
        table: dict[int, Row] = {int(label): row for label, row in json.loads(rows).items()}
        changes = dict(
            self._database.query("SELECT id, rows FROM edits WHERE layer = ?", self.layer)
        )
        for number in reversed(list(self._ancestors(self.head))):
            found = json.loads(changes[number])
            apply_rows(table, {int(label): tuple(change) for label, change in found.items()})
        return table

    def set_classes(self, names: Sequence[str]) -> Future[None]:
        """Write the classes that are offered for the cells of the layer, used or not."""
        value = f"classes of {self.layer}", _json(list(names))

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", value)

        return self._database.submit(write)

    def classes(self) -> list[str]:
        """Read the classes that are offered; empty where none was added."""
        found = self._database.query(
            "SELECT value FROM settings WHERE name = ?", f"classes of {self.layer}"
        )
        return [str(name) for (value,) in found for name in json.loads(value)]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape ``(..., Y, X)`` of the labels."""
        ((shape,),) = self._database.query("SELECT shape FROM layers WHERE id = ?", self.layer)
        return tuple(json.loads(shape))

    def _move(self, action: str, head: int) -> None:
        self.head = head
        self._database.submit(lambda c: _set_head(c, self.layer, action, head, self._tip))

    def _ancestors(self, number: int) -> Iterator[int]:
        """Return `number` and the edits before it, from the last to the first."""
        while number:
            yield number
            number = self._parents[number]

    def _remember(self, number: int, edit: Correction) -> None:
        self._cache[number] = edit
        if len(self._cache) > _CACHED:
            del self._cache[next(iter(self._cache))]


def pack(labels: npt.NDArray[Any]) -> bytes:
    """Compress labels, in the smallest integer type that holds them.

    Label images are piecewise constant, so that zlib at its fastest level leaves about 1 %.
    """
    dtype = np.min_scalar_type(int(labels.max(initial=0)))
    return dtype.char.encode() + zlib.compress(np.ascontiguousarray(labels, dtype).tobytes(), 1)


def unpack(packed: bytes) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Return the labels ``(N,)`` of :func:`pack`."""
    return np.frombuffer(zlib.decompress(packed[1:]), np.dtype(packed[:1].decode()))


def insert_layer(
    connection: sqlite3.Connection,
    image: int,
    name: str,
    labels: Labels,
    rows: Mapping[int, Row],
    run: Mapping[str, Any],
) -> int:
    """Add a layer with its labels and rows before any edit; returns its number."""
    cursor = connection.execute(
        "INSERT INTO layers (image, name, shape, run, rows, created) VALUES (?, ?, ?, ?, ?, ?)",
        (image, name, _json(labels.shape), _json(run), _json(rows), now()),
    )
    layer = int(cursor.lastrowid or 0)
    lines = labels.reshape(-1, labels.shape[-1])
    connection.executemany(
        "INSERT INTO snapshots VALUES (?, ?, ?)",
        (
            (layer, number, pack(lines[first : first + _BAND]))
            for number, first in enumerate(range(0, len(lines), _BAND))
        ),
    )
    return layer


def _insert(
    connection: sqlite3.Connection, layer: int, number: int, parent: int, edit: Correction
) -> None:
    connection.execute(
        "INSERT INTO edits VALUES (?, ?, ?, ?, ?, ?, ?)",
        (number, layer, parent, edit.kind, _json(edit.rows), edit.reviewer, edit.time),
    )
    connection.executemany(
        "INSERT INTO regions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (number, _json(r.plane), *r.origin, *r.before.shape, pack(r.before), pack(r.after))
            for r in edit.regions
        ),
    )
    _set_head(connection, layer, "edit", number, number)


def _set_head(connection: sqlite3.Connection, layer: int, action: str, head: int, tip: int) -> None:
    connection.execute("UPDATE layers SET head = ?, tip = ? WHERE id = ?", (head, tip, layer))
    connection.execute(
        "INSERT INTO transactions (layer, action, head, time) VALUES (?, ?, ?, ?)",
        (layer, action, head, now()),
    )


def _read(database: Database, number: int) -> Correction:
    ((kind, rows, reviewer, time),) = database.query(
        "SELECT kind, rows, reviewer, time FROM edits WHERE id = ?", number
    )
    regions = database.query(
        "SELECT plane, y, x, height, width, before, after FROM regions WHERE edit = ? "
        "ORDER BY rowid",
        number,
    )
    return Correction(
        kind=kind,
        regions=tuple(
            RegionChange(
                plane=tuple(json.loads(plane)),
                origin=(y, x),
                before=unpack(before).reshape(height, width),
                after=unpack(after).reshape(height, width),
            )
            for plane, y, x, height, width, before, after in regions
        ),
        rows={int(label): tuple(change) for label, change in json.loads(rows).items()},
        reviewer=reviewer,
        time=time,
    )


def _json(value: Any) -> str:
    return json.dumps(to_json(value))
