"""Corrections of label images: merge, delete, fill, smooth, grow, shrink, keep one piece, renumber.

Every operation reads only the boxes of the cells it works on and says what should change, as an
:class:`Edit`; it writes nothing. Cells never take pixels from their neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

Part = tuple[slice, ...]
Boxes = Mapping[int, tuple[slice, slice]]
Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Edit:
    """What an operation wants to write.

    Attributes
    ----------
    part
        Region of the label image.
    values
        Labels that the region is to hold.
    parents
        New label to the label whose pixels it takes over.
    moved
        Whether cells only change their number: what is known of a parent stays true.
    """

    part: Part
    values: Array
    parents: Mapping[int, int] = field(default_factory=dict)
    moved: bool = False

    def apply(self, labels: Array) -> Array:
        """Copy of `labels` with the edit done."""
        out = np.array(labels)
        out[self.part] = self.values
        return out


def merge(labels: Any, ids: Sequence[int], boxes: Boxes | None = None) -> Edit:
    """Make one cell of several; it keeps the first one's label.

    Parameters
    ----------
    labels
        ``(Y, X)`` integers, 0 where there is no cell; NumPy or zarr.
    ids
        Labels, at least two different ones.
    boxes
        Label to a box that holds the whole cell, where it is known; the image is searched for
        all others.

    Raises
    ------
    ValueError
        For fewer than two cells, and for a label that the image does not hold.

    Examples
    --------
    >>> merge(np.array([[3, 3, 0, 5]]), [5, 3]).apply(np.array([[3, 3, 0, 5]])).tolist()
    [[5, 5, 0, 5]]
    """
    ids = list(dict.fromkeys(int(label) for label in ids))
    if len(ids) < 2:
        raise ValueError(f"got {len(ids)} cell to merge; draw the line over two cells or more")
    part = union_box([cell_box(labels, label, boxes) for label in ids])
    values = np.array(labels[part])
    values[np.isin(values, ids)] = ids[0]
    return Edit(part, values)


def delete(labels: Any, label: int, boxes: Boxes | None = None) -> Edit:
    """Remove a cell; parameters as in :func:`merge`."""
    part = cell_box(labels, label, boxes)
    values = np.array(labels[part])
    values[values == label] = 0
    return Edit(part, values)


def fill_holes(labels: Any, label: int, boxes: Boxes | None = None) -> Edit:
    """Fill the background that a cell encloses; other cells inside it stay.

    Examples
    --------
    >>> ring = np.array([[4, 4, 4], [4, 0, 4], [4, 4, 4]])
    >>> fill_holes(ring, 4).apply(ring).tolist()
    [[4, 4, 4], [4, 4, 4], [4, 4, 4]]
    """
    return _reshape(labels, label, boxes, 0, ndi.binary_fill_holes)


def smooth(labels: Any, label: int, sigma: float = 2.0, boxes: Boxes | None = None) -> Edit:
    """Round a cell's outline: where its mask, blurred by a Gaussian, is above one half.

    Parameters
    ----------
    labels, label, boxes
        As in :func:`delete`.
    sigma
        Standard deviation of the Gaussian in pixels.
    """
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma} px; it must be above 0")

    def blur(mask: Mask) -> Mask:
        # Beyond the image's edge a cell goes on as it is: the edge is no outline.
        soft = ndi.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest")
        return np.asarray(soft > 0.5)

    return _reshape(labels, label, boxes, int(4 * sigma) + 1, blur)


def dilate(labels: Any, label: int, pixels: int = 1, boxes: Boxes | None = None) -> Edit:
    """Add a rim of background to a cell, `pixels` wide, counted along rows and columns."""
    _check_width(pixels)
    return _reshape(
        labels, label, boxes, pixels, lambda mask: ndi.binary_dilation(mask, iterations=pixels)
    )


def erode(labels: Any, label: int, pixels: int = 1, boxes: Boxes | None = None) -> Edit:
    """Take a rim off a cell, `pixels` wide; none at the image's edge, where the cell goes on."""
    _check_width(pixels)
    return _reshape(
        labels,
        label,
        boxes,
        pixels,
        lambda mask: ndi.binary_erosion(mask, iterations=pixels, border_value=1),
    )


def keep_largest(labels: Any, label: int, boxes: Boxes | None = None) -> Edit:
    """Remove all pieces of a cell but the largest; pieces touch by edges, not by corners.

    Examples
    --------
    >>> two = np.array([[7, 7, 0, 7]])
    >>> keep_largest(two, 7).apply(two).tolist()
    [[7, 7, 0, 0]]
    """

    def largest(mask: Mask) -> Mask:
        pieces, _ = ndi.label(mask)
        areas = np.bincount(pieces.ravel())
        areas[0] = 0
        return np.asarray(pieces == areas.argmax())

    return _reshape(labels, label, boxes, 0, largest)


def relabel(labels: Any) -> Edit:
    """Number the cells 1, 2, 3 and so on, in their order; for images of any dimension.

    Examples
    --------
    >>> relabel(np.array([[9, 0, 4]])).apply(np.array([[9, 0, 4]])).tolist()
    [[2, 0, 1]]
    """
    values = np.asarray(labels)
    old = np.unique(values)
    old = old[old != 0]
    new = np.searchsorted(old, values).astype(values.dtype) + 1
    new[values == 0] = 0
    parents = {number: int(label) for number, label in enumerate(old, start=1)}
    return Edit(tuple(slice(0, side) for side in values.shape), new, parents, moved=True)


def cell_box(labels: Any, label: int, boxes: Boxes | None = None) -> tuple[slice, slice]:
    """Box of a cell: from `boxes`, or by searching the image.

    Raises
    ------
    ValueError
        Where the image does not hold `label`, and for the background.
    """
    if label == 0:
        raise ValueError("there is no cell: 0 is the background; point at a cell, or select one")
    if boxes is not None and label in boxes:
        return boxes[label]
    rows, columns = np.nonzero(np.asarray(labels) == label)
    if not rows.size:
        raise ValueError(f"there is no cell {label} here; point at a cell, or select one")
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def union_box(boxes: Sequence[tuple[slice, slice]]) -> tuple[slice, slice]:
    """Smallest box around several."""
    y, x = (
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )
    return y, x


def _reshape(labels: Any, label: int, boxes: Boxes | None, margin: int, change: Any) -> Edit:
    """Give a cell the mask that `change` makes of its own, less the pixels of other cells.

    Around the mask lie `margin` pixels, or as many as the image has.
    """
    part = _widen(cell_box(labels, label, boxes), margin, labels.shape)
    values = np.array(labels[part])
    mask = values == label
    wanted = change(mask) & (mask | (values == 0))
    if not wanted.any():
        raise ValueError(f"nothing would be left of cell {label}; delete it instead")
    values[mask & ~wanted] = 0
    values[wanted] = label
    return Edit(part, values)


def _widen(part: tuple[slice, slice], margin: int, shape: Sequence[int]) -> tuple[slice, slice]:
    y, x = (
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, length in zip(part, shape, strict=True)
    )
    return y, x


def _check_width(pixels: int) -> None:
    if pixels < 1:
        raise ValueError(f"the rim is {pixels} px wide; it must be at least 1")
