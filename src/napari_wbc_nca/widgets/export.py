"""The Export widget: write labels in the formats of other programs, and read them."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_wbc_nca.widgets.base import Computation, RunWidget
from napari_wbc_nca.widgets.export_form import ExportForm
from napari_wbc_nca.widgets.export_items import all_items, show
from napari_wbc_nca.widgets.layout import big_button, text_label
from napari_wbc_nca.widgets.planes import source_of

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image

    from napari_wbc_nca.formats.items import Item
    from napari_wbc_nca.types import Image as Plane
    from napari_wbc_nca.workflow.export import ExportResult

OUTLINES = (".geojson", ".zip", ".roi")
"""Files that do not say how large their image is."""
_LINK = "#5a8dee"
"""Colour of links, readable in napari's dark and light themes alike."""
_AGAIN = 200
"""Milliseconds after which cleaning up is tried again."""


class ExportWidget(RunWidget):
    """Exports Labels layers with their classes, and imports what other programs saved.

    Parameters
    ----------
    napari_viewer
        Viewer whose layers are offered, and that gets what is imported.
    """

    form: ExportForm

    def __init__(self, napari_viewer: Viewer) -> None:
        button = big_button("Export all", "Write the ticked layers in the ticked formats")
        super().__init__(napari_viewer, ExportForm(), button, "Stop; nothing is left behind")
        self.load = QPushButton("Import…")
        self.load.setToolTip("Labels with classes, from any of these formats")
        self.written = text_label()
        menu = QMenu(self.load)
        self.from_file = menu.addAction("A file…")
        self.from_folder = menu.addAction("A folder…")
        self.load.setMenu(menu)
        self.add(self.form, self.button, self.load, self.progress, self.status, self.written)
        self.from_file.triggered.connect(self._choose_file)
        self.from_folder.triggered.connect(self._choose_folder)
        self.written.linkActivated.connect(_open)
        self.form.offer(self.viewer.layers)

    def prepare(self) -> Computation:
        """Return the export of what is ticked."""
        form = self.form
        layers, folder, names = form.chosen(), form.target(), form.format_names()
        regions, shared = form.reviewed.regions(), form.shared_image()
        items = all_items(layers, list(self.viewer.layers), regions, shared)
        params, groups = form.values(), form.groups.path
        from napari_wbc_nca.workflow.export import run

        return Computation(
            run(items, names, folder, params, groups), self._on_exported, "Exporting"
        )

    def import_from(self, path: Path) -> None:
        """Add layers of the labels at `path`."""
        image = self.form.image.layer if path.suffix.lower() in OUTLINES else None
        steps = _read(path, _plane(image))
        self.start(Computation(steps, self._on_imported, f"Reading {path.name}"))

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
        layers = show(self.viewer, items, self.form.image.layer)
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
            QTimer.singleShot(_AGAIN, self._clean_up)


def listed(done: ExportResult) -> str:
    """Rich text: a line for each format, with a link to its folder."""
    lines: Iterable[str] = (
        f'<a style="color: {_LINK}" href="{escape(folder.resolve().as_uri())}">{escape(name)}</a>: '
        f"{sum(folder in path.parents for path in done.files)} files"
        for name, folder in done.folders.items()
    )
    return "<br>".join(lines)


def _read(path: Path, image: Plane | None) -> Generator[None, None, list[Item]]:
    from napari_wbc_nca.workflow.export import import_labels

    yield
    return import_labels(path, image=image)


def _plane(image: Image | None) -> Plane | None:
    """The only plane of an image layer; None of a stack, which has no one size."""
    if image is None:
        return None
    source = source_of(image)
    return None if source.lead else source.image(())


def _open(link: str) -> None:
    QDesktopServices.openUrl(QUrl(link))
