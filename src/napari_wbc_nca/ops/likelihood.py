"""Likelihood of a cell's centre: the largest of the Gaussians around all centroids."""

from __future__ import annotations

from math import ceil, log, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

LEAST = 1e-4
"""Likelihood below which it is 0."""
_AT_ONCE = 2**20  # pixels of the windows that are held at a time


def likelihood(
    shape: tuple[int, int], centres: npt.ArrayLike, sigma: float
) -> npt.NDArray[np.float32]:
    r"""Likelihood map of centroids, Nishimura et al. (MICCAI 2019), equation 1.

    .. math:: L(p) = \max_u \exp\left(-\frac{\lVert p - c_u \rVert^2}{2 σ^2}\right)

    Only a window around each centroid is looked at: beyond it the value would be below
    `LEAST`, and is 0.

    Parameters
    ----------
    shape
        Height and width in pixels.
    centres
        ``(N, 2)`` y, x in pixels; the middle of the first pixel is (0, 0). Any number of them
        may coincide or lie outside.
    sigma
        σ in pixels.

    Returns
    -------
    ``(Y, X)`` float32 in 0–1

    Raises
    ------
    ValueError
        When σ is not positive, or a centre is not finite.

    Examples
    --------
    >>> likelihood((1, 4), [[0, 1], [0, 3]], sigma=1).round(2).tolist()
    [[0.6100000143051147, 1.0, 0.6100000143051147, 1.0]]
    """
    points = np.asarray(centres, np.float64).reshape(-1, 2)
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}; it must be positive")
    if not np.isfinite(points).all():
        raise ValueError("a centre is NaN or infinite; expected y, x in pixels")
    radius = ceil(sigma * sqrt(-2 * log(LEAST))) + 1
    border = 2 * radius  # takes what reaches outside
    padded = np.zeros(np.add(shape, 2 * border), np.float32)
    points = points[((points > -radius) & (points < np.add(shape, radius - 1))).all(1)]
    count = max(1, _AT_ONCE // (2 * radius + 1) ** 2)
    for first in range(0, len(points), count):
        _raise(padded, points[first : first + count] + border, sigma, radius)
    return padded[border : border + shape[0], border : border + shape[1]].copy()


def _raise(
    padded: npt.NDArray[np.float32], points: npt.NDArray[Any], sigma: float, radius: int
) -> None:
    """Raise the pixels around `points` to their Gaussians."""
    pixels = np.rint(points).astype(int)[..., None] + np.arange(-radius, radius + 1)  # (N, 2, k)
    profiles = np.exp(-0.5 * ((pixels - points[..., None]) / sigma) ** 2)
    values = (profiles[:, 0, :, None] * profiles[:, 1, None, :]).astype(np.float32)
    values[values < LEAST] = 0
    flat = pixels[:, 0, :, None] * padded.shape[1] + pixels[:, 1, None, :]
    np.maximum.at(padded.reshape(-1), flat.reshape(-1), values.reshape(-1))
