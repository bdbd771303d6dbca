"""Samples of label images, and of stained nuclei, that lie beside a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from napari_wbc_nca.cell_types import NONE, WBC, canonical
from napari_wbc_nca.datasets.label_files import CELL
from napari_wbc_nca.datasets.samples import LabelError, Masks, Sample, as_label_errors, picture_size
from napari_wbc_nca.formats.files import find_picture, read_cells
from napari_wbc_nca.formats.yolo import swap_folder
from napari_wbc_nca.io import images
from napari_wbc_nca.io._files import stem
from napari_wbc_nca.io.results import TABLE
from napari_wbc_nca.ops.centroids import detect_blobs

LABELS, NUCLEI, IGNORE = "_labels", "_nuclei", "_ignore"
"""What follows a picture's stem in the names of its label images."""
STAIN = "_stain"
"""What follows it in the name of the image of its stained nuclei."""


@dataclass(frozen=True, eq=False)
class MaskArrays:
    """Masks of a sample as ``(Y, X)`` arrays; see :class:`Masks`."""

    cell: npt.NDArray[Any]
    nucleus: npt.NDArray[Any] | None
    ignored: npt.NDArray[np.bool_]


def read_mask_arrays(masks: Masks, shape: tuple[int, ...]) -> MaskArrays:
    """Read masks of a picture of `shape` (height, width).

    LabelError where an image of labels cannot be read, or is not of the picture's size.
    """
    cell = _read_labels(masks.cell, shape)
    nucleus = None if masks.nucleus is None else _read_labels(masks.nucleus, shape)
    ignore = np.zeros(cell.shape) if masks.ignore is None else _read_labels(masks.ignore, shape)
    return MaskArrays(cell, nucleus, np.asarray(ignore > 0))


def _read_labels(labels: Path | npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Read ``(Y, X)`` integers of a label image, and check that they have `shape`."""
    try:
        found = images.read_labels(labels)[0] if isinstance(labels, Path) else labels
    except images.ImageError as error:
        raise LabelError(f"{labels} cannot be read as labels: {error}") from error
    name = str(labels) if isinstance(labels, Path) else "the label image"
    if found.dtype.kind not in "uib":
        raise LabelError(f"{name} holds {found.dtype}; expected integers, one a cell")
    if found.min(initial=0) < 0:
        raise LabelError(
            f"{name} has labels below 0; expected 0 outside of all cells: relabel them"
        )
    if found.shape != tuple(shape[:2]):
        raise LabelError(
            f"{name} is {found.shape} pixels and its picture {tuple(shape[:2])} (height, width); "
            "give the labels of this picture"
        )
    return found


def sample_from_masks(
    path: Path,
    masks: Masks,
    classes: Mapping[int, str],
    shape: tuple[int, ...],
    pixels: npt.NDArray[np.uint8] | None = None,
) -> Sample:
    """Make the sample of a picture of `shape` (height, width) whose cells have masks.

    Which labels the masks hold is found here; a cell without a class in `classes` is a white blood
    cell of unknown type. A picture without a file has a name as `path`, and `pixels`.
    """
    cell = read_mask_arrays(masks, shape).cell
    known, dense = np.unique(cell, return_inverse=True)
    parts = ndi.find_objects(dense.reshape(cell.shape) + int(known[0] != 0))
    labels = tuple(int(label) for label in known if label)
    kinds = tuple((classes.get(label) or WBC).strip().lower() for label in labels)
    names = tuple(canonical(kind) for kind in kinds)
    boxes = [(y.start, x.start, y.stop, x.stop) for y, x in parts if y is not None]
    areas = [
        float(np.count_nonzero(cell[part] == label))
        for part, label, name in zip(parts, labels, names, strict=True)
        if name != NONE
    ]
    return Sample(
        path,
        np.asarray(boxes, np.float32).reshape(-1, 4),
        names,
        kinds=kinds,
        masks=replace(masks, labels=labels),
        pixels=pixels,
        diameter=typical_diameter(areas),
    )


def typical_diameter(areas: Iterable[float]) -> float:
    """Compute the diameter of a disc as large as the cell at half of the cells' whole area.

    So fragments, which may be many, do not decide; 0 without any cell.

    Examples
    --------
    >>> round(typical_diameter([3, 4, 314, 315]))
    20
    """
    ordered = np.sort(np.asarray(list(areas), float))
    if not ordered.size:
        return 0.0
    total = np.cumsum(ordered)
    return float(np.sqrt(4 / np.pi * ordered[np.searchsorted(total, total[-1] / 2)]))


def label_file(picture: Path, end: str = LABELS) -> Path | None:
    """Find the label image that belongs to a picture; None where there is none.

    ``NAME_labels.tif`` beside ``NAME.jpg``, or ``labels/NAME.tif`` where that is in ``images``;
    other suffixes of pictures, in either case, as well. `NUCLEI`, `IGNORE` (unreviewed pixels) and
    `STAIN` (stained nuclei) are other values of `end`.
    """
    names = dict.fromkeys((picture.stem, stem(picture)))  # a.ome and a, of a.ome.tif
    found = [find_picture(picture.parent, f"{name}{end}") for name in names]
    folder = swap_folder(picture, "images", end.removeprefix("_")).parent
    if folder != picture.parent:
        found += [find_picture(folder, name) for name in names]
    return next((path for path in found if path is not None), None)


@as_label_errors()
def read_masks_beside(picture: Path) -> Sample:
    """Read a picture's label image, and its table of classes where there is one.

    LabelError where it has no label image, or one that cannot be used.
    """
    cell = label_file(picture)
    if cell is None:
        raise LabelError(
            f"{picture} has no label image; expected {picture.stem}{LABELS}.tif beside it (empty "
            "where there are no cells), or leave the picture out"
        )
    table = cell.with_name(f"{stem(cell).removesuffix(LABELS)}{TABLE}")
    cells = read_cells(table)
    classes: dict[int, str] = {}
    if cells is not None:
        if missing := {"label", "class"} - set(cells):
            raise LabelError(f"{table}: no column {', '.join(sorted(missing))}")
        classes = dict(zip(cells["label"].tolist(), cells["class"].tolist(), strict=True))
    masks = Masks(cell, (), label_file(picture, NUCLEI), label_file(picture, IGNORE))
    return sample_from_masks(picture, masks, classes, picture_size(picture))


@as_label_errors()
def read_stain_beside(picture: Path) -> Sample:
    """Detect the cells of a picture as blobs in the stained channel beside it.

    LabelError where there is none, it cannot be read, or is not of the picture's size.
    """
    file = label_file(picture, STAIN)
    if file is None:
        raise LabelError(
            f"{picture} has no stained channel beside it; expected {picture.stem}{STAIN}.tif"
        )
    values = np.asarray(images.read(file).pixels, np.float32)
    plane = values if values.ndim == 2 else values[..., :3].mean(-1)
    if plane.shape != (size := picture_size(picture)):
        raise LabelError(
            f"{file} has {plane.shape} (height, width) pixels, but {picture.name} has {size}"
        )
    centres = detect_blobs(plane).astype(np.float32)
    return Sample(picture, np.hstack([centres, centres]), (CELL,) * len(centres))
