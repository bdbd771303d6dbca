"""Response map of a window, by its features' first component, and the mask of its cell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu


def otsu_threshold(response: npt.ArrayLike) -> float:
    """Compute the threshold of largest between-class variance (Otsu 1979, 256 bins).

    Foreground is ``response > threshold``. A constant response gives that constant, so that
    nothing is foreground; one that is empty or not finite raises ValueError.

    Examples
    --------
    >>> 0 <= otsu_threshold([0, 0, 1, 1]) < 1
    True
    """
    values = np.asarray(response, dtype=np.float64)
    if values.size == 0:
        raise ValueError("the response is empty; Otsu's threshold needs at least one pixel")
    if not np.isfinite(values).all():
        raise ValueError("the response holds NaN or infinity; check the image and the weights")
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low
    # Scaled first, since a histogram refuses ranges of a few units in the last place.
    return low + float(threshold_otsu((values - low) / (high - low))) * (high - low)


def component_at_centre(
    mask: npt.NDArray[np.bool_], centre: tuple[float, float]
) -> npt.NDArray[np.bool_]:
    """Select the component (edge neighbours) of a mask that is nearest to a point in pixels."""
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return np.zeros(mask.shape, bool)
    nearest = ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2).argmin()
    labels, _ = ndi.label(mask)
    return np.asarray(labels == labels[rows[nearest], columns[nearest]])


def mask_from_response(
    response: npt.ArrayLike, threshold: float, centre: tuple[float, float]
) -> npt.NDArray[np.bool_]:
    """Segment the cell at `centre`: its component of ``response > threshold``, holes filled."""
    above = np.asarray(response, dtype=np.float64) > threshold
    return np.asarray(ndi.binary_fill_holes(component_at_centre(above, centre)))


class Component(NamedTuple):
    """Principal component of features of C channels."""

    mean: npt.NDArray[np.float64]  # (C,)
    vector: npt.NDArray[np.float64]  # (C,) of length 1; zeros where the features do not vary
    explained: float  # share of the variance along the vector


def first_component(features: npt.ArrayLike) -> Component:
    """Find the direction of largest variance of ``(N, C)`` pixels, by their float64 covariance.

    LAPACK leaves the sign open; here the coefficient of largest magnitude is positive (the first
    of them on a tie), so that equal features give equal vectors on every machine. Raises ValueError
    when `features` is empty, not two-dimensional or not finite.

    Examples
    --------
    >>> first_component([[0, 0], [3, 4]]).vector.round(3).tolist()
    [0.6, 0.8]
    """
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"features have shape {values.shape}; give (pixels, channels), not empty")
    if not np.isfinite(values).all():
        raise ValueError("features hold NaN or infinity; check the image and the model's weights")
    mean = values.mean(axis=0)
    if not np.ptp(values, axis=0).any():
        return Component(mean, np.zeros_like(mean), 0.0)
    scatter = (values - mean).T @ (values - mean)
    variances, vectors = np.linalg.eigh(scatter)
    vector = vectors[:, -1]
    if vector[np.abs(vector).argmax()] < 0:
        vector = -vector
    return Component(mean, vector, float(variances[-1] / np.trace(scatter)))


def pca_response(features: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Project a window's features ``(H, W, C)`` to a response ``(H, W)`` by their first component.

    Its sign is that of :func:`orientation`, so that the cell in the middle is bright.
    """
    values = np.asarray(features, dtype=np.float64)
    component = first_component(values.reshape(-1, values.shape[-1]))
    response = (values - component.mean) @ component.vector
    return (response * orientation(response)).astype(np.float32)


def pca_otsu(features: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    r"""Segment a window by the plain mask of NCA-WSS (equation 8).

    .. math:: M = [\, r > \mathrm{Otsu}(r) \,], \quad r = \pm v^\top (c - \mu)

    with the first principal component :math:`v` over all pixels and channels of the features
    ``(H, W, C)``. Every pixel above the threshold belongs to the ``(H, W)`` mask: no piece is
    chosen and no hole filled.

    Examples
    --------
    >>> pca_otsu([[[0], [0], [0]], [[0], [9], [0]], [[0], [0], [0]]]).astype(int).tolist()
    [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    """
    response = pca_response(features)
    return np.asarray(response > otsu_threshold(response))


def orientation(response: npt.ArrayLike) -> int:
    """Compute the sign by which the middle of a window is brighter than its border: 1 or -1.

    A window is cut around a cell, so the mean over the centre disc (radius a quarter of the
    shorter side) must exceed the mean over the border ring (an eighth of the shorter side wide).

    Examples
    --------
    >>> orientation([[5, 5, 5], [5, 0, 5], [5, 5, 5]])
    -1
    """
    values = np.asarray(response, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"the response has shape {values.shape}; give (Y, X), not empty")
    height, width = values.shape
    side = min(height, width)
    y, x = np.ogrid[:height, :width]
    away = (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2
    ring = max(1, side // 8)
    border = np.ones(values.shape, bool)
    border[ring : height - ring, ring : width - ring] = False
    middle = values[away <= max(side / 4, 0.75) ** 2].mean()
    return -1 if middle < values[border].mean() else 1
