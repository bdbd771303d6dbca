"""One labelled picture, and the names that its cells can have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.formats.files import PICTURES
from napari_wbc_nca.formats.items import ExportError
from napari_wbc_nca.io import images
from napari_wbc_nca.io._files import array_sha256
from napari_wbc_nca.io.pixels import ImageError
from napari_wbc_nca.io.tables import TableError


class LabelError(ValueError):
    """Labelled data that cannot be used; names file and line."""


@contextmanager
def as_label_errors() -> Iterator[None]:
    """Raise a :class:`LabelError` in place of the errors of tables, images and exports."""
    try:
        yield
    except (ExportError, ImageError, TableError) as error:
        raise LabelError(str(error)) from error


@dataclass(frozen=True, eq=False)
class Masks:
    """Label images of cells, as files or arrays.

    Attributes
    ----------
    cell
        File, or ``(Y, X)`` integers: a label a cell, 0 outside of all.
    labels
        Label of each of the sample's cells, in their order.
    nucleus
        The same of nuclei, with their cells' labels; None where they were not drawn.
    ignore
        File, or ``(Y, X)``: above 0 where nobody reviewed, which teaches nothing; None where all
        was reviewed.
    """

    cell: Path | npt.NDArray[Any]
    labels: tuple[int, ...]
    nucleus: Path | npt.NDArray[Any] | None = None
    ignore: Path | npt.NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture with labels: classes, boxes, points, or masks where somebody drew them.

    Attributes
    ----------
    path
        File of the picture.
    boxes
        ``(N, 4)`` float32: y0, x0, y1, x1 in pixels, end exclusive. A point is a box without
        extent. None where the whole picture is one cell.
    names
        Class of each box; just one where `boxes` is None.
    group
        What must stay on one side of a split, such as the slide.
    source
        Name of the data set it belongs to.
    weight
        How often it is drawn, relative to samples of other sources.
    kinds
        Class of each box as it was labelled, lower case: ``rbc`` where `names` says ``none``.
    masks
        Pixels of the cells, where they were drawn; `boxes` are around them.
    pixels
        ``(Y, X, 3)`` uint8 of a picture that has no file; `path` is then just its name.
    ignored
        ``(M, 4)`` boxes whose pixels teach nothing, such as cells that the border cuts.
    diameter
        Diameter in pixels of a typical white blood cell; 0 to take it from the labels.
    """

    path: Path
    boxes: npt.NDArray[np.float32] | None
    names: tuple[str, ...]
    group: str = ""
    source: str = ""
    weight: float = 1.0
    kinds: tuple[str, ...] = ()
    masks: Masks | None = None
    pixels: npt.NDArray[np.uint8] | None = None
    ignored: npt.NDArray[np.float32] | None = None
    diameter: float = 0.0

    def __post_init__(self) -> None:
        count = 1 if self.boxes is None else len(self.boxes)
        if len(self.names) != count:
            raise ValueError(f"{self.path}: {len(self.names)} class names for {count} cells")
        if not self.kinds:
            object.__setattr__(self, "kinds", self.names)
        if self.masks is not None and len(self.masks.labels) != count:
            raise ValueError(f"{self.path}: {len(self.masks.labels)} labels for {count} cells")


@dataclass(frozen=True, eq=False)
class MaskedSample:
    """One picture with a mask that an expert drew; for evaluation only.

    The mask is 0 background, 128 cytoplasm, 255 nucleus. `label_class` is that of the only white
    blood cell, None where unknown or where there are several; `boxes` are ``(N, 4)`` float32 of
    its white blood cells, None where there is no label file.
    """

    path: Path
    mask: Path
    label_class: str | None = None
    boxes: npt.NDArray[np.float32] | None = None


def without_cut_cells(sample: Sample) -> Sample:
    """Drop the cells that the picture's border cuts; their pixels are ignored.

    A cell that is known by a point alone, or fills its crop, is never taken to be cut.
    """
    if sample.boxes is None or not len(sample.boxes):
        return sample
    boxes, pixels = sample.boxes, sample.pixels
    height, width = picture_size(sample.path) if pixels is None else pixels.shape[:2]
    sized = (boxes[:, 2:] > boxes[:, :2]).all(1)
    cut = sized & ((boxes[:, :2] < 1).any(1) | (boxes[:, 2:] > (height - 1, width - 1)).any(1))
    kept = np.flatnonzero(~cut)
    masks = sample.masks
    if masks is not None:
        masks = replace(masks, labels=tuple(masks.labels[n] for n in kept))
    ignored = boxes[cut] if sample.ignored is None else np.vstack([sample.ignored, boxes[cut]])
    return replace(
        sample,
        boxes=boxes[kept],
        names=tuple(sample.names[n] for n in kept),
        kinds=tuple(sample.kinds[n] for n in kept),
        masks=masks,
        ignored=ignored,
    )


def is_picture(path: Path) -> bool:
    """Return whether a file is a picture, rather than a mask or map of one."""
    made = ("_mask", "_likelihood", "_labels", "_nuclei", "_ignore", "_overlay", "_stain")
    drawn = path.stem.endswith(made) or path.name.startswith(".")
    return path.suffix.lower() in PICTURES and not drawn


@as_label_errors()
def picture_size(path: Path) -> tuple[int, int]:
    """Read a picture's height and width in pixels, as a viewer shows it; LabelError for none."""
    return images.size(path)


def image_id(rgb: npt.NDArray[np.uint8]) -> str:
    """Return 12 hexadecimal digits that identify an image by its pixels, whatever its file."""
    return array_sha256(rgb)[:12]


@as_label_errors()
def read_rgb(sample: Sample | MaskedSample | Path) -> npt.NDArray[np.uint8]:
    """Read the pixels of a sample as segmenting sees them: ``(Y, X, 3)`` uint8.

    LabelError where the file is no picture that can be read.
    """
    if isinstance(sample, Sample) and sample.pixels is not None:
        return sample.pixels
    path = sample if isinstance(sample, Path) else sample.path
    image = images.read(path)
    if image.pixels.dtype == np.uint8 and image.pixels.shape[2:] == (3,):
        return np.asarray(image.pixels)
    try:
        return np.asarray(np.round(images.to_rgb(image)), np.uint8)
    except ImageError as error:
        raise LabelError(f"{path}: {error}") from error


def edge_boxes(sample: Sample, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Convert boxes to pixel edges: ``(N, 4)`` y0, x0, y1, x1, the first pixel between 0 and 1.

    A point, which is a pixel centre, moves by half a pixel. A sample without either is one box of
    the picture's `shape`.
    """
    if sample.boxes is None:
        return np.asarray([[0, 0, *shape[:2]]], np.float64)
    boxes = sample.boxes.astype(np.float64)
    point = (boxes[:, 2:] == boxes[:, :2]).all(axis=1)
    return np.asarray(boxes + 0.5 * point[:, None])


def box_sides(
    boxes: npt.NDArray[np.float32], shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Measure boxes: the side of the square of equal area, or the longer side at the border.

    Returns ``(N,)`` sides in pixels of ``(N, 4)`` `boxes`, 0 of points, and ``(N,)`` bool: whether
    the border of a picture of `shape` cuts the box.
    """
    height, width = (boxes[:, 2:] - boxes[:, :2]).T
    low, high = boxes[:, :2] <= 1, boxes[:, 2:] >= np.subtract(shape[:2], 1)
    cut = np.asarray((low | high).any(axis=1))
    return np.where(cut, np.maximum(height, width), np.sqrt(height * width)), cut
