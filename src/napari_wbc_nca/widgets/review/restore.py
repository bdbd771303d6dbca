"""Offer to restore the corrections that a project holds of an image that was opened."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import pandas as pd
from napari.layers import Image
from napari.utils.notifications import Notification, notification_manager
from qtpy.compat import isalive
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_wbc_nca.project.database import ProjectError
from napari_wbc_nca.project.journal import cell_rows
from napari_wbc_nca.project.project import is_project, user_folder
from napari_wbc_nca.project.settings import remembered_project
from napari_wbc_nca.widgets.canvas_lines import outline_selection
from napari_wbc_nca.widgets.class_colours import NAMED, class_colours, colormap
from napari_wbc_nca.widgets.correction_keys import make_correctable
from napari_wbc_nca.widgets.linked_layers import link_layers
from napari_wbc_nca.widgets.missed_places import MISSED, TITLE, draw_places
from napari_wbc_nca.widgets.planes import OURS, SHOWS, Index, placement, source_of
from napari_wbc_nca.widgets.review.layer_journal import LayerJournal, show_rows, table_of
from napari_wbc_nca.widgets.review.open_projects import Place, choose_project, place_of
from napari_wbc_nca.widgets.worker import report

if TYPE_CHECKING:
    from napari import Viewer

    from napari_wbc_nca.project.journal import Journal, Row
    from napari_wbc_nca.project.journal import Labels as LabelArray
    from napari_wbc_nca.project.project import Project
    from napari_wbc_nca.project.snapshot import LayerRecord


@dataclass(frozen=True, eq=False)
class Offer:
    """Corrections that can be restored.

    Attributes
    ----------
    image
        Layer that they belong to.
    place
        Where they are kept.
    layers
        Layers that hold them.
    """

    image: Image
    place: Place
    layers: tuple[LayerRecord, ...]

    @property
    def text(self) -> str:
        """What is offered, such as "Restore 14 corrections of 08:23"."""
        total = sum(layer.corrections for layer in self.layers)
        noun = "correction" if total == 1 else "corrections"
        return f"Restore {total} {noun} of {_local_time(max(x.last for x in self.layers))}"


class Offers(QObject):
    """What can be restored for the images of a viewer.

    `open` are offers nobody has taken yet; while `paused`, images that are added get none.
    """

    changed = Signal()
    _found = Signal(object)
    _read = Signal(object, object, object, object)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = ref(viewer)
        self.open: list[Offer] = []
        self.paused = False
        self._found.connect(self._on_found)
        self._read.connect(self._on_read)
        viewer.layers.events.inserted.connect(lambda event: self._look_up(event.value))
        viewer.layers.events.removed.connect(lambda event: self._drop(event.value))
        for layer in viewer.layers:
            self._look_up(layer)

    def take(self, offer: Offer) -> None:
        """Restore the layers of an offer, and go on with their journals."""
        if offer not in self.open:
            return
        self.open.remove(offer)
        self.changed.emit()
        self.restore(offer)

    def restore(self, offer: Offer) -> None:
        """Add the layers of an offer, and go on with their journals."""

        def read(project: Project) -> None:
            for record in offer.layers:
                journal = project.journal(record.id)
                if classes := journal.classes():
                    record = replace(record, run={**record.run, NAMED: classes})
                self._read.emit(offer, record, journal, journal.restore())

        offer.place.project.submit(read)

    def _look_up(self, layer: Any) -> None:
        """Find out in the project's thread what is kept of an image."""
        if self.paused or not isinstance(layer, Image) or OURS in layer.metadata:
            return
        if layer.source.path is None and not user_folder("").parent.is_dir():
            return  # no array has a project, so that none needs to be hashed
        place = place_of(layer)
        if place is None:
            return
        if not is_project(place.project.folder):
            self._miss(layer, place)
            return

        def look(project: Project) -> None:
            image = project.find_image(place.path, place.sha256)
            if image is not None and (layers := project.latest_layers(image)):
                self._found.emit(Offer(layer, place, tuple(layers)))

        place.project.submit(look)
        place.project.close_unused()

    def _miss(self, image: Image, place: Place) -> None:
        """Say that the project of an image is not there any more, and ask for its new place."""
        last = None if place.sha256 is not None else remembered_project(place.path)
        if last is None:
            return
        known, layer = ref(self), ref(image)

        def locate(_: Any) -> None:
            offers, chosen = known(), layer()
            if offers is None or chosen is None:
                return
            found = QFileDialog.getExistingDirectory(None, f"Project of {chosen.name}")
            if found and is_project(Path(found)):
                choose_project(place.path, Path(found))
                offers._look_up(chosen)
            elif found:
                report(ProjectError(f"{found} holds no annotation project; choose its folder"))

        message = (
            f"{image.name}: {last}, which holds its corrections, is not there any more. Open it "
            "where it was moved to; a new project begins with the next correction else."
        )
        actions = (("Open moved project…", locate),)
        notification_manager.dispatch(Notification(message, "warning", actions))

    def _on_found(self, offer: Offer) -> None:
        viewer = self._viewer()
        if viewer is None or offer.image not in viewer.layers:
            return
        self.open.append(offer)
        self.changed.emit()
        message = f"{offer.image.name}: {offer.text}?"
        known, image = ref(self), ref(offer)  # napari keeps all notifications

        def restore(_: Any) -> None:
            offers, chosen = known(), image()
            if offers is not None and chosen is not None:
                offers.take(chosen)

        notification_manager.dispatch(Notification(message, "info", (("Restore", restore),)))

    def _on_read(
        self, offer: Offer, record: LayerRecord, journal: Journal, state: tuple[Any, dict[int, Row]]
    ) -> None:
        """Add a layer as its project holds it; its corrections go on in the same journal."""
        viewer = self._viewer()
        if viewer is None:
            return
        labels, rows = state
        table = table_of(cell_rows(rows), pd.DataFrame({"index": [], "label": [], "class": []}))
        made = {**record.run, "source_id": str(offer.image.unique_id)}
        place = placement(source_of(offer.image), _plane(record, labels))
        layer = viewer.add_labels(
            labels,
            name=record.name,
            opacity=0.5,
            features=table,
            colormap=colormap(table, class_colours(table)),
            metadata={OURS: made},
            **place,
        )
        make_correctable(layer)
        if record.run.get(MISSED):
            positions, look, first = draw_places(record.run[MISSED])
            about = {"name": f"{record.name} {TITLE}", "metadata": {OURS: made | {SHOWS: MISSED}}}
            points = viewer.add_points(positions, **look, **first, **about, **place)
            link_layers(layer, [points])
        show_rows(layer, rows)
        outline_selection(viewer)
        viewer.layers.selection.active = layer
        LayerJournal(layer, offer.place, journal)

    def _drop(self, layer: Any) -> None:
        left = [offer for offer in self.open if offer.image is not layer]
        if len(left) < len(self.open):
            self.open = left
            self.changed.emit()


class RestoreButton(QPushButton):
    """Button that restores what is offered for a viewer; hidden where nothing is."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.offers = offers_of(viewer)
        self.setToolTip("Corrections that were made before the image was closed")
        self.offers.changed.connect(self._show)
        self.clicked.connect(lambda: self.offers.take(self.offers.open[-1]))
        self._show()

    def _show(self) -> None:
        if isalive(self):
            offers = self.offers.open
            self.setText(offers[-1].text if offers else "Restore corrections")
            self.setVisible(bool(offers))


_OFFERS: WeakKeyDictionary[Viewer, Offers] = WeakKeyDictionary()


def offers_of(viewer: Viewer) -> Offers:
    """Return what can be restored in a viewer, looked up from the first call on."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # plugins get proxies
    if viewer not in _OFFERS:
        _OFFERS[viewer] = Offers(viewer)
    return _OFFERS[viewer]


def _plane(record: LayerRecord, labels: LabelArray) -> Index | None:
    """Find the one plane of a stack that labels belong to; None where they have all."""
    planes = record.run.get("planes", ())
    if labels.ndim == 2 or len(planes) != 1:
        return None
    return tuple(int(at) for at in ast.literal_eval(planes[0]))


def _local_time(time: str) -> str:
    """Write a time in UTC as people here read it: hours and minutes, with a date if not today."""
    here = datetime.fromisoformat(time).astimezone()
    today = here.date() == datetime.now().astimezone().date()
    return f"{here:%H:%M}" if today else f"{here:%H:%M, %d.%m.%y}"
