"""The Export widget: write labels in the formats of other programs, and read them."""

from __future__ import annotations

from collections.abc import Generator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Labels
from qtpy.QtCore import QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QCheckBox, QFileDialog, QMenu, QPushButton, QWidget

from napari_wbc_nca.formats.params import ExportParams
from napari_wbc_nca.formats.registry import FORMATS
from napari_wbc_nca.params import from_mapping
from napari_wbc_nca.widgets.base import Computation, Form, RunWidget, require
from napari_wbc_nca.widgets.export_items import add_items, all_items
from napari_wbc_nca.widgets.layer_boxes import LayerBox, LayerList, ReviewedBox
from napari_wbc_nca.widgets.layout import (
    Column,
    PathRow,
    Section,
    add_row,
    big_button,
    choice_box,
    form_layout,
    grid,
    row,
    text_label,
)
from napari_wbc_nca.widgets.params_form import ParamsForm
from napari_wbc_nca.widgets.planes import source_of

if TYPE_CHECKING:
    from napari import Viewer

    from napari_wbc_nca.formats.items import Item
    from napari_wbc_nca.types import Image as Plane
    from napari_wbc_nca.workflow.export import ExportResult


OWN = "the one they were made from"
OPTIONS = ("validation", "test", "split_by", "seed", "crop", "pixel_size", "annotator")
FIRST = ("coco", "qupath")
"""Formats that are ticked at first."""


class ExportForm(Form):
    """Everything that can be chosen before an export."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = LayerList(Labels, "Labels layers that are exported")
        self.image = LayerBox(Image, "Image that the labels were drawn on")
        self.image_mode = choice_box([OWN, "this one:"], "Which image belongs to the labels")
        tip = "What was reviewed in full; all else is ignored, never taken for background"
        self.reviewed = ReviewedBox(tip)
        self.choosers = (self.layers, self.image, self.reviewed)
        self.formats = {name: _format(name) for name in FORMATS}
        self.folder = PathRow("Folder of the exports", folder=True)
        captions = {"force": "Replace files"}
        self.params = ParamsForm(ExportParams, (*OPTIONS, "force"), captions=captions)
        self.groups = PathRow("CSV of image and slide, patient or split", folder=False)
        self._arrange()
        self.image_mode.currentTextChanged.connect(lambda text: self.image.setVisible(text != OWN))
        self.image.setVisible(False)

    def tick(self, *, on: bool) -> None:
        """Tick all formats, or none."""
        for box in self.formats.values():
            box.setChecked(on)

    def _arrange(self) -> None:
        fields = QWidget()
        form = form_layout(fields)
        add_row(form, "Labels", self.layers)
        add_row(form, "Image", self.image_mode)
        form.addRow("", self.image)
        add_row(form, "Reviewed", self.reviewed)
        form.addRow(self._grid())
        add_row(form, "Folder", self.folder)
        self.params.add_to(form, ("force",))
        self.rows.addWidget(fields)
        details = QWidget()
        options = form_layout(details)
        self.params.add_to(options, OPTIONS)
        add_row(options, "Groups", self.groups)
        self.rows.addWidget(Section("Split, crops, annotator", details))

    def _grid(self) -> QWidget:
        box = Column()
        box.setToolTip("Each format gets a folder")
        box.rows.addWidget(grid([*self.formats.values()]))
        self.tick_all, self.tick_none = QPushButton("All"), QPushButton("None")
        for button, on in ((self.tick_all, True), (self.tick_none, False)):
            button.setToolTip(f"Tick {button.text().lower()} of the formats")
            button.clicked.connect(lambda _=False, on=on: self.tick(on=on))
        box.rows.addWidget(row(self.tick_all, self.tick_none))
        return box


def _format(name: str) -> QCheckBox:
    form = FORMATS[name]
    box = QCheckBox(form.title)
    rest = f"what nobody reviewed: {form.ignores}"
    if form.ignores == "left out":
        rest = "leaves out cells that nobody reviewed"
    box.setToolTip(f"{form.title}, in the folder {name}; {rest}")
    box.setChecked(name in FIRST)
    return box


OUTLINES = (".geojson", ".zip", ".roi")
"""Files that do not say how large their image is."""
_LINK = "#5a8dee"
"""Colour of links, readable in napari's dark and light themes alike."""


class ExportWidget(RunWidget):
    """Exports Labels layers with their classes, and imports what other programs saved."""

    form: ExportForm

    def __init__(self, napari_viewer: Viewer) -> None:
        button = big_button("Export all", "Write the ticked layers in the ticked formats")
        super().__init__(napari_viewer, ExportForm(), button, "Stop; nothing is left behind")
        self.load = QPushButton("Import…")
        self.load.setToolTip("Labels with classes, from any of these formats")
        self.written = text_label()
        menu = QMenu(self.load)
        menu.addAction("A file…").triggered.connect(self._choose_file)
        menu.addAction("A folder…").triggered.connect(self._choose_folder)
        self.load.setMenu(menu)
        self.add(self.form, self.button, self.load, self.progress, self.status, self.written)
        self.written.linkActivated.connect(lambda link: QDesktopServices.openUrl(QUrl(link)))
        self.form.offer(self.viewer.layers)

    def prepare(self) -> Computation:
        """Return the export of what is ticked."""
        from napari_wbc_nca.workflow.export import run

        form = self.form
        todo = "Segment an image, or draw cells in a Labels layer, and tick it."
        layers = require(form.layers.checked(), f"No Labels layer is ticked. {todo}")
        todo = "Choose where the exports are to be written."
        folder = require(form.folder.path, f"No folder is chosen. {todo}")
        ticked = [name for name, box in form.formats.items() if box.isChecked()]
        names = require(ticked, "No format is ticked. Tick those that you need.")
        shared = None if form.image_mode.currentText() == OWN else form.image.layer
        items = all_items(layers, list(self.viewer.layers), form.reviewed.regions(), shared)
        params = from_mapping(ExportParams, form.params.values())
        steps = run(items, names, folder, params, form.groups.path)
        return Computation(steps, self._on_exported, "Exporting")

    def import_from(self, path: Path) -> None:
        """Add layers of the labels at `path`."""
        layer = self.form.image.layer if path.suffix.lower() in OUTLINES else None
        source = None if layer is None else source_of(layer)
        # A stack has no one size.
        image = None if source is None or source.lead else source.image(())
        self.start(Computation(_read(path, image), self._on_imported, f"Reading {path.name}"))

    def set_running(self, running: bool) -> None:
        """Grey what would start another run; the form can be changed meanwhile."""
        self.load.setEnabled(not running)
        if running:
            self.written.setText("")

    def on_cancelled(self) -> str:
        """Remove what was written."""
        self._clean_up()
        return "Cancelled. Nothing was written."

    def on_failed(self) -> str:
        """Say that nothing was written."""
        return "Stopped by an error. Nothing was written."

    def _choose_file(self) -> None:
        found, _ = QFileDialog.getOpenFileName(self, "Labels of another program")
        if found:
            self.import_from(Path(found))

    def _choose_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Folder of labels of another program")
        if found:
            self.import_from(Path(found))

    def _on_exported(self, done: ExportResult) -> str:
        self.written.setText(listed(done))
        failed = [f"{name} is not written: {why}" for name, why in done.failed.items()]
        return "\n".join([f"{len(done.files)} files written", *failed, *done.notes])

    def _on_imported(self, items: list[Item]) -> str:
        layers = add_items(self.viewer, items, self.form.image.layer)
        cells = sum(len(one.cells) for one in items)
        notes = dict.fromkeys(note for one in items for note in one.notes)
        return "\n".join([f"{cells} cells imported as {', '.join(map(str, layers))}", *notes])

    def _clean_up(self) -> None:
        """Remove what a cancelled export wrote, as soon as its thread has stopped."""
        if self._computation is None:
            return
        try:
            self._computation.steps.close()
        except ValueError:  # it is still at a step that takes long
            QTimer.singleShot(200, self._clean_up)


def listed(done: ExportResult) -> str:
    """Write a line for each format, with a link to its folder, as rich text."""
    return "<br>".join(
        f'<a style="color: {_LINK}" href="{escape(folder.resolve().as_uri())}">{escape(name)}</a>: '
        f"{sum(folder in path.parents for path in done.files)} files"
        for name, folder in done.folders.items()
    )


def _read(path: Path, image: Plane | None) -> Generator[None, None, list[Item]]:
    from napari_wbc_nca.workflow.export import import_labels

    yield
    return import_labels(path, image=image)
