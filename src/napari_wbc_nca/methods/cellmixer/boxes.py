"""Homogeneous cuts of fields with boxes.

Two kinds of cuts are made: of the class with most boxes, which lies everywhere, the parts that
no box of another class reaches; of each other class a crop around each single cell, in which only
the foreground inside its box has its class. All other foreground is ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.cell_types import CELL_TO_BOX, NONE
from napari_wbc_nca.datasets.masks import read_mask_arrays
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


class Cut(NamedTuple):
    """A part of a field that holds one class."""

    part: Part
    labels: Labels
    number: int


def sides(sample: Sample) -> npt.NDArray[np.float64]:
    """Square root of each box's area."""
    boxes = np.asarray(sample.boxes, float)
    return np.asarray(np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1)))


def relative_sizes(samples: Sequence[Sample]) -> dict[str, float]:
    """Size of each kind of cell relative to a white blood cell, from fields that show both.

    Relative to all cells where no white blood cell is labelled.
    """
    found: dict[str, list[float]] = {}
    for sample in samples:
        every = sides(sample)
        white = every[[name != NONE for name in sample.names]]
        reference = float(np.median(white)) if len(white) else 0.0
        for kind in set(sample.kinds) if reference else ():
            own = every[[other == kind for other in sample.kinds]]
            found.setdefault(kind, []).append(float(np.median(own)) / reference)
    return {kind: float(np.median(ratios)) for kind, ratios in found.items()}


def factor(sample: Sample, sizes: Mapping[str, float], diameter: float) -> float:
    """Image pixels per model pixel that make a white blood cell `diameter` model pixels wide.

    All boxes of a field tell its scale, each by the `sizes` of its kind.

    Raises
    ------
    ValueError
        When the labels are points, which have no size.
    """
    if not diameter:
        return 1.0
    if sample.diameter:
        return sample.diameter / diameter
    every = sides(sample)
    known = [
        side / sizes.get(kind, 1.0)
        for side, kind in zip(every, sample.kinds, strict=True)
        if side > 0
    ]
    if len(every) and not known:
        raise ValueError(
            f"{sample.path}: points have no size; give boxes, or a diameter of 0 to keep the "
            "pictures' scale"
        )
    return CELL_TO_BOX * float(np.median(known)) / diameter if known else 1.0


def surrounding(samples: Sequence[Sample], classes: Sequence[str]) -> str:
    """Class with most boxes; empty where there are no boxes."""
    counts = Counter(kind for sample in samples for kind in sample.kinds if kind in classes)
    return max(counts, key=lambda kind: counts[kind]) if counts else ""


def cuts(
    sample: Sample,
    mask: Mask,
    numbers: Mapping[str, int],
    around: str,
    factor: float,
    side: int,
) -> Iterator[Cut]:
    """Homogeneous cuts of one field.

    Parameters
    ----------
    sample
        Its boxes and their kinds.
    mask
        ``(Y, X)`` foreground in model pixels.
    numbers
        Class name to number.
    around
        Class that lies everywhere.
    factor
        Image pixels per model pixel.
    side
        Of a crop in model pixels.
    """
    boxes = np.asarray(sample.boxes, float) / factor
    kinds = np.asarray(sample.kinds, dtype=object)
    labels = np.where(mask, np.uint8(IGNORED), np.uint8(0))
    others = boxes[[kind in numbers and kind != around for kind in kinds]]
    if around:
        own = _painted(labels, boxes[kinds == around], numbers[around])
        for box in boxes[kinds != around]:
            _ignore(own, box)
        for part in _free(mask.shape, others, _NARROWEST * side):
            if (own[part] == numbers[around]).any():
                yield Cut(part, own[part].copy(), numbers[around])
    for index in np.flatnonzero([kind in numbers and kind != around for kind in kinds]):
        neighbours = np.delete(boxes, index, 0)
        cut = _single(labels, boxes[index], neighbours, numbers[kinds[index]], side)
        if (cut.labels == cut.number).any():
            yield cut


def _painted(labels: Labels, boxes: Boxes, number: int) -> Labels:
    """`labels` with the foreground inside any of `boxes` of one class."""
    found = labels.copy()
    for box in boxes:
        part = pixels_of(box, labels.shape)
        found[part][labels[part] == IGNORED] = number
    return found


def _ignore(labels: Labels, box: Any) -> None:
    """Take the class from all foreground inside `box`."""
    inside = labels[pixels_of(box, labels.shape)]
    inside[inside > 0] = IGNORED


def _single(labels: Labels, box: Any, neighbours: Boxes, number: int, side: int) -> Cut:
    """Surroundings of one cell; foreground inside its box alone has its class.

    In the corners of the box, outside the ellipse that fits it, lies another cell; so it may
    where another box overlaps it, except in its middle.
    """
    radius = _radius(labels.shape, box)
    core = radius < _INNER
    taken = np.zeros(labels.shape, bool)
    for neighbour in neighbours:
        taken[pixels_of(neighbour, labels.shape)] = True
    inside = np.zeros(labels.shape, bool)
    inside[pixels_of(box, labels.shape)] = True
    own = inside & (radius < _OUTER) & (core | ~taken) & (labels == IGNORED)
    found = np.where(own, np.uint8(number), labels)
    part = around_box(box, labels.shape, side)
    return Cut(part, found[part].copy(), number)


def around_box(box: Any, shape: tuple[int, ...], side: int) -> Part:
    """Surroundings of a box, with room for a crop of `side` pixels anywhere around its cell."""
    middle = (box[:2] + box[2:]) / 2
    room = max(_ROOM * side, float((box[2:] - box[:2]).max()))
    return pixels_of(np.concatenate((middle - room / 2, middle + room / 2)), shape)


def _radius(shape: tuple[int, ...], box: Any) -> npt.NDArray[np.float64]:
    """Distance of each pixel from the box's middle, in half axes of the ellipse that fits it."""
    middle, half = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) / 2, 0.5)
    y, x = ((np.arange(size) + 0.5 - m) / h for size, m, h in zip(shape, middle, half, strict=True))
    return np.asarray(np.hypot(y[:, None], x[None]))


def pixels_of(box: Any, shape: tuple[int, ...]) -> Part:
    """Pixels that a box covers, as far as the field goes."""
    rows, columns = (
        slice(max(0, int(np.floor(low))), max(0, min(size, int(np.ceil(high)))))
        for low, high, size in zip(box[:2], box[2:], shape, strict=True)
    )
    return rows, columns


def _free(shape: tuple[int, ...], boxes: Boxes, narrowest: float) -> list[Part]:
    """Largest rectangles of a field that none of `boxes` reaches, few and not too narrow."""
    free: set[Rectangle] = {(0, 0, int(shape[0]), int(shape[1]))}
    for box in boxes:
        rows, columns = pixels_of(box, shape)
        taken = (rows.start, columns.start, rows.stop, columns.stop)
        free = {rest for rectangle in free for rest in _without(rectangle, taken)}
    wide = [r for r in free if min(r[2] - r[0], r[3] - r[1]) >= narrowest]
    largest = sorted(wide, key=lambda r: ((r[0] - r[2]) * (r[3] - r[1]), r))[:_PARTS]
    return [(slice(y0, y1), slice(x0, x1)) for y0, x0, y1, x1 in largest]


def _without(rectangle: Rectangle, taken: Rectangle) -> list[Rectangle]:
    """Parts of a rectangle above, below, left and right of another."""
    y0, x0, y1, x1 = rectangle
    top, left, bottom, right = taken
    if top >= y1 or bottom <= y0 or left >= x1 or right <= x0:
        return [rectangle]
    rest = [(y0, x0, top, x1), (bottom, x0, y1, x1), (y0, x0, y1, left), (y0, right, y1, x1)]
    return [part for part in rest if part[2] > part[0] and part[3] > part[1]]


def drawn_labels(
    sample: Sample,
    masks: Masks,
    numbers: Mapping[str, int],
    size: tuple[int, int],
    shape: tuple[int, ...],
    factor: float,
) -> Labels:
    """Class of each pixel of a field whose cells were drawn.

    Parameters
    ----------
    sample, masks
        The field, and its masks.
    numbers
        Class name to number; cells of other classes are ignored.
    size
        Height and width of the picture.
    shape
        The same in model pixels.
    factor
        Image pixels per model pixel.

    Returns
    -------
    ``(Y, X)`` uint8 in model pixels: 0 outside of all cells, `IGNORED` where nobody reviewed.
    """
    drawn = read_mask_arrays(masks, size)
    found = np.zeros(size, np.uint8)
    for kind in set(sample.kinds):
        own = [n for n, k in zip(masks.labels, sample.kinds, strict=True) if k == kind]
        found[np.isin(drawn.cell, own)] = numbers.get(kind) or IGNORED
    found[drawn.ignored] = IGNORED
    return found[np.ix_(*(_nearest(*sides, factor) for sides in zip(size, shape, strict=True)))]


def drawn_cuts(
    sample: Sample,
    labels: Labels,
    numbers: Mapping[str, int],
    around: str,
    factor: float,
    side: int,
) -> Iterator[Cut]:
    """Cuts of a field whose cells were drawn, as :func:`~.boxes.cuts` makes them of boxes.

    All of it is known, so that cells of other classes keep theirs.
    """
    if around:
        yield Cut((slice(None), slice(None)), labels, numbers[around])
    for box, kind in zip(np.asarray(sample.boxes, float) / factor, sample.kinds, strict=True):
        if numbers.get(kind) and kind != around:
            part = around_box(box, labels.shape, side)
            yield Cut(part, labels[part].copy(), numbers[kind])


def without_ignored(cut: Cut, sample: Sample, factor: float) -> Cut:
    """`cut` without what teaches nothing: the boxes that the sample says to ignore."""
    if sample.ignored is None:
        return cut
    rows, columns = cut.part
    labels = cut.labels.copy()
    corner = np.tile([rows.start or 0, columns.start or 0], 2)
    for box in np.asarray(sample.ignored, float) / factor - corner:
        labels[pixels_of(box, labels.shape)] = IGNORED
    return cut._replace(labels=labels)


def _nearest(size: int, wanted: int, factor: float) -> npt.NDArray[np.intp]:
    """Pixel of a side of `size` that lies in the middle of each model pixel."""
    middles = ((np.arange(wanted) + 0.5) * factor).astype(np.intp)
    return np.asarray(middles.clip(0, size - 1))
