"""Homogeneous crops of fields with boxes or masks.

Two kinds of crops are made: of the class with most boxes, which lies everywhere, the parts that
no box of another class reaches; of each other class a crop around each single cell, in which only
the foreground inside its box has its class. All other foreground is ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.cell_types import CELL_TO_BOX, NONE
from napari_wbc_nca.datasets.masks import read_mask_arrays
from napari_wbc_nca.methods.field import box_slices
from napari_wbc_nca.ops.mixing import IGNORED, Labels

if TYPE_CHECKING:
    from napari_wbc_nca.datasets.samples import Masks, Sample

Boxes = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rectangle = tuple[int, int, int, int]
Part = tuple[slice, slice]

_ROOM = 1.5  # side of a single cell's surroundings, in crops
_NARROWEST = 0.4  # shorter side of a homogeneous part, in crops
_PARTS = 4  # homogeneous parts of a field at most
_OUTER, _INNER = 1.05, 0.85  # ellipses of a box that its cell does not leave, and fills


class LabelledCrop(NamedTuple):
    """A part of a field, its labels, and the number of its class."""

    part: Part
    labels: Labels
    number: int


def box_lengths(sample: Sample) -> npt.NDArray[np.float64]:
    """Compute the square root of each box's area."""
    boxes = np.asarray(sample.boxes, float)
    return np.asarray(np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1)))


def relative_sizes(samples: Sequence[Sample]) -> dict[str, float]:
    """Measure each class relative to white blood cells, over the fields that show both."""
    found: dict[str, list[float]] = {}
    for sample in samples:
        every = box_lengths(sample)
        white = every[[name != NONE for name in sample.names]]
        reference = float(np.median(white)) if len(white) else 0.0
        for kind in set(sample.kinds) if reference else ():
            own = every[[other == kind for other in sample.kinds]]
            found.setdefault(kind, []).append(float(np.median(own)) / reference)
    return {kind: float(np.median(ratios)) for kind, ratios in found.items()}


def scale_factor(sample: Sample, sizes: Mapping[str, float], diameter: float) -> float:
    """Estimate the image pixels per model pixel at which white cells are `diameter` wide.

    All boxes of a field count, each by the relative size of its class; points raise a ValueError.
    """
    if not diameter:
        return 1.0
    if sample.diameter:
        return sample.diameter / diameter
    every = box_lengths(sample)
    sided = zip(every, sample.kinds, strict=True)
    known = [side / sizes.get(kind, 1.0) for side, kind in sided if side > 0]
    if len(every) and not known:
        raise ValueError(
            f"{sample.path}: points have no size; give boxes, or a diameter of 0 to keep the "
            "pictures' scale"
        )
    return CELL_TO_BOX * float(np.median(known)) / diameter if known else 1.0


def most_common_class(samples: Sequence[Sample], classes: Sequence[str]) -> str:
    """Return the class with most boxes; empty where there are no boxes."""
    counts = Counter(kind for sample in samples for kind in sample.kinds if kind in classes)
    return max(counts, key=lambda kind: counts[kind]) if counts else ""


@dataclass(frozen=True, eq=False)
class Cropper:
    """Homogeneous crops of one field."""

    sample: Sample
    numbers: Mapping[str, int]  # class name to number; cells of other classes are ignored
    common: str  # class that lies everywhere
    factor: float  # image pixels per model pixel
    side: int  # of a crop in model pixels

    @property
    def boxes(self) -> Boxes:
        """``(N, 4)`` boxes in model pixels."""
        return np.asarray(self.sample.boxes, float) / self.factor

    def box_crops(self, mask: Mask) -> Iterator[LabelledCrop]:
        """Crop by boxes; `mask` is the ``(Y, X)`` foreground in model pixels."""
        boxes, kinds = self.boxes, np.asarray(self.sample.kinds, dtype=object)
        labels = np.where(mask, np.uint8(IGNORED), np.uint8(0))
        single = np.asarray([kind in self.numbers and kind != self.common for kind in kinds], bool)
        if self.common:
            number = self.numbers[self.common]
            own = _painted(labels, boxes[kinds == self.common], number)
            for box in boxes[kinds != self.common]:
                inside = own[box_slices(box, own.shape)]
                inside[inside > 0] = IGNORED
            for part in _free(mask.shape, boxes[single], _NARROWEST * self.side):
                if (own[part] == number).any():
                    yield LabelledCrop(part, own[part].copy(), number)
        for index in np.flatnonzero(single):
            others = np.delete(boxes, index, 0)
            yield _single(labels, boxes[index], others, self.numbers[kinds[index]], self.side)

    def mask_labels(self, masks: Masks, size: tuple[int, int], shape: tuple[int, ...]) -> Labels:
        """Label each pixel of a field with masks by its class: ``(Y, X)`` uint8 of model `shape`.

        0 is outside of all cells, `IGNORED` where nobody reviewed; `size` is that of the picture.
        """
        drawn = read_mask_arrays(masks, size)
        found = np.zeros(size, np.uint8)
        for kind in set(self.sample.kinds):
            own = [n for n, k in zip(masks.labels, self.sample.kinds, strict=True) if k == kind]
            found[np.isin(drawn.cell, own)] = self.numbers.get(kind) or IGNORED
        found[drawn.ignored] = IGNORED
        rows, columns = (
            ((np.arange(wanted) + 0.5) * self.factor).astype(np.intp).clip(0, side - 1)
            for side, wanted in zip(size, shape, strict=True)
        )
        return np.asarray(found[np.ix_(rows, columns)])

    def mask_crops(self, labels: Labels) -> Iterator[LabelledCrop]:
        """Crop by masks: all pixels are known, so that cells of other classes keep theirs."""
        if self.common:
            yield LabelledCrop((slice(None), slice(None)), labels, self.numbers[self.common])
        for box, kind in zip(self.boxes, self.sample.kinds, strict=True):
            if self.numbers.get(kind) and kind != self.common:
                part = around_box(box, labels.shape, self.side)
                yield LabelledCrop(part, labels[part].copy(), self.numbers[kind])

    def without_ignored(self, crop: LabelledCrop) -> LabelledCrop:
        """Ignore the boxes that the sample says to ignore."""
        if self.sample.ignored is None:
            return crop
        rows, columns = crop.part
        labels = crop.labels.copy()
        corner = np.tile([rows.start or 0, columns.start or 0], 2)
        for box in np.asarray(self.sample.ignored, float) / self.factor - corner:
            labels[box_slices(box, labels.shape)] = IGNORED
        return crop._replace(labels=labels)


def _painted(labels: Labels, boxes: Boxes, number: int) -> Labels:
    """Label the foreground inside any of `boxes` of one class."""
    found = labels.copy()
    for box in boxes:
        part = box_slices(box, labels.shape)
        found[part][labels[part] == IGNORED] = number
    return found


def _single(labels: Labels, box: Any, neighbours: Boxes, number: int, side: int) -> LabelledCrop:
    """Crop the surroundings of one cell; only foreground inside its box has its class."""
    # The box's corners are others', and so may be its overlap with another, but not its middle.
    radius = _radius(labels.shape, box)
    core = radius < _INNER
    taken = np.zeros(labels.shape, bool)
    for neighbour in neighbours:
        taken[box_slices(neighbour, labels.shape)] = True
    inside = np.zeros(labels.shape, bool)
    inside[box_slices(box, labels.shape)] = True
    own = inside & (radius < _OUTER) & (core | ~taken) & (labels == IGNORED)
    found = np.where(own, np.uint8(number), labels)
    part = around_box(box, labels.shape, side)
    return LabelledCrop(part, found[part].copy(), number)


def around_box(box: Any, shape: tuple[int, ...], side: int) -> Part:
    """Return the part around a box, with room for a crop of `side` pixels around its cell."""
    middle = (box[:2] + box[2:]) / 2
    room = max(_ROOM * side, float((box[2:] - box[:2]).max()))
    return box_slices(np.concatenate((middle - room / 2, middle + room / 2)), shape)


def _radius(shape: tuple[int, ...], box: Any) -> npt.NDArray[np.float64]:
    """Compute the distance of each pixel from a box's middle, in half axes of its ellipse."""
    middle, half = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) / 2, 0.5)
    y, x = ((np.arange(size) + 0.5 - m) / h for size, m, h in zip(shape, middle, half, strict=True))
    return np.asarray(np.hypot(y[:, None], x[None]))


def _free(shape: tuple[int, ...], boxes: Boxes, narrowest: float) -> list[Part]:
    """Find the largest rectangles of a field that none of `boxes` overlaps."""
    free: set[Rectangle] = {(0, 0, int(shape[0]), int(shape[1]))}
    for box in boxes:
        rows, columns = box_slices(box, shape)
        taken = (rows.start, columns.start, rows.stop, columns.stop)
        free = {rest for rectangle in free for rest in _without(rectangle, taken)}
    wide = [r for r in free if min(r[2] - r[0], r[3] - r[1]) >= narrowest]
    largest = sorted(wide, key=lambda r: ((r[0] - r[2]) * (r[3] - r[1]), r))[:_PARTS]
    return [(slice(y0, y1), slice(x0, x1)) for y0, x0, y1, x1 in largest]


def _without(rectangle: Rectangle, taken: Rectangle) -> list[Rectangle]:
    """Return parts of a rectangle above, below, left and right of another."""
    y0, x0, y1, x1 = rectangle
    top, left, bottom, right = taken
    if top >= y1 or bottom <= y0 or left >= x1 or right <= x0:
        return [rectangle]
    rest = [(y0, x0, top, x1), (bottom, x0, y1, x1), (y0, x0, y1, left), (y0, right, y1, x1)]
    return [part for part in rest if part[2] > part[0] and part[3] > part[1]]
