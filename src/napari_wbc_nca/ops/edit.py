"""Corrections of label images: merge, delete, fill, smooth, dilate, erode, renumber.

Every operation reads only the boxes of its cells and returns an :class:`Edit`; it writes nothing.
Cells never take pixels from their neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.segmentation import relabel_sequential

Box = tuple[slice, slice]
Boxes = Mapping[int, Box]
Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Edit:
    """Change of a part of a label image."""

    part: tuple[slice, ...]
    values: Array  # labels of the part after the change
    # New label to the label whose pixels it takes over.
    parents: Mapping[int, int] = field(default_factory=dict)
    moved: bool = False  # cells only change their number: their parents' measurements stay valid

    def apply(self, labels: Array) -> Array:
        """Return a changed copy of `labels`."""
        out = np.array(labels)
        out[self.part] = self.values
        return out


def merge(labels: Any, ids: Sequence[int], boxes: Boxes | None = None) -> Edit:
    """Merge cells into one; it keeps the first one's label.

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
    values = np.asarray(labels[part])
    return Edit(part, np.where(values == label, 0, values))


def fill_holes(labels: Any, label: int, boxes: Boxes | None = None) -> Edit:
    """Fill the background that a cell encloses; other cells inside it stay.

    Examples
    --------
    >>> ring = np.array([[4, 4, 4], [4, 0, 4], [4, 4, 4]])
    >>> fill_holes(ring, 4).apply(ring).tolist()
    [[4, 4, 4], [4, 4, 4], [4, 4, 4]]
    """
    return _replace_mask(labels, label, boxes, 0, ndi.binary_fill_holes)


def smooth(labels: Any, label: int, sigma: float = 2.0, boxes: Boxes | None = None) -> Edit:
    """Smooth a cell's outline: its mask, blurred by a Gaussian of `sigma` pixels, above one half.

    At the image's edge the cell is taken to go on, since the edge is no outline.
    """
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma} px; it must be above 0")

    def blur(mask: Mask) -> Any:
        return ndi.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest") > 0.5

    return _replace_mask(labels, label, boxes, int(4 * sigma) + 1, blur)


def dilate(labels: Any, label: int, pixels: int = 1, boxes: Boxes | None = None) -> Edit:
    """Dilate a cell into the background by `pixels`, counted along rows and columns."""
    change = partial(ndi.binary_dilation, iterations=_checked_width(pixels))
    return _replace_mask(labels, label, boxes, pixels, change)


def erode(labels: Any, label: int, pixels: int = 1, boxes: Boxes | None = None) -> Edit:
    """Erode a cell by `pixels`; not at the image's edge, where the cell is taken to go on."""
    change = partial(ndi.binary_erosion, iterations=_checked_width(pixels), border_value=1)
    return _replace_mask(labels, label, boxes, pixels, change)


def keep_largest(labels: Any, label: int, boxes: Boxes | None = None) -> Edit:
    """Keep the largest component (edge neighbours) of a cell, and remove the others.

    Examples
    --------
    >>> two = np.array([[7, 7, 0, 7]])
    >>> keep_largest(two, 7).apply(two).tolist()
    [[7, 7, 0, 0]]
    """

    def largest(mask: Mask) -> Any:
        components, _ = ndi.label(mask)
        return components == np.bincount(components[mask]).argmax()

    return _replace_mask(labels, label, boxes, 0, largest)


def relabel(labels: Any) -> Edit:
    """Number the cells 1, 2, 3 and so on, in ascending order; for images of any dimension.

    Examples
    --------
    >>> relabel(np.array([[9, 0, 4]])).apply(np.array([[9, 0, 4]])).tolist()
    [[2, 0, 1]]
    """
    values = np.asarray(labels)
    new, _, old = relabel_sequential(values)
    pairs = zip(old.in_values.tolist(), old.out_values.tolist(), strict=True)
    parents = {number: label for number, label in pairs if number}
    return Edit(tuple(slice(0, side) for side in values.shape), new, parents, moved=True)


def cell_box(labels: Any, label: int, boxes: Boxes | None = None) -> Box:
    """Find the box of a cell in `boxes`, or by searching the image, as in :func:`merge`."""
    if label == 0:
        raise ValueError("there is no cell: 0 is the background; point at a cell, or select one")
    if boxes is not None and label in boxes:
        return boxes[label]
    rows, columns = np.nonzero(np.asarray(labels) == label)
    if not rows.size:
        raise ValueError(f"there is no cell {label} here; point at a cell, or select one")
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def union_box(boxes: Sequence[Box]) -> Box:
    """Compute the smallest box around several."""
    y, x = (
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )
    return y, x


def _replace_mask(
    labels: Any, label: int, boxes: Boxes | None, margin: int, change: Callable[[Mask], Any]
) -> Edit:
    """Replace a cell's mask, with a `margin` inside the image, by `change` of it."""
    y, x = (
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, length in zip(cell_box(labels, label, boxes), labels.shape, strict=True)
    )
    values = np.array(labels[y, x])
    before = values == label
    after = change(before) & (before | (values == 0))
    if not after.any():
        raise ValueError(f"nothing would be left of cell {label}; delete it instead")
    values[before], values[after] = 0, label
    return Edit((y, x), values)


def _checked_width(pixels: int) -> int:
    if pixels < 1:
        raise ValueError(f"the rim is {pixels} px wide; it must be at least 1")
    return pixels
