"""What an evaluation measures against: pictures with their true cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture
from scipy import ndimage

from napari_wbc_nca.datasets.label_files import read_names
from napari_wbc_nca.datasets.masks import read_drawn
from napari_wbc_nca.datasets.readers import NONE, WBC, MaskedSample, Sample, read, read_masks
from napari_wbc_nca.datasets.samples import picture_size
from napari_wbc_nca.evaluation.params import EvaluateParams, listed

Labels = npt.NDArray[np.uint32]

CELL, NUCLEUS = 64, 192
"""Smallest grey of cytoplasm (drawn as 128) and of nucleus (drawn as 255) in a mask's file."""


@dataclass(frozen=True, eq=False)
class Target:
    """One picture to be measured.

    Attributes
    ----------
    sample
        The picture with its weak labels; all that a training may see.
    mask
        File with the expert's mask; None where there are weak labels only.
    whole
        The picture is a crop of one cell: nothing is searched.
    masked_class
        Class of the cells in the mask.
    """

    sample: Sample
    mask: Path | None
    whole: bool
    masked_class: str = WBC

    @property
    def name(self) -> str:
        """Stem of the picture's file."""
        return self.sample.path.stem


@dataclass(frozen=True, eq=False)
class Truth:
    """The true white blood cells of a picture.

    Attributes
    ----------
    names
        Class of each.
    whole
        The picture is a crop of one cell.
    boxes
        ``(N, 4)`` y0, x0, y1, x1 in pixels; None for masks and crops.
    cell, nucleus
        ``(Y, X)`` uint32, the first cell 1; None where there is no mask.
    ignored
        ``(Y, X)`` bool: what nobody reviewed; a cell that is found mostly there is not counted.
    """

    names: tuple[str, ...]
    whole: bool
    boxes: npt.NDArray[np.float32] | None = None
    cell: Labels | None = None
    nucleus: Labels | None = None
    ignored: npt.NDArray[np.bool_] | None = None


def targets(data: str | Path, params: EvaluateParams) -> list[Target]:
    """Pictures of `data`, of the kind, list and types that `params` asks for.

    Raises
    ------
    ValueError
        When nothing is left, or a listed picture is missing, with the names.
    """
    path, classes = Path(data), listed(params.classes)
    masked = path.is_dir() and any(path.glob("*_mask.png"))
    if params.kind == "labels" or (params.kind == "auto" and not masked):
        found = [Target(sample, None, sample.boxes is None) for sample in read(path, classes)]
    else:
        samples = read_masks(path, classes) if classes else read_masks(path)
        found = [_masked(sample, params.kind) for sample in samples]
    found = _included(found, params.include)
    types = set(listed(params.types))
    left = [t for t in found if not types or types & {*t.sample.names, t.masked_class}]
    if not left:
        raise ValueError(f"{data} holds no cell of the types {params.types}; choose other types")
    return left


def _masked(sample: MaskedSample, kind: str) -> Target:
    whole = kind == "crops" or (kind == "auto" and sample.boxes is None)
    boxes = None if whole or sample.boxes is None else sample.boxes
    known, stem, folder = sample.label_class or WBC, sample.path.stem, sample.path.parent.name
    names = (known,) * (1 if boxes is None else len(boxes))
    return Target(Sample(sample.path, boxes, names, stem, folder), sample.mask, whole, known)


def _included(found: list[Target], include: str) -> list[Target]:
    if not include:
        return found
    wanted = set(read_names(Path(include)))
    names = [{target.sample.path.name, target.sample.path.stem} for target in found]
    absent = sorted(wanted.difference(*names))
    if absent:
        raise ValueError(
            f"{include} lists {', '.join(absent[:5])}, which the data does not hold; give names "
            "of its pictures, with or without suffix, one a line"
        )
    return [target for target, own in zip(found, names, strict=True) if own & wanted]


def truth(target: Target) -> Truth:
    """Read the true white blood cells of a picture.

    Raises
    ------
    ValueError
        When a mask is not of its picture's size, or holds class numbers.
    """
    sample = target.sample
    if sample.masks is not None:
        return _drawn(sample)
    if target.mask is None:
        if sample.boxes is None:
            return Truth(sample.names, target.whole)
        true = [name != NONE for name in sample.names]
        names = tuple(name for name in sample.names if name != NONE)
        return Truth(names, target.whole, sample.boxes[true])
    with Picture.open(target.mask) as picture:
        grey = np.asarray(picture.convert("L"))
    size = picture_size(sample.path)
    if grey.shape != size:
        raise ValueError(
            f"{target.mask} is {grey.shape} pixels and {sample.path.name} {size} (height, width); "
            "give the mask of this picture"
        )
    if 0 < int(grey.max()) < CELL:
        raise ValueError(
            f"{target.mask} holds {int(grey.max())} at most: numbers of classes, not cells in 128 "
            "and 255; only a model that gives each pixel a class is measured on it"
        )
    mask = grey >= CELL
    cell = mask.astype(np.uint32) if target.whole else instances(mask, sample.boxes)
    names = (target.masked_class,) * int(cell.max())
    return Truth(names, target.whole, cell=cell, nucleus=cell * (grey >= NUCLEUS))


def _drawn(sample: Sample) -> Truth:
    """White blood cells of a sample whose masks were drawn; the rest is not looked at."""
    if sample.masks is None:
        raise ValueError(f"{sample.path.name} has no masks")
    shape = picture_size(sample.path) if sample.pixels is None else sample.pixels.shape[:2]
    drawn = read_drawn(sample.masks, shape)
    names = tuple(name for name in sample.names if name != NONE)
    white = [n for n, name in zip(sample.masks.labels, sample.names, strict=True) if name != NONE]
    number = {label: position for position, label in enumerate(white, start=1)}

    def numbered(labels: npt.NDArray[Any]) -> Labels:
        known, place = np.unique(labels, return_inverse=True)
        order = np.array([number.get(int(label), 0) for label in known], np.uint32)
        return order[place].reshape(labels.shape)

    nucleus = None if drawn.nucleus is None else numbered(drawn.nucleus)
    return Truth(names, False, cell=numbered(drawn.cell), nucleus=nucleus, ignored=drawn.ignored)


def instances(mask: npt.NDArray[np.bool_], boxes: npt.NDArray[np.float32] | None = None) -> Labels:
    """Components of a mask, one label each; a component of several boxes is divided.

    A box belongs to the component that fills most of it. Where two or more belong to one, each
    pixel goes to the box whose centre is nearest in units of the box's sides.

    Parameters
    ----------
    mask
        ``(Y, X)`` bool.
    boxes
        ``(N, 4)`` y0, x0, y1, x1 in pixels.
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
    """Component that fills most of a box; 0 where there is none."""
    y0, x0, y1, x1 = np.rint(box).astype(int)
    held = np.bincount(components[y0:y1, x0:x1].ravel(), minlength=2)[1:]
    return int(held.argmax()) + 1 if held.any() else 0


def _nearest(
    pixels: tuple[npt.NDArray[np.intp], ...], boxes: npt.NDArray[np.float32]
) -> npt.NDArray[np.intp]:
    """Number the boxes that are nearest to some pixel, and tell for each pixel which it is."""
    if len(boxes) < 2:
        return np.zeros(pixels[0].size, np.intp)
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    away = np.abs(np.stack(pixels, axis=1)[:, None] + 0.5 - centres) / sides
    return np.unique(away.max(axis=-1).argmin(axis=1), return_inverse=True)[1]
