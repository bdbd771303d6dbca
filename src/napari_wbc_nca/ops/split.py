"""Cells split along a drawn line, or by one point in each part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.draw import line as draw_line
from skimage.segmentation import watershed

from napari_wbc_nca.ops.edit import Boxes, Edit, Mask, cell_box, union_box

Pixels = npt.NDArray[np.intp]

_MIN_SHARE = 0.01  # of a cell, below which a piece comes from the line's raggedness


def labels_along(labels: Any, line: npt.ArrayLike) -> list[int]:
    """List the cells under a line, ``(N, 2)`` points y, x in pixels, in the order it meets them.

    Parts outside the ``(Y, X)`` labels are left out.
    """
    return _distinct(_values_at(labels, line_pixels(line, labels.shape)))


def labels_at(labels: Any, points: npt.ArrayLike) -> list[int]:
    """List the cells under ``(N, 2)`` points, y and x in pixels; as :func:`labels_along`."""
    return _distinct(_values_at(labels, _inside(_rounded(points), labels.shape)))


def split_by_line(
    labels: Any, line: npt.ArrayLike, fresh: int | None = None, boxes: Boxes | None = None
) -> Edit:
    """Split every cell that a line crosses; the largest piece keeps the label.

    No pixel is lost: those under the line stay with the largest piece. Where no cell is crossed
    from side to side, the line is extended at both ends through the cell that holds most of it.

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
    [[3, 3, 3, 3, 4]]
    """
    points = np.asarray(line, float).reshape(-1, 2)
    path = line_pixels(points, labels.shape)
    under = _values_at(labels, path)
    ids = _distinct(under)
    if not ids:
        raise ValueError("the line meets no cell; draw it across the cell that you want to split")
    edit = _split(labels, dict.fromkeys(ids, path), _pieces, fresh, boxes)
    if not edit.parents:
        label = max(ids, key=under.tolist().count)
        y, x = cell_box(labels, label, boxes)
        longer = _extend_line(points, (y.stop - y.start) + (x.stop - x.start))
        cuts = {label: line_pixels(longer, labels.shape)}
        edit = _split(labels, cuts, _pieces, fresh, boxes)
    if not edit.parents:
        raise ValueError("the line cuts no cell in two; draw it across the cell from side to side")
    return edit


def split_by_seeds(
    labels: Any, seeds: npt.ArrayLike, fresh: int | None = None, boxes: Boxes | None = None
) -> Edit:
    """Split every cell that holds several seeds, one piece a seed; the largest keeps the label.

    Watershed of the distance to the cell's outline, flooded from the seeds: the borders run
    through the necks between them.

    Seeds are ``(N, 2)`` points, y and x in pixels; those outside of cells are left out. All else is
    as in :func:`split_by_line`; raises ValueError where no cell holds two seeds.
    """
    pixels = np.unique(_inside(_rounded(seeds), labels.shape), axis=0)
    found = _values_at(labels, pixels)
    ids = [label for label in np.unique(found).tolist() if label and (found == label).sum() > 1]
    if not ids:
        raise ValueError(
            f"none of the {len(pixels)} points share a cell; set one point in each part of the cell"
        )
    cells = {label: pixels[found == label] for label in ids}
    return _split(labels, cells, _flood, fresh, boxes)


def line_pixels(line: npt.ArrayLike, shape: Sequence[int]) -> Pixels:
    """Find the pixels ``(N, 2)`` of an image under a line, from its first point to its last.

    Steps may be diagonal: pixels that touch by corners only lie on different sides.
    """
    points = _rounded(line)
    runs = [np.stack(draw_line(*a, *b), axis=1) for a, b in pairwise(points)] or [points]
    return _inside(np.concatenate(runs), shape)


def _rounded(points: npt.ArrayLike) -> Pixels:
    return np.round(np.asarray(points, float).reshape(-1, 2)).astype(np.intp)


def _inside(pixels: Pixels, shape: Sequence[int]) -> Pixels:
    return pixels[((pixels >= 0) & (pixels < shape)).all(axis=1)]


def _extend_line(points: npt.NDArray[np.float64], reach: float) -> npt.NDArray[np.float64]:
    """Extend a line straight on by `reach` at both ends; a single point stays one."""
    # The chord's direction: the ends of a line drawn by hand wobble.
    chord = points[-1] - points[0]
    length = float(np.linalg.norm(chord))
    ahead = chord / length * reach if length else chord
    return np.concatenate([[points[0] - ahead], points, [points[-1] + ahead]])


def _values_at(labels: Any, pixels: Pixels) -> npt.NDArray[Any]:
    """Return the labels at `pixels`; only the box around them is read."""
    if not len(pixels):
        return np.zeros(0, int)
    low, high = pixels.min(axis=0), pixels.max(axis=0) + 1
    window = np.asarray(labels[low[0] : high[0], low[1] : high[1]])
    return np.asarray(window[tuple((pixels - low).T)])


def _distinct(values: npt.NDArray[Any]) -> list[int]:
    """Return distinct labels in their order, without the background."""
    return [int(label) for label in dict.fromkeys(values.tolist()) if label != 0]


def _split(
    labels: Any,
    cells: Mapping[int, Pixels],
    divide: Callable[[Mask, Pixels], npt.NDArray[np.int32]],
    fresh: int | None,
    boxes: Boxes | None,
) -> Edit:
    """Divide each of some cells by the pixels listed for it; the largest piece keeps the label."""
    part = union_box([cell_box(labels, label, boxes) for label in cells])
    window, values = np.asarray(labels[part]), np.array(labels[part])
    following = int(np.max(labels)) + 1 if fresh is None else fresh
    parents: dict[int, int] = {}
    for label, pixels in cells.items():
        mask = window == label
        pieces = divide(mask, _inside(pixels - [side.start for side in part], mask.shape))
        numbers, areas = np.unique(pieces[pieces > 0], return_counts=True)
        for number in np.delete(numbers, areas.argmax()) if numbers.size else ():
            if following > np.iinfo(values.dtype).max:
                raise ValueError(
                    f"label {following} does not fit {values.dtype}; convert the layer to a wider "
                    f"type first (right click on it, Convert data type)"
                )
            values[pieces == number] = following
            parents[following] = label
            following += 1
    return Edit(part, values, parents)


def _flood(mask: Mask, seeds: Pixels) -> npt.NDArray[np.int32]:
    """Divide a cell into pieces, one a seed, by a watershed of the distance to its outline."""
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(seeds.T)] = np.arange(1, len(seeds) + 1)
    depth = ndi.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return np.asarray(watershed(-depth, markers, mask=mask))


def _pieces(mask: Mask, path: Pixels) -> npt.NDArray[np.int32]:
    """Number the pieces of a cell after a cut along a path; 0 where it divides nothing."""
    cut = np.zeros(mask.shape, bool)
    cut[tuple(path.T)] = True
    before, count = ndi.label(mask)
    after, _ = ndi.label(mask & ~cut)
    smallest = max(1.0, _MIN_SHARE * np.count_nonzero(mask))
    pieces = np.zeros(mask.shape, np.int32)
    for number in range(1, count + 1):
        whole = before == number
        numbers, areas = np.unique(after[whole & ~cut], return_counts=True)
        large = numbers[areas >= smallest]
        if len(large) < 2:
            continue
        largest = numbers[areas.argmax()]
        markers = np.where(np.isin(after, large) & whole, after, 0)
        seed = markers == largest
        # All of the line goes to one side: shared out, it would leave a ragged border.
        markers[ndi.binary_propagation(seed, mask=seed | (whole & cut))] = largest
        # On level ground a watershed is growth at equal speed; pieces stay connected.
        pieces += watershed(np.zeros_like(markers), markers, mask=whole)
    return pieces
