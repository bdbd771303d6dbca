"""The Export widget: corrected labels out to other programs, and back in."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QLabel, QMenu, QPushButton, QVBoxLayout

from napari_wbc_nca.widgets.base import ViewerWidget, report
from napari_wbc_nca.widgets.export_form import ExportForm
from napari_wbc_nca.widgets.export_items import all_items, show
from napari_wbc_nca.widgets.layout import ProgressRow, big_button
from napari_wbc_nca.widgets.planes import source_of
from napari_wbc_nca.widgets.worker import Job

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Labels

    from napari_wbc_nca.formats.items import Item
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Image as Plane
    from napari_wbc_nca.workflow.export import Exported

OUTLINES = (".geojson", ".zip", ".roi")
"""Files that do not say how large their image is."""
_LINK = "#5a8dee"
"""Colour of links, readable in napari's dark and light themes alike."""
_AGAIN = 200
"""Milliseconds after which cleaning up is tried again."""


class ExportWidget(ViewerWidget):
    """Exports Labels layers with their classes, and imports what other programs saved.

    Parameters
    ----------
    napari_viewer
        Viewer whose layers are offered, and that gets what is imported.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.form = ExportForm()
        self.button = big_button("Export all", "Write the ticked layers in the ticked formats")
        self.load = QPushButton("Import…")
        self.load.setToolTip("Labels with classes, from any of these formats")
        self.progress = ProgressRow()
        self.status = _text()
        self.written = _text()
        self._job: Job | None = None
        self._steps: Generator[Any, None, Any] | None = None
        menu = QMenu(self.load)
        self.from_file = menu.addAction("A file…")
        self.from_folder = menu.addAction("A folder…")
        self.load.setMenu(menu)
        layout = QVBoxLayout(self)
        for part in (self.form, self.button, self.load, self.progress, self.status, self.written):
            layout.addWidget(part)
        layout.addStretch(1)
        self.button.clicked.connect(self.run)
        self.progress.cancel.clicked.connect(self.cancel)
        self.progress.cancel.setToolTip("Stop; nothing is left behind")
        self.from_file.triggered.connect(self._choose_file)
        self.from_folder.triggered.connect(self._choose_folder)
        self.written.linkActivated.connect(_open)
        self.form.offer(self.viewer.layers)

    @property
    def running(self) -> bool:
        """Whether an export or import is going on."""
        return self._job is not None and self._job.running

    def run(self) -> None:
        """Export what is ticked."""
        try:
            layers, folder, names = self.form.chosen(), self.form.target(), self.form.wanted()
            items, params = self._items(layers), self.form.values()
            groups = self.form.groups.path
        except (ValueError, OSError) as error:
            report(error)
            return
        from napari_wbc_nca.workflow.export import run

        self._start(run(items, names, folder, params, groups), self._on_exported, "Exporting")

    def import_from(self, path: Path) -> None:
        """Add layers of the labels at `path`."""
        image = self.form.image.layer if path.suffix.lower() in OUTLINES else None
        self._start(_read(path, _plane(image)), self._on_imported, f"Reading {path.name}")

    def cancel(self) -> None:
        """Stop what is going on; what was written so far is removed."""
        if self._job is not None:
            self.progress.cancel.setEnabled(False)
            self._job.cancel()

    def on_layers(self) -> None:
        """Offer the layers there are now."""
        self.form.offer(self.viewer.layers)

    def on_close(self) -> None:
        """Stop what is going on."""
        self.cancel()

    def _items(self, layers: Iterable[Labels]) -> list[Item]:
        regions, shared = self.form.reviewed.regions(), self.form.shared_image()
        return all_items(layers, list(self.viewer.layers), regions, shared)

    def _choose_file(self) -> None:
        found, _ = QFileDialog.getOpenFileName(self, "Labels of another program")
        if found:
            self.import_from(Path(found))

    def _choose_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Folder of labels of another program")
        if found:
            self.import_from(Path(found))

    def _start(self, steps: Generator[Any, None, Any], then: Any, text: str) -> None:
        if self.running:
            return
        self._steps, self._job = steps, Job(steps, self)
        self._job.yielded.connect(self._on_step)
        self._job.returned.connect(then)
        self._job.cancelled.connect(self._on_cancelled)
        self._job.failed.connect(self._on_failed)
        self.written.setText("")
        self._set_running(True, f"{text}…")
        self._job.start()

    def _set_running(self, running: bool, text: str) -> None:
        self.button.setEnabled(not running)
        self.load.setEnabled(not running)
        self.status.setText(text)
        if running:
            self.progress.start()
        else:
            self.progress.setVisible(False)

    def _on_step(self, step: Progress | None) -> None:
        if step is not None and self.progress.cancel.isEnabled():
            self.progress.show_share(step.done / step.total)
            self.status.setText(f"{step.message}…")

    def _on_exported(self, done: Exported) -> None:
        self._set_running(False, "\n".join([f"{len(done.files)} files written", *done.notes]))
        self.written.setText(listed(done))

    def _on_imported(self, items: list[Item]) -> None:
        image = self.form.image.layer
        layers = show(self.viewer, items, image)
        cells = sum(len(one.cells) for one in items)
        self._set_running(False, f"{cells} cells imported as {', '.join(map(str, layers))}")

    def _on_cancelled(self) -> None:
        self._clean_up()
        self._set_running(False, "Cancelled. Nothing was written.")

    def _clean_up(self) -> None:
        """Remove what a cancelled export wrote, as soon as its thread has stopped."""
        if self._steps is None:
            return
        try:
            self._steps.close()
        except ValueError:  # it is still at a step that takes long
            QTimer.singleShot(_AGAIN, self._clean_up)

    def _on_failed(self, error: Exception) -> None:
        report(error)
        self._set_running(False, "Stopped by an error. Nothing was written.")


def listed(done: Exported) -> str:
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


def _text() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
    return label
