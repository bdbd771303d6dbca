"""Many images: found in files, folders, patterns and projects, and segmented one by one."""

from __future__ import annotations

import glob
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wbc_nca.datasets.samples import is_picture
from napari_wbc_nca.io import omezarr
from napari_wbc_nca.io._files import name_outputs
from napari_wbc_nca.io.results import SUFFIXES
from napari_wbc_nca.progress import Progress, map_progress
from napari_wbc_nca.project.project import is_project

if TYPE_CHECKING:
    from napari_wbc_nca.methods.params import PredictParams
    from napari_wbc_nca.types import Checkpoint


@dataclass
class Inputs:
    """Images of several arguments.

    `files` has each image once, in the order of the arguments, and the name of its outputs;
    `failed` each argument without an image, and the reason.
    """

    files: dict[Path, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def find_inputs(arguments: Sequence[str]) -> Inputs:
    """Find the images of files, folders, patterns and annotation projects.

    In folders and patterns, label images and overlays that an earlier run wrote are left out.
    """
    found: list[Path] = []
    inputs = Inputs()
    for argument in arguments:
        path = Path(argument).expanduser()
        if is_project(path):
            images, why = _project_images(path)
        elif path.is_dir() and not omezarr.is_zarr(path):
            images = list(filter(_is_input, sorted(path.iterdir())))
            why = "there is no image in this folder; give images, or a folder with images"
        elif not path.exists() and glob.has_magic(argument):
            matches = sorted(glob.glob(str(path), recursive=True))
            images = list(filter(_is_input, map(Path, matches)))
            why = "no image matches this pattern; check the path"
        else:
            images, why = [path], ""
        if not images:
            inputs.failed[argument] = why
        found += images
    once: dict[Path, Path] = {}
    for path in found:
        once.setdefault(path.resolve(), path)
    inputs.files = name_outputs(once.values())
    return inputs


def _project_images(folder: Path) -> tuple[list[Path], str]:
    """List the images of a project; none, and the reason, where it cannot be opened."""
    from napari_wbc_nca.workflow.projects import image_files

    try:
        return image_files(folder), ""
    except ValueError as error:
        return [], str(error)


def _is_input(path: Path) -> bool:
    return omezarr.is_zarr(path) or (is_picture(path) and not path.name.endswith(SUFFIXES))


@dataclass(frozen=True)
class BatchStep:
    """Progress on one image of a batch.

    Attributes
    ----------
    path
        The image.
    progress
        On it; the last step of an image is done.
    finished
        Whether this is the last step of the image.
    failure
        Why it could not be segmented, and what to do; empty where it could.
    """

    path: Path
    progress: Progress
    finished: bool = False
    failure: str = ""


def segment_missing(
    files: Mapping[Path, str], model: str | Path, params: PredictParams, output: Path
) -> Generator[BatchStep, None, dict[Path, str]]:
    """Segment the images that have no results yet, and write what ``segment`` writes.

    So a batch that was cancelled or killed goes on where it stopped. An image that fails does not
    stop the others.

    Parameters
    ----------
    files
        Images, and the names of their outputs.
    model, params
        As in :func:`~napari_wbc_nca.workflow.segment.segment`; the parameters are for all images.
    output
        Folder of the results.

    Returns
    -------
    dict
        Images that failed, and why.

    Raises
    ------
    WeightsError
        When there is no such model.
    """
    from napari_wbc_nca.io import model_store, results

    checkpoint = model_store.resolve(model)
    failed: dict[Path, str] = {}
    for path, name in files.items():
        if results.existing_files(name, output):
            continue
        try:
            yield from _segment_file(path, name, checkpoint, params, output)
        except Exception as error:  # whatever a library raises for one image
            failed[path] = str(error) or type(error).__name__
            yield BatchStep(path, Progress(1, 1, "failed"), True, failed[path])
        else:
            yield BatchStep(path, Progress(1, 1, "done"), True)
    return failed


def _segment_file(
    path: Path, name: str, checkpoint: Checkpoint, params: PredictParams, output: Path
) -> Generator[BatchStep, None, None]:
    from napari_wbc_nca.io import results
    from napari_wbc_nca.io.images import prepare, read
    from napari_wbc_nca.workflow import segment

    image = prepare(replace(read(path), name=name))
    steps = segment.run(image, checkpoint, params)
    found = yield from map_progress(steps, partial(BatchStep, path))
    results.write(found, replace(image, pixel_size=params.pixel_size or image.pixel_size), output)
