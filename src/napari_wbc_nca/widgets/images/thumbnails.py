"""Thumbnails of image files, made in a thread when they are first seen."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.compat import isalive
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QImage, QPixmap

from napari_wbc_nca.io import images
from napari_wbc_nca.io.pixels import to_rgb

if TYPE_CHECKING:
    import numpy.typing as npt

SIZE = 48
"""Screen pixels of a thumbnail."""
_DRAFTED = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


class Thumbnails(QObject):
    """Thumbnails by file; :attr:`ready` says that another one can be shown."""

    ready = Signal(object)
    _made = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pixmaps: dict[Path, QPixmap] = {}
        self._asked: set[Path] = set()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="thumbnails")
        self._made.connect(self._on_made)

    def get(self, path: Path) -> QPixmap:
        """Return the thumbnail of a file; an empty one while it is made, or cannot be."""
        if path not in self._pixmaps and path not in self._asked:
            self._asked.add(path)
            self._pool.submit(_make, path, self._emit)
        return self._pixmaps.get(path, _empty())

    def forget(self) -> None:
        """Make all thumbnails again when they are seen next; those that wait are left out."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="thumbnails")
        self._pixmaps.clear()
        self._asked.clear()

    def close(self) -> None:
        """Stop making thumbnails."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _emit(self, path: Path, pixels: npt.NDArray[np.uint8]) -> None:
        if isalive(self):
            self._made.emit(path, pixels)

    def _on_made(self, path: Path, pixels: npt.NDArray[np.uint8]) -> None:
        height, width = pixels.shape[:2]
        image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        scaled = image.scaled(
            SIZE,
            SIZE,
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        self._pixmaps[path] = QPixmap.fromImage(scaled)
        self.ready.emit(path)


def _make(path: Path, done: Callable[[Path, npt.NDArray[np.uint8]], None]) -> None:
    """Make the thumbnail of a file; none of one that cannot be read: its opening says why."""
    try:
        pixels = _small(path)
    except (ValueError, OSError):
        return
    done(path, np.ascontiguousarray(pixels))


def _small(path: Path) -> npt.NDArray[np.uint8]:
    """Return ``(Y, X, 3)`` colours of about twice the size of a thumbnail."""
    if path.suffix.lower() in _DRAFTED:
        from PIL import Image

        with Image.open(path) as picture:
            picture.draft("RGB", (2 * SIZE, 2 * SIZE))  # a JPEG is not decoded whole
            picture.thumbnail((2 * SIZE, 2 * SIZE))
            return np.asarray(picture.convert("RGB"))
    image = images.prepare(images.read(path))
    step = max(1, ceil(max(image.shape) / (2 * SIZE)))
    colours = np.asarray(to_rgb(image.pixels[::step, ::step], image.contrast))
    return colours.round().astype(np.uint8)


def _empty() -> QPixmap:
    pixmap = QPixmap(SIZE, SIZE)
    pixmap.fill(Qt.GlobalColor.transparent)
    return pixmap
