"""From a response map to the mask of the cell at its centre."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu


def otsu(response: npt.ArrayLike) -> float:
    """Threshold of largest between-class variance (Otsu 1979, 256 bins).

    Foreground is ``response > otsu(response)``. A constant response gives that constant, so that
    nothing is foreground.

    Raises
    ------
    ValueError
        When `response` is empty or not finite.

    Examples
    --------
    >>> 0 <= otsu([0, 0, 1, 1]) < 1
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
    """Component (edge neighbours) of `mask` that holds `centre`, else the nearest to it.

    Parameters
    ----------
    mask
        ``(Y, X)`` bool; an empty mask stays empty.
    centre
        ``(y, x)`` in pixels.
    """
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return np.zeros(mask.shape, bool)
    nearest = ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2).argmin()
    labels, _ = ndimage.label(mask)
    component: npt.NDArray[np.bool_] = labels == labels[rows[nearest], columns[nearest]]
    return component


def mask_from_response(
    response: npt.ArrayLike, threshold: float, centre: tuple[float, float]
) -> npt.NDArray[np.bool_]:
    """Mask of the cell at `centre`: its component of ``response > threshold``, holes filled."""
    above = np.asarray(response, dtype=np.float64) > threshold
    filled: npt.NDArray[np.bool_] = ndimage.binary_fill_holes(component_at_centre(above, centre))
    return filled
