"""Area, centroid and box of cells, of all or only of those that changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

COLUMNS = ("centroid_y", "centroid_x", "box_y0", "box_x0", "box_y1", "box_x1", "area_px")


def measure(
    labels: npt.ArrayLike,
    among: Collection[int] | None = None,
    origin: Sequence[int] = (0, 0),
) -> pd.DataFrame:
    """Area, centroid and box of each cell of a label image.

    Parameters
    ----------
    labels
        ``(..., Y, X)`` integers, 0 where there is no cell. A cell on several planes is measured
        over all of them.
    among
        Labels that are measured; None measures all.
    origin
        Row and column of the array's first pixel in the image.

    Returns
    -------
    One row a cell, the index its label, ascending: ``centroid_y, centroid_x, box_y0, box_x0,
    box_y1, box_x1, area_px`` and for leading axes ``axis_0`` and so on, the cell's first plane.

    Examples
    --------
    >>> measure([[0, 7, 7]])[["centroid_x", "box_x0", "box_x1", "area_px"]].loc[7].tolist()
    [1.5, 1.0, 3.0, 2.0]
    """
    array = np.asarray(labels)
    mask = array != 0 if among is None else np.isin(array, list(among)) & (array != 0)
    at = np.flatnonzero(mask)
    ids, codes = _factorize(array.reshape(-1)[at])
    *lead, rows, columns = np.unravel_index(at, array.shape)
    y0, y1 = _range(rows, codes, ids.size)
    x0, x1 = _range(columns, codes, ids.size)
    area = np.bincount(codes, minlength=ids.size)
    table = {
        "centroid_y": np.bincount(codes, rows, ids.size) / area + origin[0],
        "centroid_x": np.bincount(codes, columns, ids.size) / area + origin[1],
        "box_y0": y0 + origin[0],
        "box_x0": x0 + origin[1],
        "box_y1": y1 + origin[0],
        "box_x1": x1 + origin[1],
        "area_px": area.astype(np.int64),
    }
    planes = {f"axis_{axis}": _range(p, codes, ids.size)[0] for axis, p in enumerate(lead)}
    return pd.DataFrame(table | planes, index=pd.Index(ids, name="label"))


def _factorize(
    values: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """Different values, ascending, and the place of each value among them."""
    codes, found = pd.factorize(values, sort=True)
    return np.asarray(found, np.int64), np.asarray(codes, np.intp)


def _range(
    at: npt.NDArray[np.intp], codes: npt.NDArray[np.intp], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Smallest of `at`, and one above its largest, of every code."""
    low = np.full(count, np.iinfo(np.int64).max)
    high = np.zeros(count, np.int64)
    np.minimum.at(low, codes, at)
    np.maximum.at(high, codes, at)
    return low, high + 1
