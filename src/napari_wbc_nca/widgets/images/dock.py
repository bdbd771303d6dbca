"""Images dock: the images of a folder or project one after the other, segmented and reviewed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QFileDialog, QMainWindow, QPushButton, QWidget

from napari_wbc_nca.io._files import file_sha256
from napari_wbc_nca.methods import registry
from napari_wbc_nca.project.journal import now
from napari_wbc_nca.project.project import is_project
from napari_wbc_nca.widgets.base import Computation, Form, RunWidget, require
from napari_wbc_nca.widgets.images.image_list import ImageList
from napari_wbc_nca.widgets.images.open_image import ImageOpener
from napari_wbc_nca.widgets.layout import (
    OpenDocks,
    PathRow,
    add_row,
    big_button,
    form_layout,
    row,
    share_place,
    text_label,
    with_tip,
)
from napari_wbc_nca.widgets.review.open_projects import choose_project, open_project, place_of
from napari_wbc_nca.widgets.segment import SegmentWidget
from napari_wbc_nca.widgets.worker import Job, report
from napari_wbc_nca.workflow.batch import BatchStep, segment_missing
from napari_wbc_nca.workflow.image_folder import (
    ImageFolder,
    ReviewState,
    open_images,
    open_project_images,
    project_states,
    read_state,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari import Viewer
    from qtpy.QtCore import QModelIndex

    from napari_wbc_nca.project.project import Project
    from napari_wbc_nca.widgets.review.open_projects import OpenProject

MODEL = "wbc-smear"
"""Model where the Segment dock is not open."""
NEXT, PREVIOUS = "Alt+PgDown", "Alt+PgUp"
IMAGES: OpenDocks[ImagesWidget] = OpenDocks()
"""The open dock of each viewer."""


class ImagesWidget(RunWidget):
    """Opens the images of a folder one by one; `folder` is None before one was chosen."""

    states_changed = Signal()
    _listed = Signal(object)
    _states_read = Signal(object, object)

    def __init__(self, napari_viewer: Viewer) -> None:
        button = big_button("Segment all", "Segment the images that have no results yet")
        super().__init__(napari_viewer, Form(), button, "Stop; images that are finished stay")
        self.viewer: Viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.folder: ImageFolder | None = None
        self.images = ImageList()
        self.opener = ImageOpener(self.viewer, self)
        self._kept: list[OpenProject] = []
        self._reading: Job | None = None
        self._make_parts()
        self._connect()
        IMAGES.add(self.viewer, self)
        self._show_folder()
        QTimer.singleShot(0, lambda: share_place(self, SegmentWidget))

    def open_folder(self, folder: str | Path) -> None:
        """List the images of a folder, or of a project; a ValueError says why there is none."""
        place = Path(folder).expanduser()
        if is_project(place):
            self.open_project(place)
        else:
            self._take(open_images(place))

    def open_project(self, folder: str | Path) -> None:
        """List the images of a project."""
        place = Path(folder).expanduser()
        if not is_project(place):
            raise ValueError(
                f"{place} is no annotation project; choose a folder NAME.wbcproject, or open the "
                "folder of the images"
            )
        project = open_project(place)

        def read(opened: Project) -> None:
            found = open_project_images(opened)
            if isalive(self):
                self._listed.emit(found)

        project.submit(read)
        project.close_unused()

    def step(self, by: int) -> None:
        """Open the next image, or the previous one."""
        rows = self.images.images.rowCount()
        at = self.images.currentIndex().row()
        if rows:
            self.images.choose(min(max(at + by, 0), rows - 1))

    def mark_done(self) -> None:
        """Write that the review of the open image is finished, and open the next one."""
        layer, path = self.opener.layer, self.opener.path
        place = None if layer is None else place_of(layer)
        if path is None or place is None:
            report(ValueError("No image is open; choose one in the list."))
            return

        def write(project: Project) -> None:
            image = project.add_image(place.path, place.pixel_size, place.sha256)
            project.set_reviewed(image, now())
            self._emit_states(project, path)

        self._keep(place.project)
        place.project.submit(write)
        self.step(1)

    def locate(self) -> None:
        """Ask where an image is that is missing, and go on with it there."""
        path, folder = self._current(), self.folder
        if path is None or folder is None:
            return
        found, _ = QFileDialog.getOpenFileName(self, f"Where is {path.name} now?", path.name)
        if found:
            self.move_image(path, Path(found))

    def move_image(self, path: Path, found: Path) -> None:
        """Take a file for an image of a project that is missing, if it is the same image."""
        assert self.folder is not None
        project = open_project(self.folder.projects[path])

        def write(opened: Project) -> ImageFolder:
            known = next(image for image in opened.images() if image.path == path)
            if file_sha256(found) != known.sha256:
                raise ValueError(
                    f"{found} is another image than {path.name}: its SHA-256 differs; choose the "
                    "file that was corrected"
                )
            opened.add_image(found)
            folder = open_project_images(opened)
            if isalive(self):
                self._listed.emit(folder)
            return folder

        project.submit(write)

    def prepare(self) -> Computation:
        """Return the segmentation of all images without results."""
        folder = require(self.folder, "No folder is open; press Open folder…")
        model, params = self._settings()
        output = self.results.path or folder.results
        steps = segment_missing(folder.files, model, params, output)
        return Computation(steps, self._on_segmented, f"Segmenting with {model}")

    def on_step(self, step: BatchStep) -> None:
        """Show the progress, and the state of an image that is finished."""
        assert self.folder is not None
        paths = list(self.folder.files)
        at, progress = paths.index(step.path), step.progress
        share = progress.done / progress.total if progress.total else 0.0
        self.progress.bar.setValue(round(1000 * (at + share) / len(paths)))
        self.status.setText(f"{at + 1} of {len(paths)}: {step.path.name}")
        if step.failure:
            self.images.images.set_state(step.path, ReviewState(failure=step.failure))
        elif step.finished:
            self.images.images.set_state(step.path, read_state(self.folder, step.path))
            if step.path == self.opener.path:
                self.opener.show_cells()

    def on_cancelled(self) -> str:
        """Say that the batch can go on."""
        return "Cancelled. Segment all goes on where it stopped."

    def on_close(self) -> None:
        """Save the open image, and let go of the projects."""
        super().on_close()
        IMAGES.discard(self.viewer, self)
        self.opener.close()
        self.images.images.thumbnails.close()
        self._let_go()

    def _make_parts(self) -> None:
        self.place, self.summary = text_label(), text_label()
        self.open_button = QPushButton("Open folder…")
        self.open_button.setToolTip("Review the images of a folder one after the other")
        self.project_button = QPushButton("Open project…")
        self.project_button.setToolTip("Review the images of an annotation project (.wbcproject)")
        self.previous = with_tip(QPushButton("◀ Previous"), f"Open the previous image ({PREVIOUS})")
        self.next = with_tip(QPushButton("Next ▶"), f"Open the next image ({NEXT})")
        self.done = QPushButton("Done, next")
        self.done.setToolTip("The review of this image is finished; open the next one")
        self.locate_button = QPushButton("Locate…")
        self.locate_button.setToolTip("Say where a file is that is missing")
        self.results = PathRow("Folder of the results, as segment writes them", folder=True)
        fields = QWidget()
        add_row(form_layout(fields), "Results", self.results)
        self.form.rows.addWidget(fields)
        self.add(row(self.open_button, self.project_button), self.place, self.images)
        self.add(row(self.previous, self.next, self.done, self.locate_button), self.summary)
        self.add(self.form, self.button, self.progress, self.status)
        self.rows.setStretchFactor(self.images, 1)

    def _connect(self) -> None:
        self.open_button.clicked.connect(lambda: self._choose("Folder of images", self.open_folder))
        self.project_button.clicked.connect(
            lambda: self._choose("Annotation project", self.open_project)
        )
        self.previous.clicked.connect(lambda: self.step(-1))
        self.next.clicked.connect(lambda: self.step(1))
        self.done.clicked.connect(self.mark_done)
        self.locate_button.clicked.connect(self.locate)
        self.images.selectionModel().currentChanged.connect(self._on_chosen)
        self.opener.saved.connect(self._on_saved)
        self._listed.connect(self._take)
        self._states_read.connect(self._on_states)
        self.images.images.states_changed.connect(self._summarise)
        for keys, by in ((NEXT, 1), (PREVIOUS, -1)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
            shortcut.activated.connect(partial(self.step, by))

    def _choose(self, title: str, open_it: Any) -> None:
        found = QFileDialog.getExistingDirectory(self, title)
        if found:
            try:
                open_it(found)
            except (ValueError, OSError) as error:
                report(error)

    def _take(self, folder: ImageFolder) -> None:
        """Show the images of a folder, and look up how far they are reviewed."""
        self.cancel()
        self.opener.close()
        self._let_go()
        self.folder = folder
        for path, project in folder.projects.items():
            choose_project(path, project)
        self._show_folder()
        self.images.images.show_folder(folder)
        self._read_states()

    def _show_folder(self) -> None:
        known = self.folder is not None
        for button in (self.previous, self.next, self.done, self.button):
            button.setEnabled(known)
        self.locate_button.hide()
        self.place.setText(str(self.folder.place) if self.folder else "No folder is open.")
        self.results.edit.setText(str(self.folder.results) if self.folder else "")
        self.summary.setText("")

    def _read_states(self) -> None:
        """Look up how far the images are reviewed: in threads, those of a project in its own."""
        folder = self.folder
        assert folder is not None
        existing = [place for place in dict.fromkeys(folder.projects.values()) if is_project(place)]
        for place in existing:
            project = open_project(place)
            self._keep(project)
            project.submit(self._emit_states)
        others = [path for path in folder.files if folder.projects.get(path) not in existing]

        def read() -> Generator[tuple[Path, ReviewState], None, None]:
            for path in others:
                yield path, read_state(folder, path)

        self._reading = job = Job(read(), self)
        job.yielded.connect(lambda found: self._on_states(folder, dict([found])))
        job.start()

    def _keep(self, project: OpenProject) -> None:
        """Keep a project open while its images are listed: opening it takes time."""
        if project not in self._kept:
            project.keep()
            self._kept.append(project)

    def _emit_states(self, project: Project, only: Path | None = None) -> None:
        """Read states in the thread of a project, and show them in that of the window."""
        folder = self.folder
        if folder is not None:
            states = project_states(project, folder, only)
            if isalive(self):
                self._states_read.emit(folder, states)

    def _on_states(self, folder: ImageFolder, states: dict[Path, ReviewState]) -> None:
        if folder is self.folder:
            for path, state in states.items():
                self.images.images.set_state(path, state)

    def _on_chosen(self, current: QModelIndex, before: QModelIndex) -> None:
        """Open the image whose row became the current one."""
        path = self._current()
        if path is None or self.folder is None or path == self.opener.path:
            return
        self.locate_button.setVisible(not path.exists())
        try:
            self.opener.open(self.folder, path)
        except (ValueError, OSError) as error:
            report(error)
            failed = ReviewState(missing=not path.exists(), failure=str(error))
            self.images.images.set_state(path, failed)

    def _current(self) -> Path | None:
        at, paths = self.images.currentIndex().row(), self.images.images.paths
        return paths[at] if 0 <= at < len(paths) else None

    def _on_saved(self, path: Path) -> None:
        """Look up again how far an image is reviewed that was closed."""
        folder = self.folder
        if folder is None or path not in folder.files:
            return
        place = folder.projects[path]
        if is_project(place):
            project = open_project(place)
            self._keep(project)
            project.submit(lambda opened: self._emit_states(opened, path))
            project.submit(lambda opened: opened.write_snapshots())
        else:
            self.images.images.set_state(path, read_state(folder, path))

    def _settings(self) -> tuple[str, Any]:
        """Return model and parameters of an open Segment dock, else the defaults."""
        window = self.window()
        found = window.findChildren(SegmentWidget) if isinstance(window, QMainWindow) else []
        for widget in found:
            form = widget.form
            if form.page.locate() in ("points", "boxes"):
                raise ValueError(
                    "Find cells is set to points or boxes, which are those of one image; choose "
                    "another way in Segment WBCs"
                )
            return form.model.model, form.page.make(form.scale.params())
        return MODEL, registry.get("nca_wss").predict_params()

    def _on_segmented(self, failed: dict[Path, str]) -> str:
        if not failed:
            return "All images are segmented."
        names = "\n".join(f"{path.name}: {why}" for path, why in failed.items())
        return f"{len(failed)} failed, the others are segmented.\n{names}"

    @property
    def projects(self) -> list[OpenProject]:
        """Projects of the folder that are open."""
        return list(self._kept)

    def _summarise(self) -> None:
        states = self.images.images.states.values()
        done = sum(state.done for state in states)
        waiting = sum(not state.segmented for state in states)
        failed = sum(bool(state.failure or state.missing) for state in states)
        texts = [f"{len(self.images.images.paths)} images", f"{done} done"]
        texts += [f"{waiting} not segmented"] * bool(waiting) + [f"{failed} failed"] * bool(failed)
        self.summary.setText(", ".join(texts))
        self.states_changed.emit()

    def _let_go(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        kept, self._kept = self._kept, []
        for project in kept:
            project.let_go()
