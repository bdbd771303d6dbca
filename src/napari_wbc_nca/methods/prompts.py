"""Points and boxes by which a user marks cells.

A position counts from the middle of the first pixel, which is (0, 0), as in napari. A box is
half-open, ``[y0, y1) × [x0, x1)``: its sides are edges of pixels, so that ``(0, 0, 10, 10)``
holds the pixels 0 to 9, and its centre ``(y0 + y1 - 1) / 2`` is 4.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.methods.field import DENSITY, Field
from napari_wbc_nca.ops.minimum_cut import fit_saliency

Points = npt.NDArray[Any]
"""``(N, 2)`` y, x in pixels."""
Boxes = npt.NDArray[Any]
"""``(N, 4)`` y0, x0, y1, x1 in pixels."""

EMPTY, COVERED = "they lie on empty background", "cells around them left no pixels"
"""Why a prompt gives no cell."""

_STAINED = 0.5  # saliency from which on matter is stained
_COLUMNS = {"points": "y, x", "boxes": "y0, x0, y1, x1"}


def prompt_centres(
    locate: str,
    points: Points | None,
    boxes: Boxes | None,
    shape: tuple[int, int],
    automatic: str = "detector",
) -> Points | None:
    """Return the centres ``(N, 2)`` of cells that a user marked; None where `locate` asks for none.

    Prompts that are missing, of a wrong shape, empty or inverted, or outside the image of `shape`
    raise a ValueError, which names the value `automatic` of `locate` that needs none.
    """
    if boxes is not None:  # checked in any case: the scale is estimated from them, too
        boxes = check_boxes(boxes, shape)
    if locate not in _COLUMNS:
        return None
    values = points if locate == "points" else boxes
    if values is None or len(values) == 0:
        raise ValueError(
            f"locate is {locate!r}, but no {locate} were given; add {locate} around the cells, "
            f"or locate by {automatic!r}"
        )
    return check_points(values, shape) if locate == "points" else box_centres(values)


def check_points(points: npt.ArrayLike, shape: tuple[int, int]) -> Points:
    """Return points as ``(N, 2)`` float64, or raise a ValueError unless all lie in an image."""
    array = _as_table("points", points)
    _check_inside("points", array, shape)
    return array


def check_boxes(boxes: npt.ArrayLike, shape: tuple[int, int]) -> Boxes:
    """Return boxes as ``(N, 4)`` float64, when their centres lie in an image of `shape`.

    Those of a wrong shape, outside the image, or without height or width raise a ValueError.
    """
    array = _as_table("boxes", boxes)
    _check_inside("boxes", box_centres(array), shape)
    if not (array[:, 2:] > array[:, :2]).all():
        raise ValueError("a box has no height or width; expected y0 < y1 and x0 < x1 in pixels")
    return array


def box_centres(boxes: Boxes) -> Points:
    """Return the ``(N, 2)`` centres of half-open boxes ``(N, 4)``."""
    return np.asarray((boxes[:, :2] + boxes[:, 2:] - 1) / 2, np.float64)


def _as_table(name: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    array, columns = np.asarray(values, np.float64), _COLUMNS[name]
    count = columns.count(",") + 1
    if array.size == 0:
        return array.reshape(0, count)
    if array.ndim != 2 or array.shape[1] != count:
        raise ValueError(
            f"{name} have shape {array.shape}; expected (N, {count}), {columns} in pixels"
        )
    return array


def _check_inside(name: str, centres: Points, shape: tuple[int, int]) -> None:
    # Written so that NaN is outside.
    outside = ~((centres >= -0.5) & (centres <= np.subtract(shape, 0.5))).all(1)
    if outside.any():
        first = centres[outside][0].round(1).tolist()
        raise ValueError(
            f"{int(outside.sum())} of {len(centres)} {name} lie outside the image of {shape} "
            f"(height, width) pixels, the first at {first}; move or remove them"
        )


def on_background(view: Field, centres: Points, radius: float) -> npt.NDArray[np.bool_]:
    """Find the centres ``(N, 2)`` without stained matter within `radius`, in pixels of the view.

    The mean density of a disk is compared with the level that separates matter from background
    in the whole field (:func:`~napari_wbc_nca.ops.minimum_cut.fit_saliency`).
    """
    density = view.rescaled(view.factor, DENSITY)
    stained = fit_saliency("stain", density.normalised_sample())
    side = 2 * max(1, round(radius)) + 1
    empty = np.zeros(len(centres), bool)
    for number, (y, x) in enumerate(centres):
        rows, columns = part = density.window((y + 0.5, x + 0.5), side)
        away = np.hypot(np.asarray(rows)[:, None] - y, np.asarray(columns) - x)
        disk = away <= max(radius, away.min())
        mean = density.read_pixels(part)[disk].mean(0)
        empty[number] = float(stained(mean[None, None])[0, 0]) < _STAINED
    return empty


def prompt_notes(name: str, count: int, reasons: Mapping[str, int]) -> list[str]:
    """Say how many of `count` prompts gave no cell, and why.

    Examples
    --------
    >>> prompt_notes("points", 5, {"they lie on empty background": 2, "nothing was left": 0})
    ['2 of 5 points gave no cell: they lie on empty background']
    """
    return [
        f"{lost} of {count} {name} gave no cell: {why}" for why, lost in reasons.items() if lost
    ]
