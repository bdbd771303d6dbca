"""Projects that this napari has open: one thread each, open as long as a layer needs them."""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import finalize, ref

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_wbc_nca.io._files import array_sha256
from napari_wbc_nca.project.project import Project, default_folder, user_folder
from napari_wbc_nca.widgets.planes import pixel_size, source_of
from napari_wbc_nca.widgets.review.first_state import finish_copies
from napari_wbc_nca.widgets.worker import report

if TYPE_CHECKING:
    from napari.layers import Image, Labels

T = TypeVar("T")

SNAPSHOT_EVERY = 180.0
"""Seconds after which the corrected label images are written again."""
LARGEST = 2**26
"""Bytes of an array without a file up to which it is hashed, and so has a project."""
_OPEN: dict[Path, OpenProject] = {}
_CHOSEN: dict[Path, Path] = {}


class OpenProject(QObject):
    """A project and the thread in which all of its work is done, in order.

    The first job opens the project, or makes it; it is closed when no layer needs it.
    """

    failed = Signal(object)

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._project: Project | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="project")
        self._users = 0
        self._reported = ""
        self._written = time.monotonic()
        self.failed.connect(self._on_failed)

    def submit(self, job: Callable[[Project], T]) -> Future[T]:
        """Run a job in the project's thread; an error is shown in the window."""
        future = self._pool.submit(self._run, job)
        future.add_done_callback(self._on_done)
        return future

    def use(self, layer: ref[Labels]) -> None:
        """Keep the project open as long as a layer lives."""
        if (alive := layer()) is not None:
            self._users += 1
            finalize(alive, self._release).atexit = False

    def keep(self) -> None:
        """Keep the project open until :meth:`let_go`."""
        self._users += 1

    def let_go(self) -> None:
        """Close the project, unless a layer still needs it."""
        self._release()

    def close(self) -> None:
        """Write what is waiting and the corrected label images, and let go of the project."""
        finish_copies()
        _OPEN.pop(self.folder, None)
        self._pool.shutdown(wait=True)
        self._close()

    def close_unused(self) -> None:
        """Close the project where no layer needs it, after the jobs that wait."""
        self._pool.submit(lambda: None if self._users else self._close())

    def _run(self, job: Callable[[Project], T]) -> T:
        if self._project is None:
            self._project = Project(self.folder, create=True)
            self._project.database.on_failure = self.failed.emit
        result = job(self._project)
        if time.monotonic() - self._written > SNAPSHOT_EVERY:
            self._written = time.monotonic()
            self._project.write_snapshots()
        return result

    def _close(self) -> None:
        project, self._project = self._project, None
        if project is None:
            return
        try:
            project.write_snapshots()
        finally:
            project.close()

    def _release(self) -> None:
        self._users -= 1
        if _OPEN.get(self.folder) is self:
            self.close_unused()

    def _on_done(self, future: Future[Any]) -> None:
        if (error := future.exception()) is not None:
            self.failed.emit(error)

    def _on_failed(self, error: Exception) -> None:
        """Report an error once, not at every stroke."""
        if str(error) != self._reported:
            self._reported = str(error)
            report(error)


@dataclass(frozen=True, eq=False)
class Place:
    """Project of an image, and what the image is known by in it.

    Attributes
    ----------
    project
        Where corrections are kept.
    path
        File of the image, or name of an array.
    sha256
        Of an array; None of a file, which is hashed when it is needed.
    pixel_size
        In µm; None where unknown.
    """

    project: OpenProject
    path: Path
    sha256: str | None
    pixel_size: float | None


def place_of(image: Image) -> Place | None:
    """Find the project of an image layer, which need not exist yet.

    None for an array without a file that is lazy, or too large to be known again by its pixels.
    """
    path, size = image.source.path, pixel_size(source_of(image))
    if path is not None and Path(path).exists():
        file = Path(path).resolve()
        folder = _CHOSEN.get(file) or default_folder(file)
        return Place(open_project(folder), file, None, size)
    in_memory = isinstance(image.data, np.ndarray) and not image.multiscale
    if not in_memory or image.data.nbytes > LARGEST:
        return None
    sha256 = array_sha256(image.data)
    folder = user_folder(f"{image.name}-{sha256[:12]}")
    return Place(open_project(folder), Path(image.name), sha256, size)


def choose_project(image: Path, folder: Path) -> None:
    """Keep the corrections of an image file in a project from now on, which need not exist."""
    _CHOSEN[image.resolve()] = folder


def open_project(folder: Path) -> OpenProject:
    """Return the project of a folder, the same for all layers of this napari."""
    folder = folder.resolve()
    if folder not in _OPEN:
        _OPEN[folder] = OpenProject(folder)
    return _OPEN[folder]


def close_all() -> None:
    """Close all projects that are open, with everything written."""
    finish_copies()
    for project in list(_OPEN.values()):
        project.close()


atexit.register(close_all)
