"""Whose stained matter is: by where its necks are, and by its colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.segmentation import watershed

from napari_wbc_nca.ops.regions import log_ratio, strong_colour_bins

Mask = npt.NDArray[np.bool_]

_KNOWN = 20.0  # weight from which on colours are known
_BOUND = 3.0  # of the evidence


def divided(matter: Mask, own: Mask, other: Mask, smoothing: float) -> npt.NDArray[np.int8]:
    """Matter divided at its necks, by a watershed of the depth from marked pixels.

    Parameters
    ----------
    matter
        ``(h, w)``.
    own, other
        ``(h, w)`` pixels that are the cell's, and other cells'; where both, the cell's. They
        count as matter.
    smoothing
        Width of the Gaussian that smooths depths, in pixels.

    Returns
    -------
    ``(h, w)`` 1 for the cell's, -1 for others', 0 where nothing marked reaches.

    Examples
    --------
    >>> row = np.ones((1, 6), bool)
    >>> at = np.arange(6)[None]
    >>> divided(row & (at != 3), at == 0, at == 5, 0).tolist()
    [[1, 1, 1, 0, -1, -1]]
    """
    matter = matter | own | other
    depth = ndi.gaussian_filter(ndi.distance_transform_edt(matter), smoothing)
    markers = np.where(own, 1, np.where(other, 2, 0)).astype(np.int32)
    parts = watershed(-depth, markers, mask=matter)
    return np.asarray(np.where(parts == 2, -1, parts), np.int8)


def colour_evidence(
    density: npt.NDArray[Any], own: npt.NDArray[Any], other: npt.NDArray[Any], smoothing: float
) -> npt.NDArray[np.float64]:
    r"""Log of how much likelier each pixel's colour is the cell's than others', within ±3.

    .. math:: \log \frac{P(c_p \mid \text{cell})}{P(c_p \mid \text{others})}

    by histograms (Boykov and Jolly, *Interactive Graph Cuts*, ICCV 2001).

    Parameters
    ----------
    density
        ``(h, w, 3)`` optical density.
    own, other
        ``(h, w)`` how much each pixel counts as the cell's, and as others'.
    smoothing
        Width of the Gaussian that smooths the evidence, in pixels.

    Returns
    -------
    ``(h, w)``, 0 where either has too few pixels for colours to be known.
    """
    if np.count_nonzero(own) < _KNOWN or np.count_nonzero(other) < _KNOWN:
        return np.zeros(own.shape)
    ratio = log_ratio(strong_colour_bins(density), own, other)
    return np.asarray(ndi.gaussian_filter(np.clip(ratio, -_BOUND, _BOUND), smoothing))
