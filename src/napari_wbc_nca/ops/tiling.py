"""Tiles of a field, and resampling that is bit-equal whatever tile it is computed in.

Output pixel ``i`` covers source pixels ``i f`` to ``(i + 1) f``, where the factor ``f`` is source
pixels per output pixel. Weights come from absolute positions, one sum per output pixel in a fixed
order, so a part resampled by itself equals that part of the whole, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Slices = tuple[slice, slice]
Read = Callable[[slice, slice], npt.NDArray[Any]]


@dataclass(frozen=True)
class Tile:
    """Tile of a field: rows and columns of its core, and of the halo to be read around it.

    The cores of all tiles partition the field; halos go as far as the field does.
    """

    core: Slices
    halo: Slices

    @property
    def inner(self) -> Slices:
        """The core within the halo."""
        y, x = (
            slice(core.start - halo.start, core.stop - halo.start)
            for core, halo in zip(self.core, self.halo, strict=True)
        )
        return y, x


def tiles(shape: tuple[int, int], tile: int, halo: int) -> Iterator[Tile]:
    """Cut a field of `shape` (height, width) into tiles, in raster order.

    Cores have the side `tile` in pixels, 1 or more, or less in the last row and column; `halo`
    pixels, 0 or more, are read beyond them on every side, clipped at the field's border.

    Examples
    --------
    >>> [t.core[1] for t in tiles((4, 7), tile=4, halo=1)]
    [slice(0, 4, None), slice(4, 7, None)]
    """
    if tile < 1 or halo < 0:
        raise ValueError(f"tile is {tile} and halo {halo}; give tile ≥ 1 and halo ≥ 0")
    rows, columns = (
        [
            (slice(at, min(at + tile, side)), slice(max(0, at - halo), min(at + tile + halo, side)))
            for at in range(0, side, tile)
        ]
        for side in shape
    )
    for (y, y_halo), (x, x_halo) in product(rows, columns):
        yield Tile((y, x), (y_halo, x_halo))


def resampled_shape(shape: tuple[int, int], factor: float) -> tuple[int, int]:
    """Compute the shape of a field of `shape` at `factor` source pixels per output pixel."""
    return max(1, ceil(shape[0] / factor)), max(1, ceil(shape[1] / factor))


def resample(
    read: Read,
    shape: tuple[int, int],
    factor: float,
    rows: range,
    columns: range,
    origin: tuple[int, int] = (0, 0),
) -> npt.NDArray[np.float32]:
    """Resample a part of a field with a triangle kernel, which also smooths when it shrinks.

    Returns ``(len(rows), len(columns), C)`` float32 of the output pixels `rows` and `columns`,
    within `resampled_shape`; `factor` is source pixels per output pixel. `read` returns the
    source's ``(h, w, C)`` pixels of a slice of rows and one of columns; `shape` is the source's
    height and width, and `origin` the position of its first pixel where it is itself a part.
    """
    down, first_row, last_row = _resampling_weights(rows, factor, shape[0], origin[0])
    across, first_column, last_column = _resampling_weights(columns, factor, shape[1], origin[1])
    pixels = np.asarray(read(slice(first_row, last_row), slice(first_column, last_column)))
    height, width, channels = pixels.shape
    tall = down @ pixels.reshape(height, width * channels).astype(np.float64)
    turned = tall.reshape(len(rows), width, channels).transpose(1, 0, 2)
    both = across @ np.ascontiguousarray(turned).reshape(width, len(rows) * channels)
    result = both.reshape(len(columns), len(rows), channels).transpose(1, 0, 2)
    return np.ascontiguousarray(result, np.float32)


def _resampling_weights(
    output: range, factor: float, size: int, origin: int
) -> tuple[sparse.csr_array, int, int]:
    """Return the matrix from the source pixels ``first`` to ``last`` to the output pixels."""
    reach = max(factor, 1.0)
    centres = (np.arange(output.start, output.stop) + 0.5) * factor - 0.5 - origin
    taps = np.floor(centres - reach).astype(int)[:, None] + np.arange(ceil(2 * reach) + 2)
    weights = np.clip(1 - np.abs(taps - centres[:, None]) / reach, 0, None)
    weights[(taps < 0) | (taps >= size)] = 0
    empty = weights.sum(1) == 0  # centres beyond the last pixel's reach
    taps = np.clip(taps, 0, size - 1)
    weights[empty, -1] = 1
    weights /= weights.sum(1, keepdims=True)
    first, last = int(taps.min()), int(taps.max()) + 1
    lines = np.repeat(np.arange(len(output)), taps.shape[1])
    matrix = sparse.csr_array(
        (weights.ravel(), (lines, taps.ravel() - first)), shape=(len(output), last - first)
    )
    return matrix, first, last
