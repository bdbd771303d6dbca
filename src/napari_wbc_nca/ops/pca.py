"""First principal component of a window's features, with a rule for its sign."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Component(NamedTuple):
    """A direction in feature space.

    Attributes
    ----------
    mean
        ``(C,)`` float64 mean of the features.
    vector
        ``(C,)`` float64 unit vector; zeros where the features do not vary.
    explained
        Share of the variance along `vector`, 0–1.
    """

    mean: npt.NDArray[np.float64]
    vector: npt.NDArray[np.float64]
    explained: float


def first_component(features: npt.ArrayLike) -> Component:
    """Direction of largest variance, from the float64 covariance matrix.

    LAPACK leaves the sign open; here the coefficient of largest magnitude is positive (the first
    of them on a tie), so that equal features give equal vectors on every machine.

    Parameters
    ----------
    features
        ``(N, C)``: N pixels of C channels.

    Raises
    ------
    ValueError
        When `features` is empty, not two-dimensional or not finite.

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
    centred = values - mean
    variances, vectors = np.linalg.eigh(centred.T @ centred)
    vector = vectors[:, -1]
    if vector[np.abs(vector).argmax()] < 0:
        vector = -vector
    return Component(mean, vector, float(variances[-1] / np.trace(centred.T @ centred)))


def project(features: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Response ``(H, W)`` of a window's features ``(H, W, C)`` along their first component.

    Oriented by :func:`orient`, so that the cell in the middle is bright.
    """
    values = np.asarray(features, dtype=np.float64)
    component = first_component(values.reshape(-1, values.shape[-1]))
    response = (values - component.mean) @ component.vector
    return (response * orient(response)).astype(np.float32)


def orient(response: npt.ArrayLike) -> int:
    """Sign that makes the middle of a window brighter than its border.

    A window is cut around a cell, so the mean over the centre disc (radius a quarter of the
    shorter side) must exceed the mean over the border ring (an eighth of the shorter side wide).

    Returns
    -------
    int
        -1 where the centre is darker, else 1.

    Examples
    --------
    >>> orient([[5, 5, 5], [5, 0, 5], [5, 5, 5]])
    -1
    """
    values = np.asarray(response, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"the response has shape {values.shape}; give (Y, X), not empty")
    height, width = values.shape
    y, x = np.ogrid[:height, :width]
    radius = max(min(height, width) / 4, 0.75)
    disc = (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2 <= radius**2
    ring = max(1, min(height, width) // 8)
    border = np.ones(values.shape, bool)
    border[ring : height - ring, ring : width - ring] = False
    return -1 if values[disc].mean() < values[border].mean() else 1
