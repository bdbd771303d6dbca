"""Overlapping cells made disjoint, independently of their order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from napari_wbc_nca.types import Cell

Slices = tuple[slice, slice]
Pair = tuple[int, int]


def resolve_overlaps(
    cells: Sequence[Cell], shape: tuple[int, int], *, duplicate: float = 0.7
) -> list[Cell]:
    """Make the masks of cells disjoint, and sort cells by their centres in raster order.

    Of two cells that share more than `duplicate` of the smaller one, the more confident stays.
    Any other shared pixel goes to the cell of larger response there, then to the nearer centre,
    then to the centre that is first in raster order. Each cell keeps the component (edge
    neighbours) that holds its centre, else its largest; its nucleus is cut to that. Pixels outside
    the image, of `shape` (height, width), are cut off, and empty cells are dropped. The cells have
    different centres, and may come in any order.
    """
    inside = [cell for cell in (_clip(cell, shape) for cell in cells) if cell.mask.any()]
    ordered = sorted(inside, key=lambda cell: cell.centre)
    shared = {(i, j): _shared(ordered[i], ordered[j]) for i, j in _neighbours(ordered)}
    kept = _without_duplicates(ordered, shared, duplicate)
    masks = [cell.mask.copy() for cell in ordered]
    for (i, j), pixels in shared.items():
        if pixels and i in kept and j in kept:
            _divide(ordered[i], ordered[j], masks[i], masks[j])
    connected = (_one_component(ordered[i], masks[i]) for i in sorted(kept))
    return [cell for cell in connected if cell.mask.any()]


def mask_box(cell: Cell) -> Slices:
    """Return the rows and columns of the image that a cell's mask, which is not empty, spans."""
    rows, columns = (np.flatnonzero(cell.mask.any(axis)) for axis in (1, 0))
    top, left = cell.origin
    return (
        slice(top + int(rows[0]), top + int(rows[-1]) + 1),
        slice(left + int(columns[0]), left + int(columns[-1]) + 1),
    )


def local_slices(cell: Cell, part: Slices) -> Slices:
    """Convert a part of the image to the coordinates of a cell's arrays."""
    y, x = (
        slice(span.start - start, span.stop - start)
        for span, start in zip(part, cell.origin, strict=True)
    )
    return y, x


def _clip(cell: Cell, shape: tuple[int, int]) -> Cell:
    """Cut a cell's arrays to an image of `shape`."""
    y, x = (
        slice(max(0, -start), max(0, min(side, stop - start)))
        for start, side, stop in zip(cell.origin, cell.mask.shape, shape, strict=True)
    )
    return replace(
        cell,
        origin=(cell.origin[0] + y.start, cell.origin[1] + x.start),
        mask=cell.mask[y, x],
        nucleus=cell.nucleus[y, x],
        response=cell.response[y, x],
        maps={name: values[y, x] for name, values in cell.maps.items()},
    )


def _neighbours(cells: Sequence[Cell]) -> Iterator[Pair]:
    """Find pairs ``i < j`` whose boxes overlap, by a sweep down the image."""
    spans = [(y.start, x.start, y.stop, x.stop) for y, x in map(mask_box, cells)]
    boxes: npt.NDArray[np.intp] = np.array(spans).reshape(-1, 4)
    order = np.argsort(boxes[:, 0], kind="stable")
    y0, x0, y1, x1 = boxes[order].T
    for first, stop in enumerate(np.searchsorted(y0, y1)):
        below = slice(first + 1, stop)
        beside = (x0[below] < x1[first]) & (x1[below] > x0[first])
        for second in first + 1 + np.flatnonzero(beside):
            i, j = sorted((int(order[first]), int(order[second])))
            yield i, j


def _common(a: Cell, b: Cell) -> Slices:
    """Return the part of the image that the boxes of two neighbours share."""
    y, x = (
        slice(max(p.start, q.start), min(p.stop, q.stop))
        for p, q in zip(mask_box(a), mask_box(b), strict=True)
    )
    return y, x


def _shared(a: Cell, b: Cell) -> int:
    """Count the pixels that the masks of two neighbours share."""
    part = _common(a, b)
    return int(np.count_nonzero(a.mask[local_slices(a, part)] & b.mask[local_slices(b, part)]))


def _without_duplicates(
    cells: Sequence[Cell], shared: Mapping[Pair, int], duplicate: float
) -> set[int]:
    """Return the indices of the cells that no more confident one duplicates."""
    area = [np.count_nonzero(cell.mask) for cell in cells]
    rivals: list[list[int]] = [[] for _ in cells]
    for (i, j), pixels in shared.items():
        if pixels > duplicate * min(area[i], area[j]):
            rivals[i].append(j)
            rivals[j].append(i)
    kept: set[int] = set()
    for i in sorted(range(len(cells)), key=lambda i: -cells[i].confidence):
        if kept.isdisjoint(rivals[i]):
            kept.add(i)
    return kept


def _divide(a: Cell, b: Cell, mask_a: npt.NDArray[np.bool_], mask_b: npt.NDArray[np.bool_]) -> None:
    """Remove each pixel that `a` and `b`, in raster order, share from the mask that loses it."""
    # Compared by their first masks, so that a third cell's claims change nothing.
    part = _common(a, b)
    in_a, in_b = local_slices(a, part), local_slices(b, part)
    response_a, response_b = a.response[in_a], b.response[in_b]
    y, x = np.ogrid[part]
    away_a, away_b = ((y - c.centre[0]) ** 2 + (x - c.centre[1]) ** 2 for c in (a, b))
    wins = (response_a > response_b) | ((response_a == response_b) & (away_a <= away_b))
    both = a.mask[in_a] & b.mask[in_b]
    mask_a[in_a] &= ~(both & ~wins)
    mask_b[in_b] &= ~(both & wins)


def _one_component(cell: Cell, mask: npt.NDArray[np.bool_]) -> Cell:
    """Reduce a cell to the component of `mask` at its centre, else the largest."""
    components, count = ndi.label(mask)
    if count > 1:
        y, x = (round(at - start) for at, start in zip(cell.centre, cell.origin, strict=True))
        inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
        at_centre = int(components[y, x]) if inside else 0
        mask = components == (at_centre or 1 + int(np.bincount(components.ravel())[1:].argmax()))
    return replace(cell, mask=mask, nucleus=cell.nucleus & mask)
