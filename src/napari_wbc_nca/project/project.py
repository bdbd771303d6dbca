"""Annotation project: images, layers and their corrections in one folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.io._files import file_sha256, name_outputs, user_data, write_reason
from napari_wbc_nca.project.database import FILE, Database, ProjectError
from napari_wbc_nca.project.journal import Journal, Labels, Row, insert_layer
from napari_wbc_nca.project.settings import load_settings, remembered_project
from napari_wbc_nca.project.snapshot import ImageRecord, LayerRecord, write_snapshot

if TYPE_CHECKING:
    import sqlite3

ENDING = ".wbcproject"
"""What the name of a project's folder ends with."""


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
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                why = write_reason(error, self.folder.parent)
                raise ProjectError(f"{self.folder} cannot be made: {why}") from error
        self.database = Database(self.folder, create)

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is waiting and let go of the project."""
        self.database.close()

    def images(self) -> Iterator[ImageRecord]:
        """List the images in the order in which they were added."""
        for number, path, sha256, pixel_size, reviewed in self.database.query(
            "SELECT id, path, sha256, pixel_size, reviewed FROM images ORDER BY id"
        ):
            yield ImageRecord(number, self._absolute(path), sha256, pixel_size, reviewed)

    def set_reviewed(self, image: ImageRecord, time: str | None) -> None:
        """Write when the review of an image was finished, in UTC; None takes that back."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE images SET reviewed = ? WHERE id = ?", (time, image.id))

        self.database.wait(self.database.submit(write))

    def add_image(
        self, path: Path, pixel_size: float | None = None, sha256: str | None = None
    ) -> ImageRecord:
        """Add an image file, or find it by its hash where it is known; its path is renewed.

        Parameters
        ----------
        path
            File, or the name of an array.
        pixel_size
            Side of a pixel in µm; None where unknown.
        sha256
            Of an array without a file; None for a file.

        Raises
        ------
        ProjectError
            When the file is missing.
        """
        if sha256 is None and not path.exists():
            raise ProjectError(f"{path} is missing; put the image back, or say where it is now")
        stored = self._relative(path) if sha256 is None else path.name
        sha256 = sha256 or _sha256(path)

        def insert(connection: sqlite3.Connection) -> int:
            connection.execute(
                "INSERT INTO images (path, sha256, pixel_size) VALUES (?, ?, ?) "
                "ON CONFLICT (sha256) DO UPDATE SET path = excluded.path",
                (stored, sha256, pixel_size),
            )
            ((number,),) = connection.execute("SELECT id FROM images WHERE sha256 = ?", (sha256,))
            return int(number)

        number = self.database.wait(self.database.submit(insert))
        return next(image for image in self.images() if image.id == number)

    def find_image(self, path: Path, sha256: str | None = None) -> ImageRecord | None:
        """Find an image by its hash, of a file where none is given; None where it is unknown."""
        sha256 = sha256 or _sha256(path)
        return next((image for image in self.images() if image.sha256 == sha256), None)

    def layers(self, image: ImageRecord) -> Iterator[LayerRecord]:
        """Label layers of an image in the order in which they were added."""
        for number, name, run, last, steps in self.database.query(
            "SELECT id, name, run, (SELECT coalesce(max(time), '') FROM transactions WHERE "
            "layer = layers.id), (SELECT count(*) FROM transactions WHERE layer = layers.id) "
            "FROM layers WHERE image = ? ORDER BY id",
            image.id,
        ):
            made = json.loads(run)
            yield LayerRecord(number, name, made, len(self.journal(number)), last, steps)

    def add_layer(
        self,
        image: ImageRecord,
        name: str,
        labels: Labels,
        rows: Mapping[int, Row],
        run: Mapping[str, Any] | None = None,
    ) -> Journal:
        """Add labels ``(..., Y, X)`` as they are before any correction, and begin their journal.

        `rows` is the table of cells by label, `run` the record of the run that made them. An image
        has one layer of a name, else a ProjectError is raised.
        """
        taken = {layer.name for layer in self.layers(image)}
        if name in taken:
            raise ProjectError(
                f"{image.path.name} has a layer {name!r} already; rename the new one"
            )
        copy, table = labels.copy(), dict(rows)
        number = self.database.wait(
            self.database.submit(lambda c: insert_layer(c, image.id, name, copy, table, run or {}))
        )
        return self.journal(number)

    def free_name(self, image: ImageRecord, name: str) -> str:
        """Return `name`, or with a number behind it where the image has a layer of that name."""
        taken = {layer.name for layer in self.layers(image)}
        numbered = (f"{name} ({number})" for number in range(2, len(taken) + 3))
        return name if name not in taken else next(one for one in numbered if one not in taken)

    def latest_layers(self, image: ImageRecord) -> list[LayerRecord]:
        """List the layers of an image with corrections: the latest of each plane or stack."""
        latest: dict[str, LayerRecord] = {}
        corrected = [layer for layer in self.layers(image) if layer.corrections]
        for layer in sorted(corrected, key=lambda layer: (layer.last, layer.id)):
            latest[str(layer.run.get("planes", ""))] = layer
        return list(latest.values())

    def write_snapshots(self) -> list[Path]:
        """Write the corrected label images with their tables and records into the folder.

        ``NAME_labels.tif``, ``NAME_cells.csv`` and ``NAME.json``, as ``segment`` writes them, of
        each image with corrections; they replace older ones when they are complete. Those of an
        image that did not change since are left as they are. None of a project that was moved
        while it is open.

        Raises
        ------
        OutputError
            When one cannot be written.
        """
        if not self.database.in_place():  # no second folder where it lay
            return []
        names = name_outputs(image.path for image in self.images())
        return [
            path
            for image in self.images()
            for layer in self.latest_layers(image)
            for path in write_snapshot(
                self.folder, names[image.path], image, layer, self.journal(layer.id)
            )
        ]

    def journal(self, layer: int) -> Journal:
        """Open the journal of a layer, by its number."""
        return Journal(self.database, layer)

    def _relative(self, path: Path) -> str:
        """Return a path as it is stored: relative where both may be moved together."""
        try:
            return Path(os.path.relpath(path.resolve(), self.folder.resolve())).as_posix()
        except ValueError:  # on another drive
            return path.resolve().as_posix()

    def _absolute(self, stored: str) -> Path:
        return Path(os.path.normpath(self.folder.resolve() / stored))


def _sha256(path: Path) -> str | None:
    """Compute the hash by which an image is known.

    Of a folder, such as an OME-Zarr, it is that of the names and sizes of its files, and of the
    contents of those that describe it: its pixels may be more than can be read in a while.
    """
    if not path.is_dir():
        return file_sha256(path)
    digest = hashlib.sha256()
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {file.stat().st_size}\n".encode())
        if file.suffix == ".json" or file.name.startswith(".z"):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def default_folder(image: Path) -> Path:
    """Choose the folder of an image's project.

    The first of these that exists: the image's own project beside it, the one of all images of its
    folder, one among the user's files, and the one that it had last. Else a new one where the
    settings want it, but among the user's files where nothing can be written beside the image.
    """
    beside = image.with_name(image.stem + ENDING)
    own = user_folder(f"{image.resolve().parent.name} {image.stem}")
    if beside.exists():
        return beside
    last = remembered_project(image)
    places = (folder_project(image.parent), own, *([last] if last else []))
    known = next(filter(is_project, places), None)
    if known is not None:
        return known
    wanted = load_settings().beside and os.access(image.parent, os.W_OK)
    return beside if wanted else own


def folder_project(folder: Path) -> Path:
    """Return the place of the one project of all images of a folder; it need not exist.

    Examples
    --------
    >>> folder_project(Path("smears/day1")).as_posix()
    'smears/day1/day1.wbcproject'
    """
    return folder / f"{folder.resolve().name}{ENDING}"


def user_folder(name: str) -> Path:
    """Return the folder of a project among the user's own files."""
    file_name = re.sub(r'[\\/:*?"<>|\0]', "_", name)
    return user_data() / "projects" / f"{file_name}{ENDING}"


def is_project(path: Path) -> bool:
    """Return whether `path` is the folder of a project."""
    return (path / FILE).is_file()
