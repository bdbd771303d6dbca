"""Centroids that a user gave, in pixels of the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[Any]


def given(
    locate: str, points: Places | None, boxes: Places | None, shape: tuple[int, int]
) -> Places:
    """``(N, 2)`` y, x of points, or of the middles of boxes, which lie inside the image.

    Parameters
    ----------
    locate
        ``points`` or ``boxes``.
    points, boxes
        ``(N, 2)`` y, x and ``(N, 4)`` y0, x0, y1, x1 in pixels.
    shape
        Height and width of the image.

    Raises
    ------
    ValueError
        When what `locate` asks for is missing, of a wrong shape, or outside the image.
    """
    values = points if locate == "points" else boxes
    if values is None or len(values) == 0:
        raise ValueError(
            f"locate is {locate!r}, but no {locate} were given; add {locate} on the cells, or "
            "locate by 'detector'"
        )
    array = np.asarray(values, np.float64)
    columns = 2 if locate == "points" else 4
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(
            f"{locate} have shape {array.shape}; expected (N, {columns}), "
            f"{'y, x' if columns == 2 else 'y0, x0, y1, x1'} in pixels"
        )
    # A point is the middle of a pixel, an edge of a box lies between pixels.
    middles = array if columns == 2 else (array[:, :2] + array[:, 2:] - 1) / 2
    return inside(middles, shape)


def inside(places: Places, shape: tuple[int, int]) -> Places:
    """`places`, when all of them lie in an image of `shape`.

    Raises
    ------
    ValueError
        When one does not.
    """
    # Written so that NaN is outside.
    outside = ~((places >= -0.5) & (places <= np.subtract(shape, 0.5))).all(1)
    if outside.any():
        first = places[outside][0].round(1).tolist()
        raise ValueError(
            f"{int(outside.sum())} of {len(places)} centroids lie outside the image of {shape} "
            f"(height, width) pixels, the first at {first}; move or remove them"
        )
    return places
