"""Split cells along a line that was drawn over them, or between points that were set in them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.draw import line as draw_line
from skimage.segmentation import watershed

from napari_wbc_nca.ops.edit import Boxes, Edit, Mask, cell_box, union_box

Pixels = npt.NDArray[np.intp]

_SLIVER = 0.01
"""Share of a cell below which a piece is the line's raggedness, not half a cell."""


def labels_along(labels: Any, line: npt.ArrayLike) -> list[int]:
    """Labels under a line, in the order in which it meets them.

    Parameters
    ----------
    labels
        ``(Y, X)`` integers.
    line
        ``(N, 2)`` points, y and x in pixels; parts outside the image are left out.
    """
    return _different(values_at(labels, line_pixels(line, labels.shape)))


def labels_at(labels: Any, points: npt.ArrayLike) -> list[int]:
    """Labels under points ``(N, 2)``, y and x in pixels; those outside the image are left out."""
    return _different(values_at(labels, nearest_pixels(points, labels.shape)))


def split_by_line(
    labels: Any, line: npt.ArrayLike, fresh: int | None = None, boxes: Boxes | None = None
) -> Edit:
    """Cut every cell that a line crosses; the largest piece keeps the label.

    No pixel is lost: those under the line stay with the largest piece. Where no cell is crossed
    from side to side, the line is prolonged at both ends through the cell that holds most of it.

    Parameters
    ----------
    labels
        ``(Y, X)`` integers, 0 where there is no cell; NumPy or zarr.
    line
        ``(N, 2)`` points, y and x in pixels.
    fresh
        First label for new cells; one above the image's largest by default.
    boxes
        As in :func:`napari_wbc_nca.ops.edit.merge`.

    Raises
    ------
    ValueError
        Where the line meets no cell, or the pieces' labels do not fit the image's type.

    Examples
    --------
    >>> row = np.array([[3, 3, 3, 3, 3]])
    >>> split_by_line(row, [(0, 3), (0, 3)]).apply(row).tolist()
    [[3, 3, 3, 4, 4]]
    """
    points = np.asarray(line, float).reshape(-1, 2)
    path = line_pixels(points, labels.shape)
    ids = labels_along(labels, points)
    if not ids:
        raise ValueError("the line meets no cell; draw it across the cell that you want to split")
    edit = _divide(labels, dict.fromkeys(ids, path), fresh, boxes)
    if not edit.parents:
        found = values_at(labels, path).tolist()
        label = max(ids, key=found.count)
        y, x = cell_box(labels, label, boxes)
        reach = (y.stop - y.start) + (x.stop - x.start)
        edit = _divide(
            labels, {label: line_pixels(extend_line(points, reach), labels.shape)}, fresh, boxes
        )
    if not edit.parents:
        raise ValueError("the line cuts no cell in two; draw it across the cell from side to side")
    return edit


def split_by_seeds(
    labels: Any, seeds: npt.ArrayLike, fresh: int | None = None, boxes: Boxes | None = None
) -> Edit:
    """Divide every cell that holds several seeds, one piece a seed; the largest keeps the label.

    Watershed of the distance to the cell's outline, flooded from the seeds: the borders run
    through the necks between them.

    Parameters
    ----------
    labels, fresh, boxes
        As in :func:`split_by_line`.
    seeds
        ``(N, 2)`` points, y and x in pixels; those outside of cells are left out.

    Raises
    ------
    ValueError
        Where no cell holds two seeds.
    """
    path = np.unique(nearest_pixels(seeds, labels.shape), axis=0)
    found = values_at(labels, path)
    ids = [label for label in np.unique(found).tolist() if label and (found == label).sum() > 1]
    if not ids:
        raise ValueError(
            f"none of the {len(path)} points share a cell; set one point in each part of the cell"
        )
    part = union_box([cell_box(labels, label, boxes) for label in ids])
    window, values = np.asarray(labels[part]), np.array(labels[part])
    numbers = _Numbers(labels, fresh)
    for label in ids:
        mask = window == label
        markers = np.zeros(mask.shape, np.int32)
        own = path[found == label] - [side.start for side in part]
        markers[tuple(own.T)] = np.arange(1, len(own) + 1)
        depth = ndi.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        pieces = watershed(-depth, markers, mask=mask)
        numbers.write(values, pieces, label)
    return Edit(part, values, numbers.parents)


def line_pixels(line: npt.ArrayLike, shape: Sequence[int]) -> Pixels:
    """Pixels ``(N, 2)`` under a line, from its first point to its last, inside of an image.

    Steps may be diagonal: what touches by corners only is parted by them.
    """
    points = np.round(np.asarray(line, float).reshape(-1, 2)).astype(int)
    if not len(points):
        return np.zeros((0, 2), np.intp)
    runs = [np.stack(draw_line(*a, *b), axis=1) for a, b in pairwise(points)] or [points]
    return inside(np.concatenate(runs), shape)


def nearest_pixels(points: npt.ArrayLike, shape: Sequence[int]) -> Pixels:
    """Pixels ``(N, 2)`` in which points lie, inside of an image."""
    return inside(np.round(np.asarray(points, float).reshape(-1, 2)).astype(int), shape)


def inside(pixels: Pixels, shape: Sequence[int]) -> Pixels:
    """The `pixels` that lie within an image."""
    keep: Pixels = pixels[((pixels >= 0) & (pixels < shape)).all(axis=1)]
    return keep


def extend_line(points: npt.NDArray[np.float64], reach: float) -> npt.NDArray[np.float64]:
    """A line made longer by `reach` at both ends, straight on; a single point stays one."""
    first, last = points[0], points[-1]
    length = float(np.linalg.norm(last - first))
    if length == 0:
        return points
    # The chord's direction: the ends of a line drawn by hand wobble.
    ahead = (last - first) / length * reach
    return np.concatenate([[first - ahead], points, [last + ahead]])


def values_at(labels: Any, pixels: Pixels) -> npt.NDArray[Any]:
    """Labels at `pixels`; only the box around them is read."""
    if not len(pixels):
        return np.zeros(0, int)
    low, high = pixels.min(axis=0), pixels.max(axis=0) + 1
    window = np.asarray(labels[low[0] : high[0], low[1] : high[1]])
    values: npt.NDArray[Any] = window[tuple((pixels - low).T)]
    return values


def _different(values: npt.NDArray[Any]) -> list[int]:
    """Labels in the order in which they come first, without the background."""
    return [int(label) for label in dict.fromkeys(values.tolist()) if label != 0]


def _divide(labels: Any, cuts: dict[int, Pixels], fresh: int | None, boxes: Boxes | None) -> Edit:
    """Cut each label of `cuts` along its own pixels."""
    part = union_box([cell_box(labels, label, boxes) for label in cuts])
    window, values = np.asarray(labels[part]), np.array(labels[part])
    corner = [side.start for side in part]
    numbers = _Numbers(labels, fresh)
    for label, path in cuts.items():
        mask, cut = window == label, np.zeros(window.shape, bool)
        cut[tuple(inside(path - corner, window.shape).T)] = True
        pieces = _pieces(mask, cut)
        if pieces.max() > 1:
            numbers.write(values, pieces, label)
    return Edit(part, values, numbers.parents)


def _pieces(mask: Mask, cut: Mask) -> npt.NDArray[np.int32]:
    """Pieces of a cell after a cut, each with a number; 0 where the cut divides nothing.

    A cell may have been in several pieces before: each of them is divided by itself.
    """
    before, count = ndi.label(mask)
    after, _ = ndi.label(mask & ~cut)
    smallest = max(1.0, _SLIVER * np.count_nonzero(mask))
    pieces = np.zeros(mask.shape, np.int32)
    for number in range(1, count + 1):
        whole = before == number
        kinds, areas = np.unique(after[whole & ~cut], return_counts=True)
        kind = kinds[areas.argmax()] if kinds.size else 0
        kinds = kinds[areas >= smallest]
        if len(kinds) > 1:
            markers = np.where(np.isin(after, kinds) & whole, after, 0)
            largest = markers == kind
            # All of the line goes to one side: shared out, it would leave a ragged border.
            markers[ndi.binary_propagation(largest, mask=largest | (whole & cut))] = kind
            # On level ground a watershed is growth at equal speed; pieces stay connected.
            pieces += watershed(np.zeros_like(markers), markers, mask=whole)
    return pieces


class _Numbers:
    """Hands out new labels and remembers whose pixels they took."""

    def __init__(self, labels: Any, fresh: int | None) -> None:
        self.dtype = labels.dtype
        self.next = int(np.max(labels)) + 1 if fresh is None else fresh
        self.parents: dict[int, int] = {}

    def write(self, values: npt.NDArray[Any], pieces: npt.NDArray[np.int32], label: int) -> None:
        """Number the pieces of `label`; the largest keeps it."""
        kinds, areas = np.unique(pieces[pieces > 0], return_counts=True)
        for kind in np.delete(kinds, areas.argmax()):
            if self.next > np.iinfo(self.dtype).max:
                raise ValueError(
                    f"label {self.next} does not fit {self.dtype}; convert the layer to a wider "
                    f"type first (right click on it, Convert data type)"
                )
            values[pieces == kind] = self.next
            self.parents[self.next] = label
            self.next += 1
