"""Read the images of an evaluation and the true cells in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.util import map_array

from napari_wbc_nca.cell_types import NONE, WBC
from napari_wbc_nca.datasets.label_files import read_names
from napari_wbc_nca.datasets.masks import IGNORE, label_file, read_mask_arrays
from napari_wbc_nca.datasets.readers import read, read_masks
from napari_wbc_nca.datasets.samples import MaskedSample, Sample, picture_size
from napari_wbc_nca.io import images
from napari_wbc_nca.io._files import NameIndex
from napari_wbc_nca.params import split_names
from napari_wbc_nca.workflow.projects import training_data

if TYPE_CHECKING:
    from napari_wbc_nca.evaluation.params import EvaluateParams

Labels = npt.NDArray[np.uint32]

CELL, NUCLEUS = 64, 192
"""Smallest grey of cytoplasm (128 in a mask's file) and of nucleus (255)."""


@dataclass(frozen=True, eq=False)
class EvaluationImage:
    """One image whose true cells are known: a sample as training uses it, and an expert's mask.

    `mask` is None where there are weak labels only, `masked_class` the class of the cells in it. In
    a crop of one cell (`whole`), no cell is searched for.
    """

    sample: Sample
    mask: Path | None
    whole: bool
    masked_class: str = WBC

    @property
    def name(self) -> str:
        """Stem of the image's file."""
        return self.sample.path.stem


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The true white blood cells of an image, or of a crop of one cell (`whole`): their classes.

    `boxes` are ``(N, 4)`` y0, x0, y1, x1 in pixels, None for masks and crops. `cell` and `nucleus`
    are ``(Y, X)`` uint32, the first cell 1, None without a mask. `ignored`, ``(Y, X)`` bool, is
    what nobody reviewed; cells predicted mostly there are not counted.
    """

    names: tuple[str, ...]
    whole: bool
    boxes: npt.NDArray[np.float32] | None = None
    cell: Labels | None = None
    nucleus: Labels | None = None
    ignored: npt.NDArray[np.bool_] | None = None


def read_images(data: str | Path, params: EvaluateParams) -> list[EvaluationImage]:
    """List the images of `data` that are of the kind, names and types in `params`.

    Where none is left, or a listed one is missing, a ValueError names it.
    """
    path, classes = training_data(Path(data)), split_names(params.classes)
    masked = path.is_dir() and any(path.glob("*_mask.png"))
    if params.kind == "labels" or (params.kind == "auto" and not masked):
        found = [EvaluationImage(s, None, s.boxes is None) for s in read(path, classes)]
    else:
        samples = read_masks(path, classes) if classes else read_masks(path)
        found = [_with_mask(sample, params.kind) for sample in samples]
    found = _select(found, params.include)
    types = set(split_names(params.types))
    found = [i for i in found if not types or types & {*i.sample.names, i.masked_class}]
    if not found:
        raise ValueError(f"{data} holds no cell of the types {params.types}; choose other types")
    return found


def _with_mask(sample: MaskedSample, kind: str) -> EvaluationImage:
    whole = kind == "crops" or (kind == "auto" and sample.boxes is None)
    boxes = None if whole else sample.boxes
    known, stem, folder = sample.label_class or WBC, sample.path.stem, sample.path.parent.name
    names = (known,) * (1 if boxes is None else len(boxes))
    weak = Sample(sample.path, boxes, names, stem, folder)
    return EvaluationImage(weak, sample.mask, whole, known)


def _select(found: list[EvaluationImage], include: str) -> list[EvaluationImage]:
    """Select the images that the file `include` lists; all where it is empty."""
    if not include:
        return found
    listed = read_names(Path(include))
    index, present = (
        NameIndex(dict.fromkeys(names, True))
        for names in (listed, [image.sample.path for image in found])
    )
    if absent := sorted(name for name in listed if present.get(name) is None):
        raise ValueError(
            f"{include} lists {', '.join(absent[:5])}, which the data does not hold; give names "
            "of its images, with or without suffix, one a line"
        )
    return [image for image in found if index.get(image.sample.path)]


def read_ground_truth(image: EvaluationImage) -> GroundTruth:
    """Read the true white blood cells of an image.

    A ValueError says when a mask is not of its image's size, or holds numbers of classes.
    """
    sample = image.sample
    if sample.masks is not None:
        return _read_masks(sample)
    if image.mask is None:
        if sample.boxes is None:
            return GroundTruth(sample.names, image.whole)
        true = [name != NONE for name in sample.names]
        names = tuple(name for name in sample.names if name != NONE)
        return GroundTruth(names, image.whole, sample.boxes[true])
    grey = read_grey(image.mask)
    size = picture_size(sample.path)
    if grey.shape != size:
        raise ValueError(
            f"{image.mask} is {grey.shape} pixels and {sample.path.name} {size} (height, width); "
            "give the mask of this image"
        )
    if 0 < int(grey.max()) < CELL:
        raise ValueError(
            f"{image.mask} holds {int(grey.max())} at most: numbers of classes, not cells in 128 "
            "and 255; only models of cellmixer are measured on them"
        )
    mask = grey >= CELL
    cell = mask.astype(np.uint32) if image.whole else label_components(mask, sample.boxes)
    names = (image.masked_class,) * int(cell.max())
    unreviewed = label_file(sample.path, IGNORE)
    ignored = None if unreviewed is None else read_ignored(unreviewed, size)
    nucleus = cell * (grey >= NUCLEUS)
    return GroundTruth(names, image.whole, cell=cell, nucleus=nucleus, ignored=ignored)


def read_grey(mask: Path) -> npt.NDArray[np.uint8]:
    """Read an expert's mask: ``(Y, X)``, 0 background, 128 cytoplasm, 255 nucleus."""
    brightness = images.to_rgb(images.read(mask))[..., 0]
    return np.asarray(np.round(brightness), np.uint8)


def read_ignored(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Read the ``(Y, X)`` pixels of an image of `shape` that nobody annotated: all above 0.

    A ValueError says when the file is of another size.
    """
    ignored = images.read_labels(path)[0] > 0
    if ignored.shape != tuple(shape):
        raise ValueError(
            f"{path} is {ignored.shape} pixels and its picture {tuple(shape)} (height, width); "
            "give what was not annotated in this picture"
        )
    return ignored


def _read_masks(sample: Sample) -> GroundTruth:
    """Read the white blood cells of a sample with masks, numbered from 1; others are left out."""
    assert sample.masks is not None
    shape = picture_size(sample.path) if sample.pixels is None else sample.pixels.shape[:2]
    drawn = read_mask_arrays(sample.masks, shape)
    names = tuple(name for name in sample.names if name != NONE)
    white = [n for n, name in zip(sample.masks.labels, sample.names, strict=True) if name != NONE]
    cell, nucleus = (
        None if labels is None else _renumber(labels, white)
        for labels in (drawn.cell, drawn.nucleus)
    )
    return GroundTruth(names, False, cell=cell, nucleus=nucleus, ignored=drawn.ignored)


def _renumber(labels: npt.NDArray[Any], kept: Sequence[int]) -> Labels:
    """Number the labels `kept` from 1 in their order; all others become 0."""
    numbers = np.arange(1, len(kept) + 1, dtype=np.uint32)
    return np.asarray(map_array(labels.copy(), np.asarray(kept, labels.dtype), numbers))


def label_components(
    mask: npt.NDArray[np.bool_], boxes: npt.NDArray[np.float32] | None = None
) -> Labels:
    """Label the components of a mask ``(Y, X)``; divide a component between its boxes ``(N, 4)``.

    A box, y0, x0, y1, x1 in pixels, belongs to the component that fills most of it. Where two or
    more belong to one, each pixel goes to the box whose centre is nearest in units of the box's
    sides.
    """
    boxes = np.empty((0, 4), np.float32) if boxes is None else boxes
    components, count = ndimage.label(mask)
    owners = np.array([_owner(components, box) for box in boxes], int)
    labels = np.zeros(mask.shape, np.uint32)
    for component in range(1, count + 1):
        pixels = np.nonzero(components == component)
        labels[pixels] = labels.max() + 1 + _nearest(pixels, boxes[owners == component])
    return labels


def _owner(components: npt.NDArray[np.int32], box: npt.NDArray[np.float32]) -> int:
    """Return the component that fills most of a box; 0 where there is none."""
    y0, x0, y1, x1 = np.rint(box).astype(int)
    counts = np.bincount(components[y0:y1, x0:x1].ravel(), minlength=2)[1:]
    return int(counts.argmax()) + 1 if counts.any() else 0


def _nearest(
    pixels: tuple[npt.NDArray[np.intp], ...], boxes: npt.NDArray[np.float32]
) -> npt.NDArray[np.intp]:
    """Assign pixels to their nearest box; boxes that are nearest to some pixel count from 0."""
    if len(boxes) < 2:
        return np.zeros(pixels[0].size, np.intp)
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    away = np.abs(np.stack(pixels, axis=1)[:, None] + 0.5 - centres) / sides
    return np.unique(away.max(axis=-1).argmin(axis=1), return_inverse=True)[1]
