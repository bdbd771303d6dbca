"""Regions of a cell and its nucleus from a box, without any mask.

Naive Bayes per pixel: histograms of the colours inside and outside the box's ellipse give the
likelihoods, the ellipse the prior; repeated with the result in place of the ellipse.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu

Mask = npt.NDArray[np.bool_]

_BINS = 10
_RANGE = (-0.1, 1.3)  # optical densities of the bins; darker pixels share the last one
_EDGE, _SOFTNESS = 0.95, 0.12  # radius at which the prior is even, and its width, in ellipses
_FLOOR = 1e-4
_STRONG, _MORE = 1.2, 4.0  # density that colours are brought to, and the most they are multiplied
_ROUNDS = 3
_SMOOTHING = 1.5  # pixels; chromatin is grainy, cells are not


def region_in_box(density: npt.NDArray[Any], half_axes: tuple[float, float], valid: Mask) -> Mask:
    """Segment the cell in a box at the window's centre, by its ``(h, w, 3)`` optical density.

    Returns ``(h, w)`` bool, one component without holes; the box's ellipse where colours do not
    differ. `half_axes` are half height and half width of the box in pixels; `valid` is ``(h, w)``,
    False where the window reaches beyond the image.
    """
    y, x = (np.arange(n) - (n - 1) / 2 for n in valid.shape)
    radius = np.hypot(y[:, None] / half_axes[0], x / half_axes[1])
    prior = np.clip((_EDGE - radius) / _SOFTNESS, -3, 3)
    bins = colour_bins(density)
    inside, outside = (radius < 0.75) & valid, (radius > 1.1) & valid
    mask: Mask = radius < _EDGE
    for _ in range(_ROUNDS):
        if not inside.any() or not outside.any():
            break
        evidence = log_likelihood_ratio(bins, inside, outside) + prior
        mask = ndi.gaussian_filter(evidence, _SMOOTHING) > 0
        inside, outside = (mask | (radius < 0.4)) & valid, ~mask & (radius > 0.6) & valid
    pieces, _ = ndi.label(mask)
    at_core = pieces[mask & (radius < 0.4)]
    if at_core.size == 0:
        return mask
    return np.asarray(ndi.binary_fill_holes(pieces == np.bincount(at_core).argmax()))


def nucleus_region(density: npt.NDArray[Any], cell: Mask) -> Mask:
    """Segment the nucleus of a known cell: Otsu of a density that is high in nuclei of every stain.

    Red counts most, as nuclei are blue to purple; green half; blue half against, since granules
    and haemoglobin absorb it. The rim of the background takes part in the threshold.
    """
    dark = density[..., 0] + 0.5 * density[..., 1] - 0.5 * density[..., 2]
    dark = ndi.gaussian_filter(dark, _SMOOTHING)
    low, high = np.percentile(dark[cell], (2, 98)) if cell.any() else (0, 0)
    if not low < high:
        return np.zeros_like(cell)
    dark = np.clip(dark, low, high)
    threshold = threshold_otsu(dark[ndi.binary_dilation(cell, iterations=3)])
    return np.asarray((dark > threshold) & cell)


def colour_bins(density: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Compute the histogram bin, of `_BINS` cubed, of each pixel of ``(h, w, 3)`` density."""
    low, high = _RANGE
    scaled = (np.asarray(density) - low) / (high - low) * _BINS
    index = scaled.clip(0, _BINS - 1).astype(np.intp)
    return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(index, -1, 0)), (_BINS,) * 3))


def strong_colour_bins(density: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Compute the histogram bin of each pixel after strengthening a faint picture."""
    strength = float(np.quantile(density, 0.98))
    return colour_bins(density * np.clip(_STRONG / max(strength, 1e-3), 1, _MORE))


def log_likelihood_ratio(
    bins: npt.NDArray[np.intp], inside: npt.NDArray[Any], outside: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """Log likelihood ratio of each pixel's colour inside and outside, by smoothed histograms.

    Both are ``(h, w)`` masks or weights of pixels.
    """

    def share(weight: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        counts = np.bincount(bins.ravel(), weight.ravel(), minlength=_BINS**3)
        smooth = ndi.gaussian_filter(counts.reshape((_BINS,) * 3), 1)
        return np.asarray(smooth / smooth.sum() + _FLOOR).ravel()

    return np.asarray(np.log(share(inside) / share(outside))[bins])
