"""Journal of a Labels layer: its corrections are written as they are made, undone and restored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np
import pandas as pd

from napari_wbc_nca.io._files import OutputError
from napari_wbc_nca.project.journal import (
    Correction,
    Journal,
    RegionChange,
    Row,
    apply_edit,
    apply_rows,
    cell_rows,
    difference,
)
from napari_wbc_nca.project.journal import Labels as LabelArray
from napari_wbc_nca.project.settings import load_settings, remember_project
from napari_wbc_nca.widgets import undo_history as history
from napari_wbc_nca.widgets.class_colours import NAMED, recolour
from napari_wbc_nca.widgets.features_sync import Recorded, follow
from napari_wbc_nca.widgets.missed_places import MISSED
from napari_wbc_nca.widgets.planes import OURS
from napari_wbc_nca.widgets.review.first_state import FirstState
from napari_wbc_nca.widgets.review.open_projects import Place, place_of

if TYPE_CHECKING:
    from concurrent.futures import Future

    from napari.layers import Image, Labels

    from napari_wbc_nca.project.project import Project

_JOURNALS: WeakKeyDictionary[Labels, LayerJournal] = WeakKeyDictionary()
_REVIEW = {"class": "classify", "status": "review"}
"""Column that an annotation changes to the kind of its edit."""
_KEPT = ("source", "planes", "model", "params", "provenance", "shows", MISSED, NAMED)
"""What is kept of the metadata of a layer."""


class LayerJournal:
    """Writes each correction of a Labels layer into a project, and undoes those of before.

    Writing happens in the thread of the project. A journal that does not exist yet begins with
    the first correction: segmenting alone leaves no file. One that cannot begin is tried again
    with the next correction. While the settings turn journals off, nothing is written; what was
    corrected meanwhile is one edit once they are on again.

    Parameters
    ----------
    layer
        Labels layer.
    place
        Image and project that the journal belongs to.
    journal
        Of the layer, where the project holds one already whose state the layer shows.
    """

    def __init__(self, layer: Labels, place: Place, journal: Journal | None = None) -> None:
        self._layer, self._place = ref(layer), place
        self._journal = journal
        self._begun = journal is not None
        if self._begun:
            place.project.use(self._layer)
        self._done: list[int] = []
        self._undone: list[int] = []
        self._deep = 0
        self._applying = False
        self._behind = False
        self._first: FirstState | None = None
        self._waiting: list[Callable[[Project], Any]] = []
        follow(layer).listeners.append(self._on_step)
        layer.events.data.connect(self._on_data)
        self._napari_undo, self._napari_redo = type(layer).undo, type(layer).redo
        vars(layer).update(undo=self.undo, redo=self.redo)  # what napari's keys and menus call
        _JOURNALS[layer] = self

    @property
    def layer(self) -> Labels:
        """The layer whose corrections are written."""
        layer = self._layer()
        if layer is None:
            raise ValueError("the layer was removed; choose another one")
        return layer

    def flush(self) -> None:
        """Wait until all corrections are written.

        Raises
        ------
        ProjectError
            When they could not be.
        """
        self._finish_first()
        if self._begun:
            self._place.project.submit(lambda project: project.database.flush()).result()

    def undo(self) -> None:
        """Take back the last step: of napari's history, then of earlier sessions."""
        layer = self.layer
        self._finish_first()
        if any(True for _ in history.undo_steps(layer)):
            self._napari_undo(layer)
        elif self._apply("undo"):
            self._deep += 1

    def redo(self) -> None:
        """Repeat the step that was taken back last."""
        layer = self.layer
        self._finish_first()
        if not self._deep and any(True for _ in history.redo_steps(layer)):
            self._napari_redo(layer)
        elif self._apply("redo"):
            self._deep = max(self._deep - 1, 0)

    def write_classes(self) -> None:
        """Write the classes that are offered for the layer; the first correction does it else."""
        names = self.layer.metadata.get(OURS, {}).get(NAMED, ())
        if self._begun and not self._is_off():
            self._write(lambda journal: journal.set_classes(names))

    def _apply(self, action: str) -> bool:
        """Undo or redo an edit of the journal in the layer; False where there is none."""
        if not self._begun or self._is_off() or self._behind:
            return False
        written = self._write(lambda journal: getattr(journal, action)())
        edit = None if written is None else written.result()
        if edit is None:
            return False
        layer, rows = self.layer, all_rows(self.layer)
        self._applying = True
        try:
            apply_edit(layer.data, rows, edit, forward=action == "redo")
            show_rows(layer, rows)
            layer.refresh()
            changed = {n: row for n, row in cell_rows(rows).items() if n in edit.rows}
            recolour(layer, {n: str(row["class"]) for n, row in changed.items()})
        finally:
            self._applying = False
        return True

    def _on_step(self, action: str, record: Recorded) -> None:
        """Write what a step of napari's history did."""
        number = history.step_id(record.step)
        if self._applying or self._is_off():
            return
        if self._behind:
            self._write_difference("replace")
            return
        if action == "edit":
            edit = self._edit(record)
            self._begin_before(edit)
            self._done, self._undone, self._deep = [*self._done, number], [], 0
            self._write(lambda journal: journal.record(edit))
            return
        source, target = (
            (self._done, self._undone) if action == "undo" else (self._undone, self._done)
        )
        if source and source[-1] == number:
            target.append(source.pop())
            self._write(lambda journal: getattr(journal, action)())
        elif self._begun:  # a step of before the journal began
            self._write_difference(action)

    def _on_data(self, event: Any = None) -> None:
        """Write that somebody replaced all pixels."""
        if self._begun and not self._applying and not self._is_off():
            self._write_difference("replace")

    def _write_difference(self, kind: str) -> None:
        """Write as one edit what the layer shows over what the journal holds."""
        self._done, self._undone, self._deep, self._behind = [], [], 0, False
        labels, rows = np.array(self.layer.data), all_rows(self.layer)

        def write(journal: Journal) -> None:
            regions, changes = difference(*journal.restore(), labels, rows)
            if regions or changes:
                journal.record(Correction(kind, regions, changes))

        self._write(write)

    def _edit(self, record: Recorded) -> Correction:
        regions = tuple(
            RegionChange(
                tuple(side.start for side in part[:-2]),
                (part[-2].start, part[-1].start),
                before,
                after,
            )
            for part, before, after in (record.change.planes if record.change else ())
        )
        before, after = record.before or {}, record.after or {}
        rows = {
            label: (before.get(label), after.get(label))
            for label in dict.fromkeys((*before, *after))
        }
        by = {str((row or {}).get("reviewer") or "") for _, row in rows.values()} - {"", "nan"}
        return Correction(self._kind(regions, rows), regions, rows, ", ".join(sorted(by)))

    def _kind(self, regions: tuple[RegionChange, ...], rows: Mapping[int, Any]) -> str:
        """Name what was done: an operation, a tool of napari, or a decision on cells."""
        layer = self.layer
        if operation := follow(layer).operation:
            return operation
        if regions:
            return str(layer.mode) if str(layer.mode) not in ("pan_zoom", "pick") else "pixels"
        return next(
            (
                kind
                for column, kind in _REVIEW.items()
                for old, new in rows.values()
                if (old or {}).get(column) != (new or {}).get(column)
            ),
            "table",
        )

    def _begin_before(self, edit: Correction) -> None:
        """Begin the journal with the state before `edit`, unless it has begun."""
        if self._first is not None:
            for region in edit.regions:
                self._first.changed(region)
        if self._begun:
            return
        self._done, self._undone, self._begun = [], [], True
        layer, data = self.layer, self.layer.data
        table, made = layer.features.copy(deep=False), layer.metadata.get(OURS, {})
        run = {key: made[key] for key in _KEPT if key in made}
        places = dict(follow(layer).places)
        begin = partial(self._begin, edit, layer.name, table, places, run)
        self._place.project.use(self._layer)
        if isinstance(data, np.ndarray):
            self._first = FirstState(data, begin)
            for region in edit.regions:
                self._first.changed(region)
        else:  # on disk
            labels = np.array(data)
            apply_edit(labels, {}, replace(edit, rows={}), forward=False)
            begin(labels)

    def _begin(
        self,
        edit: Correction,
        name: str,
        table: pd.DataFrame,
        places: Mapping[int, Row],
        run: Row,
        labels: LabelArray,
    ) -> None:
        """Begin the journal with labels of before `edit`, and rows of after it."""
        place = self._place
        self._first = None

        def begin_here(project: Project) -> None:
            rows = {**rows_of(table), **places}
            apply_rows(rows, edit.rows, forward=False)
            image = project.add_image(place.path, place.pixel_size, place.sha256)
            unique = project.free_name(image, name)
            self._journal = project.add_layer(image, unique, labels, rows, run)
            if place.sha256 is None:
                with suppress(OutputError):  # the corrections do not hang on it
                    remember_project(place.path, project.folder)

        def check(future: Future[None]) -> None:
            self._begun = future.exception() is None

        place.project.submit(begin_here).add_done_callback(check)
        waiting, self._waiting = self._waiting, []
        for job in waiting:
            place.project.submit(job)
        place.project.close_unused()  # where the layer was removed meanwhile

    def _finish_first(self) -> None:
        if self._first is not None:
            self._first.finish()

    def _is_off(self) -> bool:
        """Whether the settings turn journals off; what is corrected then is written later."""
        off = not load_settings().keep
        self._behind = self._behind or (off and self._begun)
        return off

    def _write(self, deed: Callable[[Journal], Any]) -> Future[Any] | None:
        """Do something with the journal, in its thread; None while it is about to begin."""

        def run(project: Project) -> Any:
            if self._journal is not None and self._begun:
                return deed(self._journal)
            return None  # its beginning failed, which was reported

        if self._first is not None:
            self._waiting.append(run)
            return None
        return self._place.project.submit(run)


def journal_of(layer: Labels) -> LayerJournal | None:
    """Return the journal of a layer; None where nobody keeps one."""
    return _JOURNALS.get(getattr(layer, "__wrapped__", layer))


def keep_journal(layer: Labels, image: Image | None) -> LayerJournal | None:
    """Write the corrections of a layer of cells from now on, into the project of its image.

    None where the image is unknown, or cannot be known again.
    """
    layer = getattr(layer, "__wrapped__", layer)  # plugins get proxies
    if (known := journal_of(layer)) is not None:
        return known
    place = None if image is None else place_of(getattr(image, "__wrapped__", image))
    return None if place is None else LayerJournal(layer, place)


def rows_of(table: pd.DataFrame) -> dict[int, Row]:
    """Return the rows of a table of features by label."""
    return {
        int(row["index"]): {str(name): value for name, value in row.items()}
        for row in table.to_dict("records")
    }


def all_rows(layer: Labels) -> dict[int, Row]:
    """Return the rows of the cells of a layer, and of the places that somebody decided about."""
    return rows_of(layer.features) | follow(layer).places


def show_rows(layer: Labels, rows: Mapping[int, Row]) -> None:
    """Give a layer rows of cells and of places."""
    follow(layer).places = {number: dict(row) for number, row in rows.items() if number < 0}
    layer.features = table_of(cell_rows(rows), layer.features)


def table_of(rows: Mapping[int, Row], like: pd.DataFrame) -> pd.DataFrame:
    """Make a table of rows, with the columns of `like` first; missing texts are empty."""
    found = pd.DataFrame([rows[label] for label in sorted(rows)])
    if found.empty:
        return like.iloc[:0]
    front = [name for name in like if name in found]
    table = found[front + [name for name in found if name not in front]]
    texts = [
        name
        for name in table
        if table[name].dtype == object and any(isinstance(value, str) for value in table[name])
    ]
    return table.fillna(dict.fromkeys(texts, ""))
