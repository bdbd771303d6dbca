"""Annotation projects as the data of other workflows: their images, labels and training pairs."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from napari_wbc_nca.formats import tiff
from napari_wbc_nca.project.database import ProjectError
from napari_wbc_nca.project.project import Project, is_project


def image_files(folder: Path) -> list[Path]:
    """List the images of a project; a ProjectError where it holds none, or cannot be opened."""
    with Project(folder) as project:
        found = [image.path for image in project.images()]
    if not found:
        raise ProjectError(f"{folder} holds no image; open one in napari and correct its cells")
    return found


def label_files(path: Path) -> Path:
    """Return the folder of label images that `path` stands for.

    Of a project its own, after the corrected labels were written there; anything else is returned
    as it is. A ProjectError or OutputError says when the project cannot be opened or written, or
    nothing in it is corrected.
    """
    if is_project(path):
        with Project(path) as project:
            if not project.write_snapshots():
                raise ProjectError(f"{path} holds no corrected image; correct one in napari first")
    return path


def training_data(path: Path) -> Path:
    """Return the folder of training data that `path` stands for.

    Of a project pairs of its images and corrected labels, in a temporary folder that goes when the
    program ends; anything else is returned as it is. A ProjectError or ExportError says when the
    project cannot be used, or an image of it is missing.
    """
    if not is_project(path):
        return path
    items = [tiff.read_segmentation(file) for file in tiff.find_label_images([label_files(path)])]
    for item in items:
        if item.pixels is None:
            raise ProjectError(f"{path}: {item.notes[0] if item.notes else item.name}")
    place = Path(tempfile.mkdtemp(prefix="wbc-project-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    folder = place / path.resolve().stem
    tiff.write(items, [], folder)
    return folder
