"""Review dock: the doubtful cells first, a differential that follows, and no correction lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QLineEdit, QPushButton, QTabWidget

from napari_wbc_nca.widgets.base import ViewerWidget
from napari_wbc_nca.widgets.class_colours import add_class
from napari_wbc_nca.widgets.correction_operations import correct
from napari_wbc_nca.widgets.layer_boxes import LayerBox
from napari_wbc_nca.widgets.layout import row, text_label
from napari_wbc_nca.widgets.planes import OURS, SHOWS, Source, source_of
from napari_wbc_nca.widgets.review.card import CellCard
from napari_wbc_nca.widgets.review.crops import CropSource
from napari_wbc_nca.widgets.review.differential_table import DifferentialTable
from napari_wbc_nca.widgets.review.gallery import BY_DOUBT, GROUPED, Gallery
from napari_wbc_nca.widgets.review.model import ReviewModel
from napari_wbc_nca.widgets.review.plots import CellsPlot
from napari_wbc_nca.widgets.review.table import CellsTable
from napari_wbc_nca.widgets.worker import report

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Layer

KEYS = {
    "N": "next doubtful cell",
    "P": "previous doubtful cell",
    "Space": "confirm and go to the next doubtful cell",
    "1…9": "give the class of that number and go on",
    "U": "the type is unsure, go on",
    "D": "delete the cell",
    "?": "show or hide this list",
}
"""Plain keys while the dock has the focus."""
ZOOM = 3.0
"""Side of the view over that of a cell's box, after a double click."""


class ReviewWidget(ViewerWidget):
    """Reviews the cells of one Labels layer.

    Parameters
    ----------
    napari_viewer
        Viewer whose cells are reviewed.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.model: ReviewModel | None = None
        self.layer = LayerBox(Labels, "Layer of cells to review")
        self.reviewer = QLineEdit(placeholderText="Reviewer")
        self.reviewer.setToolTip("Name that is written beside each decision")
        self.differential = DifferentialTable()
        self.order = QPushButton("Sort by doubt")
        self.order.setCheckable(True)
        self.all = QPushButton("Show all types")
        self.gallery, self.table, self.plot = Gallery(), CellsTable(), CellsPlot()
        self.tabs = QTabWidget()
        for part, title in ((self.gallery, "Gallery"), (self.table, "Table"), (self.plot, "Plot")):
            self.tabs.addTab(part, title)
        self.card = CellCard()
        self.buttons = [
            self._button("Next doubtful (N)", lambda: self.go(1)),
            self._button("Confirm (Space)", self.confirm),
            self._button("Unsure (U)", self.unsure),
            self._button("Delete (D)", self.delete),
        ]
        self.keys = text_label()
        self.keys.setText("<br>".join(f"<b>{key}</b> {text}" for key, text in KEYS.items()))
        self.keys.hide()
        self.add(row(self.layer, self.reviewer), self.differential, row(self.order, self.all))
        self.add(self.tabs, row(*self.buttons[:2]), row(*self.buttons[2:]), self.card, self.keys)
        self.layer.currentIndexChanged.connect(self._on_layer)
        self.reviewer.editingFinished.connect(self._on_reviewer)
        self.differential.type_chosen.connect(self._on_type)
        self.order.toggled.connect(lambda on: self.gallery.set_order(BY_DOUBT if on else GROUPED))
        self.all.clicked.connect(lambda: self._on_type(""))
        self.gallery.opened.connect(self.zoom_to)
        for listener in (self, self.gallery, self.table.view, self.tabs, self.differential.table):
            listener.installEventFilter(self)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.on_layers()

    def on_layers(self) -> None:
        """Offer the layers of cells."""
        self.layer.offer(
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Labels)
            and layer.metadata.get(OURS, {}).get(SHOWS, "cell") == "cell"
        )
        self._on_layer()

    def on_active(self, layer: Layer) -> None:
        """Review the layer that was selected in the viewer."""
        if isinstance(layer, Labels) and self.layer.findData(layer) >= 0:
            self.layer.setCurrentIndex(self.layer.findData(layer))

    def go(self, step: int) -> None:
        """Select the next doubtful cell, or the previous one, and show it."""
        label = self.model.next_doubtful(step) if self.model is not None else None
        if label is None:
            self.viewer.status = "No doubtful cell is left to review"
            return
        assert self.model is not None
        self.model.select([label])
        self.zoom_to(label)

    def confirm(self) -> None:
        """Confirm the selected cells and go to the next doubtful one."""
        self._decide(lambda model: model.accept(model.selection))

    def unsure(self) -> None:
        """Say that the type of the selected cells is unsure, and go on."""
        self._decide(lambda model: model.mark_unsure(model.selection))

    def classify(self, number: int) -> None:
        """Give the selected cells the class of a number from 1, and go on."""
        if self.model is not None and number <= len(self.model.classes):
            name = self.model.classes[number - 1]
            self._decide(lambda model: model.classify(model.selection, name))

    def delete(self) -> None:
        """Delete the selected cells."""
        if self.model is None:
            return
        for label in self.model.selection:
            self.model.layer.selected_label = label
            try:
                self.viewer.status = correct(self.viewer, self.model.layer, "delete")
            except ValueError as error:
                report(error)
        self.go(1)

    def zoom_to(self, label: int) -> None:
        """Show a cell in the middle of the viewer, at three times its box."""
        if self.model is None:
            return
        cell = self.model.table.loc[label]
        centre = [(cell[f"box_{axis}0"] + cell[f"box_{axis}1"]) / 2 for axis in "yx"]
        side = max(cell["box_y1"] - cell["box_y0"], cell["box_x1"] - cell["box_x0"])
        layer = self.model.layer
        lead = [0.0] * (layer.ndim - 2)
        corner = np.asarray(layer.data_to_world([*lead, *centre]))
        far = np.asarray(layer.data_to_world([*lead, *(at + side * ZOOM for at in centre)]))
        self.viewer.camera.center = tuple(corner[-2:])
        canvas = min(self.viewer._canvas_size)
        self.viewer.camera.zoom = canvas / max(float(np.abs(far - corner)[-2:].max()), 1e-6)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the plain keys while the dock has the focus."""
        if isinstance(event, QKeyEvent) and self._on_key(event):
            return True
        return bool(super().eventFilter(watched, event))

    def on_close(self) -> None:
        """Let go of the layer."""
        self.model = None

    def _on_key(self, event: QKeyEvent) -> bool:
        if event.type() != QEvent.Type.KeyPress:
            return False
        deeds: dict[str, Callable[[], None]] = {
            "n": lambda: self.go(1),
            "p": lambda: self.go(-1),
            " ": self.confirm,
            "u": self.unsure,
            "d": self.delete,
            "?": lambda: self.keys.setVisible(not self.keys.isVisible()),
        }
        text = event.text().lower()
        if text in deeds:
            deeds[text]()
        elif text.isdigit() and text != "0":
            self.classify(int(text))
        else:
            return False
        return True

    def _decide(self, decide: Callable[[ReviewModel], None]) -> None:
        if self.model is None or not self.model.selection:
            self.viewer.status = "Select a cell first"
            return
        following = self.model.next_doubtful(1)
        decide(self.model)
        if following is not None and following in self.model.queue():
            self.model.select([following])
            self.zoom_to(following)
        else:
            self.go(1)

    def _on_layer(self, index: int = -1) -> None:
        layer = self.layer.layer
        if self.model is not None and self.model.layer is layer:
            return
        self.model = crops = None
        if layer is not None:
            self.model = ReviewModel(layer, temperature_of(layer), parent=self)
            self.model.reviewer = self.reviewer.text().strip()
            if UNSURE_CLASS not in self.model.classes:
                add_class(layer, UNSURE_CLASS)
            image = image_under(layer, self.viewer)
            if image is not None:
                crops = CropSource(image, layer, self.model.table)
                self.model.changed.connect(lambda: crops.forget(list(self.model.selection)))
        for part in (self.differential, self.table, self.plot):
            part.show_cells(self.model)
        self.gallery.show_cells(self.model, crops)
        self.card.show_cells(self.model, crops)

    def _on_reviewer(self) -> None:
        if self.model is not None:
            self.model.reviewer = self.reviewer.text().strip()

    def _on_type(self, name: str) -> None:
        self.gallery.filter_class(name)
        self.table.filter.setText(f"class = {name}" if name else "")

    def _button(self, text: str, deed: Callable[[], Any]) -> QPushButton:
        button = QPushButton(text)
        button.clicked.connect(deed)
        return button


UNSURE_CLASS = "unsure"


def temperature_of(layer: Labels) -> float:
    """Calibration of the model that made a layer; 1 where nothing is known."""
    record = layer.metadata.get(OURS, {}).get("provenance", [])
    first = record[0] if isinstance(record, list) and record else record
    found = first.get("calibration", {}) if isinstance(first, dict) else {}
    return float(found.get("temperature", 1.0))


def image_under(layer: Labels, viewer: Viewer) -> Source | None:
    """Image that a layer of cells was made from; None where it is gone."""
    from napari_wbc_nca.widgets.export_items import image_of

    image: Image | None = image_of(layer, viewer.layers)
    return None if image is None else source_of(image)
