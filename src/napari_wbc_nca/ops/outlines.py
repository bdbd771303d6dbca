"""Outlines of labelled cells along the edges of pixels, and polygons filled to pixels.

Such an outline encloses exactly the pixels it came from, for a cell of one pixel and one in several
pieces too, where contours of scikit-image or OpenCV run through pixels and lose some.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ring = npt.NDArray[Any]
"""``(N, 2)`` corners y, x; the last is joined to the first. Pixel (0, 0) reaches from 0 to 1."""
Polygon = Sequence[Ring]
"""The outer ring, then those of the holes, which run the other way round."""


def trace_outlines(labels: npt.NDArray[Any]) -> dict[int, list[Polygon]]:
    """Trace the outlines of every cell, one polygon a connected piece.

    Pieces are connected by edges of pixels, so that polygons are simple: pixels that only touch
    at a corner belong to two of them. Outer rings run clockwise, y downwards. Returns each label of
    the ``(Y, X)`` integers, ascending, with its polygons, which have corners only at turns.

    Examples
    --------
    >>> import numpy as np
    >>> [[ring.tolist() for ring in piece] for piece in trace_outlines(np.eye(2, dtype=int)[:1])[1]]
    [[[[0, 0], [0, 1], [1, 1], [1, 0]]]]
    """
    from skimage.measure import label

    pieces = label(labels, background=0, connectivity=1)
    rings, owners = _rings(pieces)
    first = np.zeros(int(pieces.max(initial=0)) + 1, labels.dtype)
    first[pieces] = labels
    polygons: dict[int, list[Ring]] = {}
    found: dict[int, list[Polygon]] = {int(name): [] for name in np.unique(labels[labels > 0])}
    for ring, owner in zip(rings, owners, strict=True):
        if owner not in polygons:  # a piece's topmost edge is its outer ring's
            polygons[owner] = []
            found[int(first[owner])].append(polygons[owner])
        polygons[owner].append(ring)
    return found


def outline_contrast(values: npt.NDArray[Any], mask: npt.NDArray[np.bool_], width: int) -> float:
    r"""Compare what lies just inside of an outline with what lies just outside, all along it.

    .. math:: \Big| \mathrm{mean}_p \frac{i_p - o_p}{i_p + o_p} \Big|

    with the means :math:`i_p` and :math:`o_p` of `values` in the bands of `width` pixels inside and
    outside of the mask, near the pixel p of the outline: Michelson's contrast. `values` ``(Y, X)``
    are 0 or more, such as densities of stain. Returns 0 for an outline that nothing shows, 1 at
    most; NaN where one side is empty.

    Examples
    --------
    >>> values = np.array([[1.0, 1.0, 3.0, 3.0, 3.0, 1.0, 1.0]])
    >>> outline_contrast(values, values > 2, width=1)
    0.5
    """
    from scipy import ndimage as ndi

    # Beyond the array is no border of the mask.
    depth = ndi.distance_transform_edt(mask), ndi.distance_transform_edt(~mask)
    if not (mask.any() and not mask.all()):
        return float("nan")
    inside, outside = (
        _mean_around(values, (0 < distance) & (distance <= width), 2 * width + 1)
        for distance in depth
    )
    edge = (0 < depth[0]) & (depth[0] <= 1)
    total = (inside + outside)[edge]
    known = total > 0
    found = (inside - outside)[edge][known] / total[known]
    return float(abs(found.sum()) / edge.sum())


def _mean_around(
    values: npt.NDArray[Any], band: npt.NDArray[np.bool_], side: int
) -> npt.NDArray[np.float64]:
    """Average the values of a band in the square around each pixel; 0 where the band is away."""
    from scipy import ndimage as ndi

    share = ndi.uniform_filter(band.astype(float), side, mode="constant")
    found = ndi.uniform_filter(np.where(band, values, 0.0), side, mode="constant")
    return np.asarray(np.divide(found, share, out=np.zeros_like(share), where=share > 1e-9))


def roundness(mask: npt.NDArray[np.bool_]) -> float:
    r"""Measure how round a mask is: :math:`4 \pi A / P^2` of its area and perimeter.

    1 for a disk, up to what pixels leave of it; less the longer or more ragged the outline.

    Examples
    --------
    >>> y, x = np.ogrid[-20:21, -20:21]
    >>> [round(roundness(m), 1) for m in (y**2 + x**2 <= 400, (abs(y) < 3) & (x > -99))]
    [0.9, 0.3]
    """
    from skimage.measure import perimeter

    length = float(perimeter(np.pad(mask, 1)))
    return min(4 * np.pi * float(mask.sum()) / length**2, 1.0) if length else 0.0


def _rings(pieces: npt.NDArray[Any]) -> tuple[list[Ring], list[int]]:
    """Trace the closed outlines of an image of pieces, with the piece of each.

    Each side of a pixel that faces another piece is an edge with its pixel on the right. At a
    corner where two edges of a piece go on, the left one is taken: it stays with the same pixel
    outside, so that a hole that touches another only at a corner has a separate ring.
    """
    padded = np.pad(pieces, 1)
    around = [padded[:-1, 1:], padded[1:, 1:], padded[1:, :-1], padded[:-1, :-1]]
    ahead = [corner.ravel() for corner in around]  # north-east of each vertex, then clockwise
    width = pieces.shape[1] + 1
    steps = np.array([1, width, -1, -width])  # east, south, west, north
    starts = [
        np.flatnonzero((right > 0) & (right != left))
        for left, right in zip(ahead, ahead[1:] + ahead[:1], strict=True)
    ]
    offsets = np.cumsum([0, *map(len, starts)])
    follower, turns = np.zeros(offsets[-1], np.int64), np.zeros(offsets[-1], bool)
    for way in range(4):
        piece = ahead[(way + 1) % 4][starts[way]]
        end = starts[way] + steps[way]
        left, straight = ahead[way][end] == piece, ahead[(way + 1) % 4][end] == piece
        ways = (way + np.where(left, -1, np.where(straight, 0, 1))) % 4
        for after in range(4):
            mine = ways == after
            follower[offsets[way] : offsets[way + 1]][mine] = offsets[after] + np.searchsorted(
                starts[after], end[mine]
            )
        turns[follower[offsets[way] : offsets[way + 1]]] = ways != way
    order, ends = _walk(follower.tolist(), int(offsets[1]))
    if not len(ends):
        return [], []
    vertices = np.concatenate(starts)[order[turns[order]]]
    points = np.stack([vertices // width, vertices % width], axis=1)
    owners = ahead[1][starts[0]][order[np.concatenate([[0], ends[:-1]])]]
    return np.split(points, np.cumsum(turns[order])[ends[:-1] - 1]), owners.tolist()


def _walk(follower: list[int], heads: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Order edges ring by ring; return where each ring ends, too."""
    order: list[int] = []
    ends: list[int] = []
    visited = bytearray(len(follower))
    for at in range(heads):
        if visited[at]:
            continue
        while not visited[at]:
            visited[at] = 1
            order.append(at)
            at = follower[at]
        ends.append(len(order))
    return np.array(order, np.int64), np.array(ends, np.int64)


def rings_without_holes(mask: npt.NDArray[np.bool_]) -> list[Ring]:
    """Trace rings that together fill the ``(Y, X)`` mask of a cell, for formats without holes.

    The cell is cut from top to bottom at the left end of each hole.
    """
    holes = [hole for polygon in trace_outlines(mask.astype(np.uint8))[1] for hole in polygon[1:]]
    cuts = np.unique([int(hole[:, 1].min()) for hole in holes])
    bands = 1 + np.searchsorted(cuts, np.arange(mask.shape[1]), side="right")
    cut = trace_outlines(np.where(mask, bands, 0))
    return [polygon[0] for polygons in cut.values() for polygon in polygons]


def join_rings(rings: Sequence[Ring]) -> Ring:
    """Join rings into one, for formats that take one ring a cell.

    From the first corner of each ring to that of the next there and back lies a line without
    width, so that the filled area stays what it was.
    """
    if len(rings) == 1:
        return rings[0]
    there = [np.concatenate([ring, ring[:1]]) for ring in rings]
    return np.concatenate([*there, *(ring[:1] for ring in reversed(rings[:-1]))])


def fill_polygons(
    polygons: Sequence[Polygon], labels: Sequence[int], shape: tuple[int, int]
) -> npt.NDArray[np.uint32]:
    """Fill any polygons, each with its label, to a label image of a shape.

    A pixel belongs to the last polygon that its centre lies in. Inside is what an odd number of a
    polygon's edges lies to the left of. Parts outside of the image are left out.

    Examples
    --------
    >>> import numpy as np
    >>> fill_polygons([[np.array([[0, 0], [0, 2], [2, 0]])]], [7], (2, 2)).tolist()
    [[7, 0], [0, 0]]
    """
    found = np.zeros(shape, np.uint32)
    rings = [np.asarray(ring, float).reshape(-1, 2) for polygon in polygons for ring in polygon]
    if not rings:
        return found
    owner = np.repeat(np.arange(len(polygons)), [len(polygon) for polygon in polygons])
    owner, row, column = _crossings(rings, owner, shape)
    order = np.lexsort((column, row, owner))
    owner, row, column = owner[order][::2], row[order][::2], column[order]
    start, count = row * shape[1] + column[::2], column[1::2] - column[::2]
    pixels = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    values = np.asarray(labels, np.uint32)[owner]
    found.ravel()[pixels + np.repeat(start, count)] = np.repeat(values, count)
    return found


def _crossings(
    rings: Sequence[Ring], owners: npt.NDArray[Any], shape: tuple[int, int]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Find where edges cross the middle of rows: owner, row, and first column to the right."""
    sizes = np.array([len(ring) for ring in rings])
    start = np.concatenate(rings)
    following = np.arange(1, len(start) + 1)
    last = np.cumsum(sizes)[sizes > 0]
    following[last - 1] = last - sizes[sizes > 0]
    end = start[following]
    low, high = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    first, stop = (np.clip(np.ceil(y - 0.5), 0, shape[0]).astype(int) for y in (low, high))
    count = stop - first
    edge = np.repeat(np.arange(len(start)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    slope = (end[edge, 1] - start[edge, 1]) / (end[edge, 0] - start[edge, 0])
    at = start[edge, 1] + (row + 0.5 - start[edge, 0]) * slope
    column = np.clip(np.ceil(at - 0.5), 0, shape[1]).astype(int)
    return np.repeat(owners, sizes)[edge], row, column
