"""Peaks of a likelihood map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

Values = npt.NDArray[np.floating]


def peaks(values: Values, least: float, apart: float = 2.0) -> npt.NDArray[np.intp]:
    """Pixels that are above `least` and highest within `apart` pixels.

    Equally high pixels that touch are one peak, at the pixel nearest to their middle. Of two
    peaks that are equally high and too close, the first in raster order stays.

    Parameters
    ----------
    values
        ``(Y, X)``.
    least
        Peaks are above it.
    apart
        Least distance of two peaks in pixels; the published code takes 2.

    Returns
    -------
    ``(N, 2)`` y, x in raster order

    Raises
    ------
    ValueError
        When `values` is no plane, or `apart` is negative.

    Examples
    --------
    >>> peaks(np.asarray([[0.0, 0.9, 0.9, 0.9, 0.0, 0.0, 0.6]]), 0.5).tolist()
    [[0, 2], [0, 6]]
    """
    if values.ndim != 2:
        raise ValueError(f"values have shape {values.shape}; expected (Y, X)")
    if not apart >= 0:
        raise ValueError(f"apart is {apart}; it must be 0 or more")
    if values.size == 0:
        return np.empty((0, 2), np.intp)
    # Touching pixels compete whatever `apart` is: a slope has one peak.
    highest = ndi.maximum_filter(values, footprint=_disk(max(apart, 1.5)), mode="nearest")
    found = _middles((values == highest) & (values > least))
    order = np.lexsort((found[:, 1], found[:, 0], -values[found[:, 0], found[:, 1]]))
    kept = found[order][_spaced(found[order], apart)]
    return kept[np.lexsort((kept[:, 1], kept[:, 0]))]


def _disk(radius: float) -> npt.NDArray[np.bool_]:
    y, x = np.ogrid[-int(radius) : int(radius) + 1, -int(radius) : int(radius) + 1]
    return np.asarray(np.hypot(y, x) <= radius)


def _middles(highest: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Of each connected region the pixel nearest to its centre of mass."""
    regions, count = ndi.label(highest, np.ones((3, 3)))
    pixels = np.argwhere(regions)
    region = regions[tuple(pixels.T)] - 1
    sizes = np.bincount(region, minlength=count)[:, None]
    sums = np.stack([np.bincount(region, axis, count) for axis in pixels.T], 1)
    away = ((pixels - (sums / sizes)[region]) ** 2).sum(1)
    order = np.lexsort((pixels[:, 1], pixels[:, 0], away, region))
    return pixels[order[np.searchsorted(region[order], np.arange(count))]]


def _spaced(points: npt.NDArray[np.intp], apart: float) -> npt.NDArray[np.bool_]:
    """Which points stay when each, in their order, drives away the later ones that are near."""
    keep = np.ones(len(points), bool)
    if not len(points):
        return keep
    pairs = cKDTree(points).query_pairs(apart, output_type="ndarray")
    for first, second in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
        if keep[first]:
            keep[second] = False
    return keep
