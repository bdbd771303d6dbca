"""Cells under review: one table and one selection, shared by all parts of the Review dock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QObject, QTimer, Signal

from napari_wbc_nca.cell_types import (
    ACCEPTED,
    ADDED,
    AUTO,
    EDITED,
    REJECTED,
    UNSURE,
    colours,
)
from napari_wbc_nca.ops.crops import plane_index
from napari_wbc_nca.ops.doubt import DoubtParams
from napari_wbc_nca.ops.edit import Edit, union_box
from napari_wbc_nca.ops.review_table import ADDED_COLUMNS, calibration, rate
from napari_wbc_nca.project.journal import now
from napari_wbc_nca.widgets.class_colours import layer_classes, layer_colours, recolour
from napari_wbc_nca.widgets.features_sync import Recorded, follow
from napari_wbc_nca.widgets.features_table import Row, same_value, write_values
from napari_wbc_nca.widgets.missed_places import DISMISSED, MISSED, places_of
from napari_wbc_nca.widgets.planes import OURS, Index

if TYPE_CHECKING:
    from napari.layers import Labels


class ReviewModel(QObject):
    """Cells of one Labels layer, with their doubt, and those that are selected.

    Parameters
    ----------
    layer
        Labels layer under review.
    temperature
        Calibration of the model that made it.
    params
        Weights of the doubt.

    Attributes
    ----------
    table
        One row a cell by label: the layer's features, the columns of
        :func:`~napari_wbc_nca.ops.doubt.doubt`, ``nc_ratio``, ``status`` and ``type`` (the class
        as it is shown), ``group`` (the class by which it is counted: *unsure* where it is).

    `changed` says that any of it is other than before, `cells_changed` that only the rows of the
    cells are whose labels it passes on: reviewed ones, whose doubt counts no more.
    """

    changed = Signal()
    cells_changed = Signal(object)
    selection_changed = Signal()

    def __init__(
        self,
        layer: Labels,
        temperature: float = 1.0,
        params: DoubtParams | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.layer, self.temperature = layer, temperature
        self.params = params or DoubtParams()
        self.reviewer = ""
        self.selection: tuple[int, ...] = ()
        self._follower = follow(layer)
        self._pending = QTimer(self, singleShot=True, interval=0)
        self._pending.timeout.connect(self.refresh)
        self._unexplained = 0
        self._touched: dict[int, tuple[Row, Row]] = {}
        layer.events.features.connect(self._on_features)
        self._follower.listeners.append(self._on_step)
        layer.events.selected_label.connect(self._on_selected_label)
        self._grey: set[int] = set()
        self._classes: list[str] | None = None
        self._colours: dict[str, str] | None = None
        self.table, self.places = self._rated(), places_of(layer)
        self._shade()

    def close(self) -> None:
        """Disconnect from the layer."""
        self._pending.stop()
        self.layer.events.features.disconnect(self._on_features)
        self._follower.listeners.remove(self._on_step)
        self.layer.events.selected_label.disconnect(self._on_selected_label)

    def cell(self, label: int) -> pd.Series:
        """Return the row of a cell, or of a place."""
        row = (self.table if label > 0 else self.places).loc[label]
        assert isinstance(row, pd.Series)  # labels are unique
        return row

    @property
    def classes(self) -> list[str]:
        """Classes in the order of the digit keys."""
        if self._classes is None:
            own = (name for name in layer_classes(self.layer) if name != UNSURE)
            self._classes = [*own, UNSURE]
        return self._classes

    def colours(self) -> dict[str, str]:
        """Return the colour ``#rrggbb`` of each class, as on the canvas where it shows classes."""
        if self._colours is None:
            known = colours([*self.classes, *sorted(self.table["group"].unique())])
            shown = layer_colours(self.layer)
            self._colours = known | {name: colour[:7] for name, colour in shown.items()}
        return self._colours

    def queue(self) -> list[int]:
        """List what waits for a review, the most doubtful first.

        These are the labels of doubtful cells that nobody reviewed, and the numbers of places.
        """
        table = self.table
        waiting = table[table["doubtful"] & (table["status"] == AUTO)]
        doubts = pd.concat([waiting["doubt"], self.places["doubt"].astype(float)])
        return [int(n) for n in doubts.sort_values(ascending=False, kind="stable").index]

    def next_doubtful(self, step: int = 1) -> int | None:
        """Return what follows the selected cell or place in the queue; None where it is empty."""
        queue = self.queue()
        if not queue:
            return None
        current = self.selection[0] if self.selection else None
        if current in queue:
            return queue[(queue.index(current) + step) % len(queue)]
        return queue[0 if step > 0 else -1]

    def select(self, labels: Iterable[int]) -> None:
        """Select cells; the first of them becomes the layer's selected label."""
        known = self._known(labels)
        if known == self.selection:
            return
        self.selection = known
        if known and known[0] > 0 and self.layer.selected_label != known[0]:
            with self.layer.events.selected_label.blocker(self._on_selected_label):
                self.layer.selected_label = known[0]
        self.selection_changed.emit()

    def classify(self, labels: Sequence[int], name: str) -> None:
        """Give cells a class, as one step of undo; they count as edited.

        Raises
        ------
        ValueError
            Where a place is among them, which has no cell yet.
        """
        if any(label < 0 for label in labels):
            raise ValueError("no cell is there yet: Enter adds it, Space dismisses the place")
        changes = {}
        for label in labels:
            cell = self.cell(label)
            confirmed = cell["class"] == name and cell["status"] == AUTO
            edited = ADDED if cell["status"] == ADDED else EDITED
            changes[label] = {"class": name, "status": ACCEPTED if confirmed else edited}
        self._annotate(changes)

    def accept(self, labels: Sequence[int]) -> None:
        """Confirm cells as they are, and that no cell is at a place."""
        labels = self._without_places(labels)
        status = {label: str(self.cell(label)["status"]) for label in labels}
        self._annotate({n: {"status": ACCEPTED if s == AUTO else s} for n, s in status.items()})

    def reject(self, labels: Sequence[int]) -> None:
        """Leave cells out of the count, without deleting their pixels; dismiss places."""
        labels = self._without_places(labels)
        self._annotate({int(label): {"status": REJECTED} for label in labels})

    def delete(self, labels: Sequence[int]) -> None:
        """Delete cells, those of a plane in one step of undo; dismiss places."""
        labels = self._without_places(labels)
        planes: dict[Index, list[int]] = {}
        for label in labels:
            planes.setdefault(plane_of(self.layer, self.cell(label)), []).append(label)
        for index, own in planes.items():
            part = union_box(list(self._follower.boxes(own).values()))
            values = np.array(self.layer.data[(*index, *part)])
            values[np.isin(values, own)] = 0
            self._follower.write(Edit(part, values), index, "delete")
        if labels:
            self.refresh()

    def stamp(self) -> dict[str, str]:
        """Return the columns that say who decided, and when."""
        return {"reviewer": self.reviewer, "reviewed_at": now()}

    def refresh(self) -> None:
        """Rate the cells now, not when the window is idle."""
        self._pending.stop()
        explained, touched = not self._unexplained, self._touched
        self._unexplained, self._touched = 0, {}
        if explained and touched and self._rate_reviewed(touched):
            self.cells_changed.emit(list(touched))
            return
        self._classes = self._colours = None
        self.table, self.places = self._rated(), places_of(self.layer)
        self._shade()
        left = self._known(self.selection)
        moved = left != self.selection
        self.selection = left
        self.changed.emit()
        if moved:
            self.selection_changed.emit()

    def _known(self, labels: Iterable[int]) -> tuple[int, ...]:
        """Those of `labels` that are cells or open places."""
        return tuple(int(n) for n in labels if n in self.table.index or n in self.places.index)

    def _without_places(self, labels: Sequence[int]) -> list[int]:
        """Dismiss the places among `labels`, and return the cells."""
        places = [label for label in labels if label < 0]
        if places:
            self._annotate({number: {"status": DISMISSED} for number in places})
        return [label for label in labels if label > 0]

    def _annotate(self, changes: Mapping[int, Mapping[str, Any]]) -> None:
        if not changes:
            return
        by = self.stamp()
        self._follower.annotate({label: {**values, **by} for label, values in changes.items()})
        self.refresh()

    def _rated(self) -> pd.DataFrame:
        """Return the table of the layer's cells with their doubt."""
        features = self.layer.features
        if "index" not in features or not len(features):
            features = self._follower.table
        return rate(features, self.layer.data.shape[-2:], self.params, self.temperature)

    def _rate_reviewed(self, touched: Mapping[int, tuple[Row, Row]]) -> bool:
        """Bring the rows of reviewed cells up to date; False where all must be rated again.

        Their doubt stays what it was, as does that of the others: it hangs on medians of all cells.
        """
        at = self.table.index.get_indexer(pd.Index(list(touched)))
        missed = self.layer.metadata.get(OURS, {}).get(MISSED)
        if (at < 0).any() or (missed and not places_of(self.layer).equals(self.places)):
            return False
        changes: dict[str, dict[int, Any]] = {}
        columns = {str(name): number for number, name in enumerate(self.table)}
        for (label, (row, changed)), place in zip(touched.items(), at.tolist(), strict=True):
            derived = reviewed_values(row, self.layer.data.shape[-2:])
            if derived["status"] == AUTO or derived["group"] not in self.classes:
                return False
            for name, value in (changed | derived).items():
                number = columns.get(name)
                if number is not None and not same_value(self.table.iat[place, number], value):
                    changes.setdefault(name, {})[label] = value
        table = write_values(self.table, self.table.index.to_numpy(), changes)
        if table is None:
            return False
        self.table = table
        grey = self._grey & set(touched)
        self._grey -= grey
        recolour(self.layer, {label: touched[label][0]["class"] for label in grey})
        return True

    def _shade(self) -> None:
        """Show unsure cells in grey, and others in the colours of their classes."""
        unsure = {int(n) for n in self.table.index[self.table["unsure"]]}
        changed = unsure ^ self._grey
        self._grey = unsure
        groups = self.table["group"].reindex(sorted(changed)).dropna()
        recolour(self.layer, dict(zip(groups.index.tolist(), groups.tolist(), strict=True)))

    def _on_features(self, event: object = None) -> None:
        self._unexplained += 1
        self._pending.start()

    def _on_step(self, action: str, record: Recorded) -> None:
        """Learn what a change of the features was about, which has just been announced."""
        before, after = record.before or {}, record.after or {}
        known = [label for label, row in after.items() if row is not None and before.get(label)]
        if action != "edit" or not after or len(known) < len(after) or not self._unexplained:
            return
        self._unexplained -= 1
        for label in known:
            old, row = before[label] or {}, after[label] or {}
            changed = {n: v for n, v in row.items() if not same_value(old.get(n), v)}
            self._touched[label] = (row, self._touched.get(label, ({}, {}))[1] | changed)

    def _on_selected_label(self, event: object = None) -> None:
        label = int(self.layer.selected_label)
        if label in self.table.index and label not in self.selection[:1]:
            self.select([label])


def plane_of(layer: Labels, row: pd.Series) -> Index:
    """Return the position of a cell's plane along the leading axes of its Labels layer."""
    return plane_index(row, layer.data.shape[:-2])


def reviewed_values(row: Row, shape: Sequence[int]) -> Row:
    """Derive what :func:`rate` does from the features of a cell that somebody decided on.

    `shape` is height and width of the image.
    """
    found = {name: _text(row.get(name)) for name in ADDED_COLUMNS}
    found["status"] = found["status"] or str(row.get("origin", AUTO))
    low, high = ((row[f"box_y{end}"], row[f"box_x{end}"]) for end in (0, 1))
    border = min(low) <= 0 or high[0] >= shape[0] or high[1] >= shape[1]
    marks = {"unsure": False, "doubtful": False, "touches_border": bool(border)}
    derived = {**found, **marks, "group": row["class"], "type": row["class"]}
    area, nucleus = row.get("area_px"), row.get("nucleus_area_px")
    if area is not None and nucleus is not None:
        derived["nc_ratio"] = round(nucleus / max(area - nucleus, 1), 2)
    return derived


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def calibration_of(layer: Labels) -> tuple[float, DoubtParams]:
    """Return temperature and thresholds of the model that made a layer, else the defaults."""
    record = layer.metadata.get(OURS, {}).get("provenance", [])
    first = record[0] if isinstance(record, list) and record else record
    return calibration(first if isinstance(first, dict) else {})
