"""Foreground of a picture, without labels: smooth, Sobel, smooth, erode, threshold (CellMixer)."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.filters import sobel, threshold_otsu, threshold_triangle
from skimage.morphology import remove_small_holes, remove_small_objects

if TYPE_CHECKING:
    from napari_wbc_nca.ops.foreground_params import ForegroundParams

Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_FLAT = 1e-6  # range of a response, in brightness, below which a picture is flat
_DARK = 0.01  # brightness added before the logarithm, so that noise near 0 does not decide


def foreground(image: npt.NDArray[Any], params: ForegroundParams) -> Mask:
    r"""Segment cells from the empty background of a picture.

    .. math:: M = \bigl[\, \mathrm{erode}(G_r * |\nabla (G_s * I)|) > t \,\bigr]

    with the Sobel gradient; then small holes are filled and specks dropped. Of several colours
    the strongest counts. Returns ``(Y, X)`` bool, all False where the picture is flat.

    The `image` is ``(Y, X)`` or ``(Y, X, C)``, else ValueError; integers are taken as fractions of
    their type's largest value, floats as they are, in 0–1.

    Examples
    --------
    >>> from napari_wbc_nca.ops.foreground_params import ForegroundParams
    >>> disk = np.hypot(*np.mgrid[-32:32, -32:32]) < 10
    >>> abs(foreground(disk.astype(float), ForegroundParams()) & ~disk).mean() < 0.2
    np.True_
    """
    response = foreground_response(_unit(image), params)
    if np.ptp(response) < _FLAT:
        return np.zeros(response.shape, bool)
    above = response > foreground_threshold(response, params)
    return remove_small(above, params.fill, params.smallest)


def foreground_response(image: Float, params: ForegroundParams) -> Float:
    """Compute the ``(Y, X)`` response to cells of a ``(Y, X, C)`` float32 image in 0–1.

    It is smoothed and eroded, before the threshold.
    """
    # A width of 0 leaves a picture as it is.
    blur = partial(ndi.gaussian_filter, mode="nearest")
    smooth = [blur(channel, params.smooth) for channel in np.moveaxis(image, -1, 0)]
    rules: dict[str, list[Any]] = {
        "edges": [sobel],
        "contrast": [_contrast],
        "both": [sobel, _contrast],
    }
    found = [rule(channel) for rule in rules[params.response] for channel in smooth]
    evened = blur(np.max(found, axis=0), params.resmooth)
    return np.asarray(ndi.minimum_filter(evened, params.erode), np.float32)


def foreground_threshold(response: Float, params: ForegroundParams) -> float | Float:
    """Compute the threshold of the response: a number, or ``(Y, X)`` where it is adaptive."""
    if params.threshold == "fixed":
        return params.level
    if params.threshold == "adaptive":
        # As in scikit-image's `threshold_local`: a Gaussian that ends with the block.
        around = ndi.gaussian_filter(response, (params.block - 1) / 6, mode="reflect")
        return np.asarray(around + params.offset, np.float32)
    if params.threshold == "otsu_log":
        logarithm = threshold_otsu(np.log(response + _DARK))
        return float(params.factor * (np.exp(logarithm) - _DARK))
    rules: dict[str, Any] = {"otsu": threshold_otsu, "triangle": threshold_triangle}
    return float(params.factor * rules[params.threshold](response))


def remove_small(mask: Mask, fill: float, smallest: float) -> Mask:
    """Fill holes below a disk of diameter `fill`, drop components below one of `smallest`."""
    filled = remove_small_holes(mask, max_size=_below_disk(fill))
    return np.asarray(remove_small_objects(filled, max_size=_below_disk(smallest)))


def _below_disk(diameter: float) -> int:
    """Return the largest number of pixels that is below the area of a disk."""
    return max(ceil(np.pi / 4 * diameter**2) - 1, 0)


def _unit(image: npt.NDArray[Any]) -> Float:
    """Return ``(Y, X, C)`` float32, with 1 for the largest value of an integer type."""
    if image.ndim not in (2, 3):
        raise ValueError(f"the image's shape is {image.shape}; expected (Y, X) or (Y, X, C)")
    array = image[..., None] if image.ndim == 2 else image[..., :3]
    largest = np.iinfo(array.dtype).max if array.dtype.kind in "ui" else 1
    return np.asarray(array, np.float32) / np.float32(largest)


def _contrast(image: Float) -> Float:
    """Compute the distance from the most frequent brightness, which is the background's."""
    counts, edges = np.histogram(image, 256)
    peak = ndi.gaussian_filter1d(counts.astype(float), 2).argmax()
    return np.asarray(np.abs(image - (edges[peak] + edges[peak + 1]) / 2), np.float32)
