"""Connected cells of a class map, at the model's scale and at the image's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from napari_wbc_nca.methods.field import as_part
from napari_wbc_nca.ops.foreground import remove_small
from napari_wbc_nca.ops.tiling import resample

if TYPE_CHECKING:
    from napari_wbc_nca.methods.cellmixer.params import CellmixerParams

Slices = tuple[slice, slice]

_HOLE = 0.8
"""Diameter of the largest hole of a cell, relative to a typical cell of its class."""
PLAIN = 0.95
"""Probability of plain background. A hole that is mostly so is a gap between cells, and is kept."""


@dataclass(frozen=True, eq=False)
class ConnectedCells:
    """Connected cells in model pixels."""

    # (Y, X): 0, or the number of a cell, in raster order of the centres.
    labels: npt.NDArray[np.int32]
    filled: npt.NDArray[np.bool_]  # (Y, X): background that a cell encloses
    numbers: tuple[int, ...]  # class of each cell
    boxes: tuple[Slices, ...]  # rows and columns of each


def connect_pixels(
    classes: npt.NDArray[np.uint8],
    plain: npt.NDArray[np.bool_],
    names: Sequence[str],
    diameters: Mapping[str, float],
    params: CellmixerParams,
) -> ConnectedCells:
    """Connect the pixels of each class to cells.

    `classes` are ``(Y, X)`` class numbers, 0 background, and `names` those of the classes in that
    order; `plain` is ``(Y, X)``: whether a pixel is background with a probability of `PLAIN` or
    more. `diameters` are typical of each class's cells, in pixels.
    """
    found = np.zeros(classes.shape, np.int32)
    filled = np.zeros(classes.shape, bool)
    centres: list[tuple[float, float, int, int]] = []
    sizes = [diameters.get(name, 0.0) for name in names[1:]]
    limits = [(_HOLE * size * params.fill_holes, size * params.min_area**0.5) for size in sizes]
    numbered = list(enumerate(limits, start=1))
    for number, limit in numbered:  # specks first, so that a cell around them closes over them
        own = classes == number
        classes = np.where(own & ~remove_small(own, *limit), 0, classes)
    for number, limit in numbered:
        own = classes == number
        whole = remove_small(own, *limit) & (own | ((classes == 0) & (found == 0)))
        whole &= ~_mostly(whole & ~own, plain)
        pieces, count = ndi.label(whole)
        if not own[whole].all():  # what is left of a hole, beside the class that fills it, is none
            whole &= np.isin(pieces, np.unique(pieces[own & whole]))
            pieces, count = ndi.label(whole)
        middle = ndi.center_of_mass(whole, pieces, np.arange(1, count + 1))
        centres += [(y, x, number, len(centres) + k) for k, (y, x) in enumerate(middle, 1)]
        first = len(centres) - count
        found[whole] = pieces[whole] + first
        filled |= whole & ~own
    order = sorted(centres)
    position = np.zeros(len(order) + 1, np.int32)
    position[[old for *_, old in order]] = np.arange(1, len(order) + 1)
    labels = position[found]
    boxes = tuple(ndi.find_objects(labels, len(order)))
    return ConnectedCells(labels, filled, tuple(number for _, _, number, _ in order), boxes)


def _mostly(mask: npt.NDArray[np.bool_], marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Keep connected pieces of `mask` of which more than half is `marked`."""
    pieces, count = ndi.label(mask)
    share = np.asarray(ndi.mean(marked, pieces, np.arange(1, count + 1))).reshape(-1)
    return np.asarray(np.concatenate([[0.0], share])[pieces] > 0.5)


def paint_tile(
    maps: Sequence[Any], pieces: ConnectedCells, factor: float, tile: Slices
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.float32]]:
    """Draw ``(h, w)`` class and cell and ``(classes, h, w)`` probabilities of a tile of the image.

    A pixel's class is that of the interpolated probabilities, and its cell the nearest one of that
    class. In and around a filled hole, and where no cell of that class is near, both are those of
    the model pixel it lies in. `maps` are the probabilities of each class in model pixels, `factor`
    is the image pixels per model pixel.
    """
    shape = pieces.labels.shape
    spans = as_part(tile)

    def read(rows: slice, columns: slice) -> npt.NDArray[Any]:
        return np.stack([np.asarray(own[rows, columns]) for own in maps], -1)

    found = resample(read, (shape[0], shape[1]), 1 / factor, *spans)
    rows, columns = (
        np.minimum(((np.arange(span.start, span.stop) + 0.5) / factor).astype(int), size - 1)
        for span, size in zip(spans, shape, strict=True)
    )
    around = tuple(
        slice(max(0, int(index[0]) - 1), min(size, int(index[-1]) + 2))
        for index, size in zip((rows, columns), shape, strict=True)
    )
    labels = pieces.labels[around]
    near = np.ix_(rows - around[0].start, columns - around[1].start)
    numbers = np.asarray((0, *pieces.numbers), np.uint8)
    classes = found.argmax(-1).astype(np.uint32)
    inside = ndi.maximum_filter(pieces.filled[around], 3)[near] & (labels[near] > 0)
    classes[inside] = numbers[labels][near][inside]
    cells = np.zeros(classes.shape, np.uint32)
    for number in set(pieces.numbers):
        own = np.where(numbers[labels] == number, labels, 0)
        wide = np.where(own > 0, own, ndi.maximum_filter(own, 3))[near]
        cells = np.where(classes == number, wide, cells).astype(np.uint32)
    stray = (classes > 0) & (cells == 0)
    cells[stray] = labels[near][stray]
    return numbers[cells].astype(np.uint32), cells, np.moveaxis(found, -1, 0)
