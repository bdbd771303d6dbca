"""Centroids of cells: their likelihood map, its peaks, and bright blobs of a nuclear stain."""

from __future__ import annotations

from math import ceil, log, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from scipy.spatial import cKDTree
from skimage.feature import blob_log
from skimage.filters import threshold_otsu

Points = npt.NDArray[np.intp]

MIN_LIKELIHOOD = 1e-4  # below which it is 0
_WINDOW_PIXELS = 2**20  # of windows that are held at a time
_SIGMAS = (2.0, 24.0)  # of blobs of unknown size, in pixels
_AROUND = (0.7, 1.4)  # scales of blobs of known size, relative to it
_SCALES = 9
_OVERLAP = 0.5  # share of the smaller of two blobs that the other covers, above which they are one


def likelihood_map(
    shape: tuple[int, int], centres: npt.ArrayLike, sigma: float
) -> npt.NDArray[np.float32]:
    r"""Draw the likelihood map of centroids, Nishimura et al. (MICCAI 2019), equation 1.

    .. math:: L(p) = \max_u \exp\left(-\frac{\lVert p - c_u \rVert^2}{2 σ^2}\right)

    It is 0 where the value is below `MIN_LIKELIHOOD`, so that each centroid needs a window only.
    Of `shape` (height, width), it is ``(Y, X)`` float32 in 0–1. The `centres`, ``(N, 2)`` y, x in
    pixels from the middle of the first one, may coincide, and lie outside; `sigma` is in pixels.
    A σ that is not positive, or a centre that is not finite, raises a ValueError.

    Examples
    --------
    >>> likelihood_map((1, 4), [[0, 1], [0, 3]], sigma=1).round(2).tolist()
    [[0.6100000143051147, 1.0, 0.6100000143051147, 1.0]]
    """
    points = np.asarray(centres, np.float64).reshape(-1, 2)
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}; it must be positive")
    if not np.isfinite(points).all():
        raise ValueError("a centre is NaN or infinite; expected y, x in pixels")
    radius = ceil(sigma * sqrt(-2 * log(MIN_LIKELIHOOD))) + 1
    border = 2 * radius  # holds what reaches outside
    padded: npt.NDArray[np.float32] = np.zeros(np.add(shape, 2 * border), np.float32)
    points = points[((points > -radius) & (points < np.add(shape, radius - 1))).all(1)] + border
    steps = np.arange(-radius, radius + 1)
    count = max(1, _WINDOW_PIXELS // steps.size**2)
    for first in range(0, len(points), count):
        some = points[first : first + count][..., None]
        pixels = np.rint(some).astype(int) + steps  # (N, 2, k)
        profiles = np.exp(-0.5 * ((pixels - some) / sigma) ** 2)
        values = (profiles[:, 0, :, None] * profiles[:, 1, None, :]).astype(np.float32)
        values[values < MIN_LIKELIHOOD] = 0
        flat = pixels[:, 0, :, None] * padded.shape[1] + pixels[:, 1, None, :]
        np.maximum.at(padded.reshape(-1), flat.reshape(-1), values.reshape(-1))
    return padded[border : border + shape[0], border : border + shape[1]].copy()


def find_peaks(
    values: npt.NDArray[np.floating], min_value: float, min_distance: float = 2.0
) -> Points:
    """Find the pixels that are above a value and highest within a distance.

    Equally high pixels that touch are one peak, at the pixel nearest to their middle, where
    scikit-image's ``peak_local_max`` returns each or none. Of two peaks that are equally high and
    too close, the first in raster order stays.

    Returns ``(N, 2)`` y, x in raster order. Peaks of the ``(Y, X)`` `values` are above `min_value`,
    and `min_distance` is in pixels, 0 or more; 2 in the published code. Another number of axes, or
    a negative distance, raises a ValueError.

    Examples
    --------
    >>> find_peaks(np.asarray([[0.0, 0.9, 0.9, 0.9, 0.0, 0.0, 0.6]]), 0.5).tolist()
    [[0, 2], [0, 6]]
    """
    if values.ndim != 2:
        raise ValueError(f"values have shape {values.shape}; expected (Y, X)")
    if not min_distance >= 0:
        raise ValueError(f"min_distance is {min_distance}; it must be 0 or more")
    if values.size == 0:
        return np.empty((0, 2), np.intp)
    # Touching pixels compete at any distance: a slope has one peak.
    radius = max(min_distance, 1.5)
    steps = np.arange(-int(radius), int(radius) + 1)
    disk = np.hypot(steps[:, None], steps) <= radius
    highest = ndi.maximum_filter(values, footprint=disk, mode="nearest")
    found = _middles((values == highest) & (values > min_value))
    order = np.lexsort((found[:, 1], found[:, 0], -values[tuple(found.T)]))
    return _raster_order(found[order][_spaced(found[order], min_distance)])


def _middles(highest: npt.NDArray[np.bool_]) -> Points:
    """Return the pixel of each connected region that is nearest to its centre of mass."""
    regions, count = ndi.label(highest, np.ones((3, 3)))
    pixels = np.argwhere(regions)
    region = regions[tuple(pixels.T)] - 1
    sums = np.stack([np.bincount(region, axis, count) for axis in pixels.T], 1)
    middles = sums / np.bincount(region, minlength=count)[:, None]
    away = ((pixels - middles[region]) ** 2).sum(1)
    order = np.lexsort((away, region))  # stable: equally near pixels in raster order
    return pixels[order[np.searchsorted(region[order], np.arange(count))]]


def _spaced(points: Points, min_distance: float) -> npt.NDArray[np.bool_]:
    """Suppress points that are no maxima: each one removes the later ones near it."""
    keep = np.ones(len(points), bool)
    pairs = cKDTree(points).query_pairs(min_distance, output_type="ndarray")
    for first, second in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
        if keep[first]:
            keep[second] = False
    return keep


def _raster_order(points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return points[np.lexsort((points[:, 1], points[:, 0]))]


def detect_blobs(values: npt.NDArray[Any], diameter: float = 0.0) -> npt.NDArray[np.float64]:
    r"""Detect bright blobs, such as stained nuclei, by the Laplacian of a Gaussian.

    A disk of radius :math:`r` has the largest response at :math:`σ = r / \sqrt 2`. Centres are also
    brighter than Otsu's threshold.

    Returns ``(N, 2)`` y, x in raster order. Values that are no finite ``(Y, X)`` brightness raise a
    ValueError. The diameter of a blob is in pixels; 0 takes the typical one of all from 6 to 68.
    """
    plane = np.asarray(values, np.float64)
    if plane.ndim != 2:
        raise ValueError(f"a stained channel has shape {plane.shape}; expected one plane (Y, X)")
    if not np.isfinite(plane).all():
        raise ValueError("a stained channel holds NaN or infinity; expected brightness")
    if plane.size == 0 or plane.max() <= plane.min():
        return np.empty((0, 2))
    scaled = (plane - plane.min()) / (plane.max() - plane.min())
    sigma = diameter / np.sqrt(8)
    if not diameter:
        sizes = _bright_blobs(scaled, *_SIGMAS)[:, 2]
        if not len(sizes):
            return np.empty((0, 2))
        sigma = float(np.median(sizes))
    return _raster_order(_bright_blobs(scaled, _AROUND[0] * sigma, _AROUND[1] * sigma)[:, :2])


def _bright_blobs(scaled: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.float64]:
    """Find bright blobs: ``(N, 3)`` y, x and σ, with σ from `low` to `high`."""
    found = blob_log(
        scaled, low, high, _SCALES, threshold=0.1, overlap=_OVERLAP, exclude_border=False
    )
    bright = scaled[tuple(found[:, :2].astype(int).T)] > threshold_otsu(scaled)
    return np.asarray(found[bright], np.float64)
