"""Label images of cells, and tables measured from cells or labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_wbc_nca.ops.overlaps import mask_box

if TYPE_CHECKING:
    from napari_wbc_nca.types import Cell

COLUMNS = ("centroid_y", "centroid_x", "box_y0", "box_x0", "box_y1", "box_x1", "area_px")


def cell_table(
    cells: Sequence[Cell], classes: Sequence[str], pixel_size: float | None = None
) -> pd.DataFrame:
    """Tabulate disjoint cells, with the columns of :class:`~napari_wbc_nca.types.Segmentation`.

    The first has label 1. `classes` are names of the ``p_CLASS`` columns. `pixel_size` is the side
    of a pixel in µm; None gives areas in µm² that are NaN.
    """
    spans = [mask_box(cell) for cell in cells]
    boxes = np.array([(y.start, x.start, y.stop, x.stop) for y, x in spans], np.int64)
    places = [np.argwhere(cell.mask).mean(axis=0) + cell.origin for cell in cells]
    centroids = np.array(places, np.float64).reshape(-1, 2)
    area = np.array([np.count_nonzero(cell.mask) for cell in cells], np.int64)
    columns = {
        "label": np.arange(1, len(cells) + 1),
        "class": pd.Series([cell.label_class for cell in cells], dtype="str"),
        "class_probability": _floats([cell.probabilities[cell.label_class] for cell in cells]),
        "confidence": _floats([cell.confidence for cell in cells]),
        **dict(zip(COLUMNS[:2], centroids.T, strict=True)),
        **dict(zip(COLUMNS[2:6], boxes.reshape(-1, 4).T, strict=True)),
        "area_px": area,
        "nucleus_area_px": np.array([np.count_nonzero(cell.nucleus) for cell in cells], np.int64),
        "area_um2": area * (np.nan if pixel_size is None else pixel_size**2),
    }
    for name in classes:
        columns[f"p_{name}"] = _floats([cell.probabilities[name] for cell in cells])
    for name in dict.fromkeys(name for cell in cells for name in cell.measures):
        columns[name] = _floats([cell.measures.get(name, np.nan) for cell in cells])
    return pd.DataFrame(columns)


def measure_cells(
    labels: npt.ArrayLike, among: Collection[int] | None = None, origin: Sequence[int] = (0, 0)
) -> pd.DataFrame:
    """Measure area, centroid and box of each cell of a label image.

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
    >>> measure_cells([[0, 7, 7]])[["centroid_x", "box_x0", "box_x1"]].loc[7].tolist()
    [1.5, 1.0, 3.0]
    """
    columns = _measures(labels, among, origin)
    return pd.DataFrame(columns).set_index("label")


def measure_rows(
    labels: npt.ArrayLike, among: Collection[int], origin: Sequence[int]
) -> dict[int, dict[str, int | float]]:
    """Measure a few cells as :func:`measure_cells` does: a dictionary each, by label.

    A table of two rows takes ten times as long to make.
    """
    columns = {name: values.tolist() for name, values in _measures(labels, among, origin).items()}
    ids = columns.pop("label")
    return {
        label: {name: values[row] for name, values in columns.items()}
        for row, label in enumerate(ids)
    }


def _measures(
    labels: npt.ArrayLike, among: Collection[int] | None, origin: Sequence[int]
) -> dict[str, npt.NDArray[Any]]:
    """Measure cells: columns of :func:`measure_cells`, and ``label``."""
    array = np.asarray(labels)
    mask = array != 0 if among is None else np.isin(array, list(among)) & (array != 0)
    at = np.flatnonzero(mask)
    ids, codes = np.unique(array.reshape(-1)[at], return_inverse=True)
    *lead, rows, columns = np.unravel_index(at, array.shape)
    y0, y1 = _ranges(rows, codes, ids.size)
    x0, x1 = _ranges(columns, codes, ids.size)
    area = np.bincount(codes, minlength=ids.size)
    centroids = (np.bincount(codes, at, ids.size) / area for at in (rows, columns))
    measured = [*centroids, y0, x0, y1, x1]
    measured = [values + origin[axis % 2] for axis, values in enumerate(measured)]
    table = dict(zip(COLUMNS, [*measured, area.astype(np.int64)], strict=True))
    planes = {f"axis_{axis}": _ranges(p, codes, ids.size)[0] for axis, p in enumerate(lead)}
    return {"label": ids.astype(np.int64), **table, **planes}


def _floats(values: Sequence[float]) -> npt.NDArray[np.float64]:
    return np.array(values, np.float64)


def _ranges(
    at: npt.NDArray[np.intp], codes: npt.NDArray[np.intp], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the smallest of `at`, and one above its largest, for each code."""
    low = np.full(count, np.iinfo(np.int64).max)
    high = np.zeros(count, np.int64)
    np.minimum.at(low, codes, at)
    np.maximum.at(high, codes, at)
    return low, high + 1
