"""Journal of a Labels layer: its corrections are written down as they are made, and restored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from napari_wbc_nca.project.journal import Edit, Journal, RegionChange, Row, apply_edit
from napari_wbc_nca.widgets import undo_history as history
from napari_wbc_nca.widgets.class_colours import recolour
from napari_wbc_nca.widgets.features_sync import Recorded, follow
from napari_wbc_nca.widgets.planes import OURS

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_wbc_nca.project.project import ImageRecord, LayerRecord, Project

_JOURNALS: WeakKeyDictionary[Labels, LayerJournal] = WeakKeyDictionary()


class LayerJournal:
    """Writes each correction of a Labels layer into a project, and undoes those of before.

    Parameters
    ----------
    layer
        Labels layer, whose pixels and features are those of `journal`.
    journal
        Of the layer in the project.
    reviewer
        Who corrects.
    """

    def __init__(self, layer: Labels, journal: Journal, reviewer: str = "") -> None:
        self.layer, self.journal, self.reviewer = layer, journal, reviewer
        self._restoring = False
        self._session = 0
        follow(layer).listeners.append(self._on_step)
        _JOURNALS[layer] = self

    def _on_step(self, action: str, record: Recorded) -> None:
        """Write down what a step of napari's history did."""
        if self._restoring:
            return
        if action == "undo":
            self.journal.undo()
        elif action == "redo":
            self.journal.redo()
        else:
            self.journal.record(self._edit(record))

    def _edit(self, record: Recorded) -> Edit:
        regions = tuple(
            RegionChange(
                tuple(side.start for side in part[:-2]),
                (part[-2].start, part[-1].start),
                before,
                after,
            )
            for part, before, after in history.pixels(self.layer, record.step)
        )
        before, after = record.before or {}, record.after or {}
        rows = {
            label: (before.get(label), after.get(label))
            for label in dict.fromkeys((*before, *after))
        }
        kind = "pixels" if regions else "table"
        return Edit(kind, regions, rows, self.reviewer)

    def undo(self) -> bool:
        """Take back a correction of an earlier session; False where there is none."""
        return self._apply(self.journal.undo(), forward=False)

    def redo(self) -> bool:
        """Apply such a correction again; False where there is none."""
        return self._apply(self.journal.redo(), forward=True)

    def _apply(self, edit: Edit | None, *, forward: bool) -> bool:
        if edit is None:
            return False
        rows = rows_of(self.layer.features)
        self._restoring = True
        try:
            apply_edit(self.layer.data, rows, edit, forward)
            self.layer.features = table_of(rows, self.layer.features)
            self.layer.refresh()
            recolour(
                self.layer, {n: str(row["class"]) for n, row in rows.items() if n in edit.rows}
            )
        finally:
            self._restoring = False
        return True


def journal_of(layer: Labels) -> LayerJournal | None:
    """Journal of a layer; None where nobody keeps one."""
    return _JOURNALS.get(getattr(layer, "__wrapped__", layer))


def begin_journal(
    layer: Labels, project: Project, image: ImageRecord, reviewer: str = ""
) -> LayerJournal:
    """Add a layer to a project as it is now, and write down what is corrected from here on."""
    run = dict(layer.metadata.get(OURS, {}).get("provenance", {}))
    journal = project.add_layer(
        image, layer.name, np.asarray(layer.data), rows_of(follow(layer).table), run
    )
    return LayerJournal(layer, journal, reviewer)


def restore_layer(layer: Labels, project: Project, record: LayerRecord) -> LayerJournal:
    """Give a layer the labels and rows that a project holds, and go on with its journal."""
    journal = project.journal(record.id)
    labels, rows = journal.restore()
    layer.data = labels.astype(layer.data.dtype, copy=False)
    layer.features = table_of(rows, layer.features)
    follow(layer).measure_all("added")
    recolour(layer, {n: str(row["class"]) for n, row in rows.items() if row.get("class")})
    return LayerJournal(layer, journal)


def rows_of(table: pd.DataFrame) -> dict[int, Row]:
    """Rows of a table of features by label."""
    return {int(row["index"]): _named(row) for row in table.to_dict("records")}


def table_of(rows: Mapping[int, Row], like: pd.DataFrame) -> pd.DataFrame:
    """Table of rows, with the columns of `like` first."""
    found = pd.DataFrame([rows[label] for label in sorted(rows)])
    front = [name for name in like if name in found]
    return found[front + [name for name in found if name not in front]]


def saved_corrections(project_folder: Path, image: Path) -> str:
    """Offer of what can be restored for an image; empty where there is nothing."""
    from napari_wbc_nca.project.project import Project

    with Project(project_folder) as project:
        record = project.find_image(image)
        if record is None:
            return ""
        layers = [layer for layer in project.layers(record) if layer.corrections]
    if not layers:
        return ""
    latest = max(layers, key=lambda layer: layer.last)
    total = sum(layer.corrections for layer in layers)
    noun = "correction" if total == 1 else "corrections"
    return f"Restore {total} {noun} of {latest.last[11:16]}, {latest.last[:10]}"


def _named(row: Mapping[Any, Any]) -> Row:
    return {str(name): value for name, value in row.items()}
