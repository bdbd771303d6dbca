"""Centres of bright blobs, such as nuclei in a stained channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.feature import blob_log
from skimage.filters import threshold_otsu

_SIGMAS = (2.0, 24.0)  # of the blobs that are looked for where their size is not known, in pixels
_AROUND = (0.7, 1.4)  # of a known size
_SCALES = 9
_OVERLAP = 0.5  # share of the smaller of two blobs that the other covers, above which they are one


def blobs(values: npt.NDArray[Any], diameter: float = 0.0) -> npt.NDArray[np.float64]:
    r"""Centres of bright blobs, by the Laplacian of a Gaussian over several scales.

    A disk of radius :math:`r` answers most at :math:`σ = r / \sqrt 2`. What is found must also be
    brighter than Otsu's threshold.

    Parameters
    ----------
    values
        ``(Y, X)`` brightness.
    diameter
        Of a blob in pixels; 0 looks for all from 6 to 68.

    Returns
    -------
    ``(N, 2)`` y, x in raster order

    Raises
    ------
    ValueError
        When `values` is no plane, or not finite.
    """
    plane = np.asarray(values, np.float64)
    if plane.ndim != 2:
        raise ValueError(f"a stained channel has shape {plane.shape}; expected one plane (Y, X)")
    if not np.isfinite(plane).all():
        raise ValueError("a stained channel holds NaN or infinity; expected brightness")
    if plane.size == 0 or plane.max() <= plane.min():
        return np.empty((0, 2))
    scaled = (plane - plane.min()) / (plane.max() - plane.min())
    if not diameter:
        # A first look at all sizes tells the typical one.
        sizes = _found(scaled, *_SIGMAS)[:, 2]
        if not len(sizes):
            return np.empty((0, 2))
        diameter = float(np.median(sizes)) * np.sqrt(8)
    found = _found(scaled, *(diameter / np.sqrt(8) * factor for factor in _AROUND))[:, :2]
    return np.asarray(found[np.lexsort((found[:, 1], found[:, 0]))])


def _found(scaled: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
    """``(N, 3)`` y, x and σ of bright blobs."""
    found = blob_log(
        scaled, low, high, _SCALES, threshold=0.1, overlap=_OVERLAP, exclude_border=False
    )
    pixels = found[:, :2].astype(int)
    bright = scaled[pixels[:, 0], pixels[:, 1]] > threshold_otsu(scaled)
    return np.asarray(found[bright], np.float64)
