"""Annotation project: images, layers and their corrections in one folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.io._files import file_sha256
from napari_wbc_nca.project.database import FILE, Database, ProjectError
from napari_wbc_nca.project.journal import Journal, Labels, Row, insert_layer

if TYPE_CHECKING:
    import sqlite3

ENDING = ".wbcproject"
"""What the name of a project's folder ends with."""


@dataclass(frozen=True)
class ImageRecord:
    """Image of a project, which is never copied or changed.

    Attributes
    ----------
    id
        Number in the project.
    path
        Where it was found last.
    sha256
        Of the file, by which it is known when it was moved.
    pixel_size
        Side of a pixel in µm; None where unknown.
    """

    id: int
    path: Path
    sha256: str
    pixel_size: float | None


@dataclass(frozen=True)
class LayerRecord:
    """Label layer of an image in a project.

    Attributes
    ----------
    id, name
        Number in the project, and name.
    run
        Record of the run that made it; empty where it was drawn by hand.
    corrections
        Edits that are applied.
    last
        Time of the last transaction in UTC; empty where there is none.
    """

    id: int
    name: str
    run: Mapping[str, Any]
    corrections: int
    last: str


class Project:
    """An open annotation project.

    Parameters
    ----------
    folder
        Of the project.
    create
        Make it where there is none.

    Raises
    ------
    ProjectError
        When it cannot be used; says what to do.
    """

    def __init__(self, folder: str | Path, create: bool = False) -> None:
        self.folder = Path(folder)
        if create:
            self.folder.mkdir(parents=True, exist_ok=True)
        self.database = Database(self.folder, create)

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is waiting and let go of the project."""
        self.database.close()

    def images(self) -> Iterator[ImageRecord]:
        """Images in the order in which they were added."""
        for number, path, sha256, pixel_size in self.database.query(
            "SELECT id, path, sha256, pixel_size FROM images ORDER BY id"
        ):
            yield ImageRecord(number, self._absolute(path), sha256, pixel_size)

    def add_image(self, path: Path, pixel_size: float | None = None) -> ImageRecord:
        """Add an image file, or find it by its hash where it is known; its path is renewed.

        Raises
        ------
        ProjectError
            When the file is missing.
        """
        if not path.exists():
            raise ProjectError(f"{path} is missing; put the image back, or say where it is now")
        sha256, stored = file_sha256(path), self._relative(path)

        def insert(connection: sqlite3.Connection) -> int:
            connection.execute(
                "INSERT INTO images (path, sha256, pixel_size) VALUES (?, ?, ?) "
                "ON CONFLICT (sha256) DO UPDATE SET path = excluded.path",
                (stored, sha256, pixel_size),
            )
            ((number,),) = connection.execute("SELECT id FROM images WHERE sha256 = ?", (sha256,))
            return int(number)

        number = self.database.submit(insert).result()
        return next(image for image in self.images() if image.id == number)

    def find_image(self, path: Path) -> ImageRecord | None:
        """Find an image file by its hash; None where the project does not hold it."""
        sha256 = file_sha256(path)
        return next((image for image in self.images() if image.sha256 == sha256), None)

    def layers(self, image: ImageRecord) -> Iterator[LayerRecord]:
        """Label layers of an image in the order in which they were added."""
        for number, name, run, last in self.database.query(
            "SELECT id, name, run, (SELECT coalesce(max(time), '') FROM transactions WHERE "
            "layer = layers.id) FROM layers WHERE image = ? ORDER BY id",
            image.id,
        ):
            yield LayerRecord(number, name, json.loads(run), len(self.journal(number)), last)

    def add_layer(
        self,
        image: ImageRecord,
        name: str,
        labels: Labels,
        rows: Mapping[int, Row],
        run: Mapping[str, Any] | None = None,
    ) -> Journal:
        """Add a label layer as it is before any correction, and begin its journal.

        Parameters
        ----------
        image
            That the labels belong to.
        name
            Of the layer, which the image has no other of.
        labels
            ``(..., Y, X)``; copied.
        rows
            Label to its row in the table of cells.
        run
            Record of the run that made it.
        """
        taken = {layer.name for layer in self.layers(image)}
        if name in taken:
            raise ProjectError(
                f"{image.path.name} has a layer {name!r} already; rename the new one"
            )
        copy, table = labels.copy(), dict(rows)
        number = self.database.submit(
            lambda c: insert_layer(c, image.id, name, copy, table, run or {})
        ).result()
        return self.journal(number)

    def journal(self, layer: int) -> Journal:
        """Journal of a layer, by its number."""
        return Journal(self.database, layer)

    def _relative(self, path: Path) -> str:
        """Path as it is stored: relative where the project may be moved together with it."""
        try:
            return Path(os.path.relpath(path.resolve(), self.folder.resolve())).as_posix()
        except ValueError:  # on another drive
            return path.resolve().as_posix()

    def _absolute(self, stored: str) -> Path:
        return Path(os.path.normpath(self.folder.resolve() / stored))


def default_folder(image: Path) -> Path:
    """Folder of the project of an image: beside it, where that can be written, else the user's."""
    beside = image.with_name(image.stem + ENDING)
    if beside.exists() or os.access(image.parent, os.W_OK):
        return beside
    from platformdirs import user_data_path

    return user_data_path("napari-wbc-nca") / "projects" / beside.name


def is_project(path: Path) -> bool:
    """Whether `path` is the folder of a project."""
    return (path / FILE).is_file()
