"""Label images and table of finished cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_wbc_nca.ops.overlaps import box, settle, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_wbc_nca.types import Cell

Labels = npt.NDArray[np.uint32]


def resolve(
    cells: Sequence[Cell], shape: tuple[int, int], *, duplicate: float = 0.7
) -> tuple[Labels, Labels]:
    """Label images ``cell`` and ``nucleus`` of `shape`, with the same integers.

    :func:`~napari_wbc_nca.ops.overlaps.settle`, then :func:`paint`. Where a table is wanted too,
    call them one by one: it is made from the settled cells.
    """
    cell, nucleus = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    paint(settle(cells, shape, duplicate=duplicate), cell, nucleus)
    return cell, nucleus


def paint(cells: Sequence[Cell], cell: Any, nucleus: Any) -> None:
    """Write settled cells into two label images, the first as 1, the second as 2, and so on.

    Only a cell's own box is read and written, so the images may be zarr arrays larger than
    memory.

    Parameters
    ----------
    cells
        Disjoint cells, as :func:`~napari_wbc_nca.ops.overlaps.settle` returns them.
    cell, nucleus
        ``(Y, X)`` uint32, NumPy or zarr, zero at first.
    """
    for label, item in enumerate(cells, start=1):
        part = box(item)
        for image, mask in ((cell, item.mask), (nucleus, item.nucleus)):
            block = np.asarray(image[part])
            block[mask[within(item, part)]] = label
            image[part] = block


def table(
    cells: Sequence[Cell], classes: Sequence[str], pixel_size: float | None = None
) -> pd.DataFrame:
    """One row a settled cell, with the columns of :class:`~napari_wbc_nca.types.Segmentation`.

    Parameters
    ----------
    cells
        Disjoint cells, as :func:`~napari_wbc_nca.ops.overlaps.settle` returns them; the first
        has label 1.
    classes
        Names of the ``p_CLASS`` columns.
    pixel_size
        Side of a pixel in µm; None gives areas in µm² that are NaN.
    """
    boxes = [box(cell) for cell in cells]
    centroids = [_centroid(cell) for cell in cells]
    area = np.array([np.count_nonzero(cell.mask) for cell in cells], np.int64)
    columns = {
        "label": np.arange(1, len(cells) + 1),
        "class": pd.Series([cell.label_class for cell in cells], dtype="str"),
        "class_probability": _floats([cell.probabilities[cell.label_class] for cell in cells]),
        "confidence": _floats([cell.confidence for cell in cells]),
        "centroid_y": _floats([y for y, _ in centroids]),
        "centroid_x": _floats([x for _, x in centroids]),
        "box_y0": np.array([y.start for y, _ in boxes], np.int64),
        "box_x0": np.array([x.start for _, x in boxes], np.int64),
        "box_y1": np.array([y.stop for y, _ in boxes], np.int64),
        "box_x1": np.array([x.stop for _, x in boxes], np.int64),
        "area_px": area,
        "nucleus_area_px": np.array([np.count_nonzero(cell.nucleus) for cell in cells], np.int64),
        "area_um2": area * (np.nan if pixel_size is None else pixel_size**2),
    }
    probabilities = {
        f"p_{name}": _floats([cell.probabilities[name] for cell in cells]) for name in classes
    }
    return pd.DataFrame(columns | probabilities)


def _floats(values: Sequence[float]) -> npt.NDArray[np.float64]:
    return np.array(values, np.float64)


def _centroid(cell: Cell) -> tuple[float, float]:
    rows, columns = np.nonzero(cell.mask)
    return cell.origin[0] + float(rows.mean()), cell.origin[1] + float(columns.mean())
