"""Crops of cells that all show a square of the same side, so that sizes can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

AROUND = 1.35
"""Side of a crop over the diameter that nine in ten cells have at most."""
BOX = ("box_y0", "box_x0", "box_y1", "box_x1")
_DEFAULT, _SMALLEST = 32.0, 8
Row = Any
"""Mapping, or row of a table, of a cell."""
Slices = tuple[slice, slice]


def crop_side(cells: pd.DataFrame) -> int:
    """Choose the side in pixels of the crops of cells, from their boxes.

    Examples
    --------
    >>> import pandas as pd
    >>> crop_side(pd.DataFrame([(0, 0, 20, 10)], columns=BOX))
    27
    """
    sides = np.maximum(cells["box_y1"] - cells["box_y0"], cells["box_x1"] - cells["box_x0"])
    typical = float(np.quantile(sides, 0.9)) if len(sides) else _DEFAULT
    return max(_SMALLEST, round(AROUND * typical))


def crop_window(cell: Row, side: int) -> tuple[int, int]:
    """Return row and column, perhaps outside of the image, of a crop's first pixel."""
    y = round((cell["box_y0"] + cell["box_y1"] - side) / 2)
    return y, round((cell["box_x0"] + cell["box_x1"] - side) / 2)


def overlap(shape: Sequence[int], origin: tuple[int, int], side: int) -> tuple[Slices, Slices]:
    """Return the part of a plane of `shape` that a crop shows, and where it lies in the crop."""
    parts, targets = [], []
    for first, size in zip(origin, shape, strict=False):
        start = max(first, 0)
        stop = max(min(first + side, size), start)
        parts.append(slice(start, stop))
        targets.append(slice(start - first, stop - first))
    return (parts[0], parts[1]), (targets[0], targets[1])


def plane_index(cell: Row, lead: Sequence[int]) -> tuple[int, ...]:
    """Return the position of a cell's plane on leading axes of lengths `lead`."""
    return tuple(min(int(cell.get(f"axis_{axis}", 0)), n - 1) for axis, n in enumerate(lead))
