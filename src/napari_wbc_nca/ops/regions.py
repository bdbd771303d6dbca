"""From a box around a cell to the region it most likely fills, without any mask.

The colours inside the box's ellipse are told from those around it by histograms, and the
ellipse itself is the prior: a naive Bayes rule per pixel, repeated with its own result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.filters import threshold_otsu

Mask = npt.NDArray[np.bool_]

_BINS = 10
_RANGE = (-0.1, 1.3)  # optical densities told apart; darker pixels share the last bin
_EDGE, _SOFTNESS = 0.95, 0.12  # radius at which the prior is even, and its width, in ellipses
_FLOOR = 1e-4
_STRONG, _MORE = 1.2, 4.0  # density that colours are brought to, and the most they are multiplied
_ROUNDS = 3
_SMOOTHING = 1.5  # pixels; chromatin is grainy, cells are not


def region_in_box(density: npt.NDArray[Any], half_axes: tuple[float, float], seen: Mask) -> Mask:
    """Region of the cell that a box at the window's centre holds.

    Parameters
    ----------
    density
        ``(h, w, 3)`` optical density; the box's centre is the window's.
    half_axes
        Half height and half width of the box, in pixels.
    seen
        ``(h, w)``; False where the window reaches beyond the image.

    Returns
    -------
    ``(h, w)`` bool, one component without holes; the box's ellipse where the colours say nothing.
    """
    radius = _ellipse_radius(density.shape[:2], half_axes)
    prior = np.clip((_EDGE - radius) / _SOFTNESS, -3, 3)
    bins = colour_bins(density)
    inside, outside = (radius < 0.75) & seen, (radius > 1.1) & seen
    mask = radius < _EDGE
    for _ in range(_ROUNDS):
        if not inside.any() or not outside.any():
            break
        evidence = log_likelihood_ratio(bins, inside, outside) + prior
        mask = ndi.gaussian_filter(evidence, _SMOOTHING) > 0
        inside, outside = (mask | (radius < 0.4)) & seen, ~mask & (radius > 0.6) & seen
    return _main_piece(mask, radius < 0.4)


def nucleus_region(density: npt.NDArray[Any], cell: Mask) -> Mask:
    """Nucleus within a known cell: Otsu of a density in which nuclei are dark in every stain.

    Red counts most, as nuclei are blue to purple; green half; blue half against, since granules
    and haemoglobin absorb it. The rim of the background takes part in the threshold.
    """
    dark = density[..., 0] + 0.5 * density[..., 1] - 0.5 * density[..., 2]
    dark = ndi.gaussian_filter(dark, _SMOOTHING)
    if not cell.any():
        return np.zeros_like(cell)
    low, high = np.percentile(dark[cell], (2, 98))
    if not low < high:
        return np.zeros_like(cell)
    dark = np.clip(dark, low, high)
    threshold = threshold_otsu(dark[ndi.binary_dilation(cell, iterations=3)])
    return np.asarray((dark > threshold) & cell)


def _ellipse_radius(
    shape: tuple[int, ...], half_axes: tuple[float, float]
) -> npt.NDArray[np.float64]:
    y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
    return np.asarray(np.hypot(y[:, None] / half_axes[0], x[None] / half_axes[1]))


def colour_bins(density: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Number of the colour, of `_BINS` cubed, that each pixel of ``(h, w, 3)`` density has."""
    low, high = _RANGE
    scaled = (np.asarray(density) - low) / (high - low) * _BINS
    index = scaled.clip(0, _BINS - 1).astype(np.intp)
    return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(index, -1, 0)), (_BINS,) * 3))


def strong_colour_bins(density: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Number of each pixel's colour; a faint picture is made as strong as others first."""
    strength = float(np.quantile(density, 0.98))
    return colour_bins(density * np.clip(_STRONG / max(strength, 1e-3), 1, _MORE))


def log_likelihood_ratio(
    bins: npt.NDArray[np.intp], inside: npt.NDArray[Any], outside: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """Log of how much more frequent each pixel's colour is in `inside` than in `outside`.

    Both are ``(h, w)``: masks, or how much each pixel counts.
    """

    def share(weight: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        counts = np.bincount(bins.ravel(), weight.ravel(), minlength=_BINS**3)
        smooth = ndi.gaussian_filter(counts.reshape((_BINS,) * 3), 1)
        return np.asarray(smooth / smooth.sum() + _FLOOR).ravel()

    return np.asarray(np.log(share(inside) / share(outside))[bins])


def _main_piece(mask: Mask, core: Mask) -> Mask:
    pieces, _ = ndi.label(mask)
    at_core = pieces[core & mask]
    if at_core.size == 0:
        return mask
    return np.asarray(ndi.binary_fill_holes(pieces == np.bincount(at_core).argmax()))
