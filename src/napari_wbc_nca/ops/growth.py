"""From a response that marks part of a cell to the whole stained cell around it.

Stained matter is told from the empty background by its density, cut into its convex pieces by
a watershed of the distance to its border, and a piece that the response marks belongs to the
cell. Colours and response then move the border to other pieces, which mostly are red cells; an
opening by a disk half as wide as the cell cuts off what still hangs on by a neck.
All lengths are pixels of a picture in which a white blood cell is about 56 pixels wide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.feature import peak_local_max
from skimage.morphology import remove_small_holes
from skimage.segmentation import watershed

from napari_wbc_nca.ops.regions import log_likelihood_ratio, strong_colour_bins
from napari_wbc_nca.ops.response import otsu_threshold

Mask = npt.NDArray[np.bool_]

_DARKEST = 0.3  # summed density from which on matter is stained for sure
_HOLE = 100  # pixels; pale middles of red cells are larger
_APART = 7  # least distance of two pieces' middles
_FILLED = 0.5  # share of a piece that the response marks
_HELD, _SPOT = 0.3, 200  # share of a marked spot that a piece holds, and pixels of the spot
_LEAST = 0.4  # response that marks, at least
_OTHERS = 300  # pixels of other matter from which on its colours are known
_USUAL = 0.9  # quantile of the response that is usual of other matter
_COLOUR, _RESPONSE, _PLACE = 1.4, 0.7, 0.2  # weights; the last, of lying in a marked piece
_DIM = 0.5  # what a pixel of a marked piece counts as its colour, beside its response
_ROUND = 0.5  # radius of the disk that fits all parts of a cell, in that of the largest which fits


def grow_region(response: npt.NDArray[Any], density: npt.NDArray[Any]) -> Mask:
    """Stained matter that belongs to what the response marks.

    Parameters
    ----------
    response
        ``(h, w)`` in 0–1.
    density
        ``(h, w, 3)`` optical density.

    Returns
    -------
    ``(h, w)`` bool
    """
    seed = response_seed(response)
    stained = stained_mask(density) | seed
    found = convex_pieces(stained)
    return open_components(_settled(_owned(found, seed)[found] | seed, stained, response, density))


def response_seed(response: npt.NDArray[Any]) -> Mask:
    """Pixels that the response marks: above Otsu's threshold, and above a least one."""
    return np.asarray(response > max(otsu_threshold(response), _LEAST))


def open_components(mask: Mask) -> Mask:
    """Each component of `mask` opened by a disk, whose size follows the component's own.

    Parameters
    ----------
    mask
        ``(h, w)``; it goes on beyond the window's border as it is there.

    Returns
    -------
    ``(h, w)`` bool, the part of the mask that disks cover whose radius is half that of the
    largest one which lies within the same component.
    """
    components, count = ndi.label(mask)
    if not count:
        return mask
    depth = ndi.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
    deepest = np.concatenate([[0.0], ndi.maximum(depth, components, np.arange(1, count + 1))])
    radius = _ROUND * deepest[components]
    distance, nearest = ndi.distance_transform_edt(depth <= radius, return_indices=True)
    return np.asarray(mask & (distance <= radius[tuple(nearest)]))


def _owned(pieces: npt.NDArray[np.int32], seed: Mask) -> Mask:
    """Which pieces belong to the seed: those it fills, and those that hold much of one spot.

    A spot is a connected part of the seed; a nucleus is large, what leaks into the rim of a
    neighbour is only a small share of its spot.
    """
    spots, _ = ndi.label(seed)
    shared = np.zeros((int(pieces.max()) + 1, int(spots.max()) + 1))
    np.add.at(shared, (pieces[seed], spots[seed]), 1)
    filled = shared.sum(1) > _FILLED * np.bincount(pieces.ravel(), minlength=len(shared))
    sizes = shared.sum(0)
    held = ((shared >= _HELD * sizes) & (sizes >= _SPOT)).any(1)
    owned = filled | held
    owned[0] = False
    return np.asarray(owned)


def stained_mask(density: npt.NDArray[Any]) -> Mask:
    """Whatever is not empty background: Otsu of the summed density, cut off where dark."""
    dark = ndi.gaussian_filter(np.clip(density.sum(-1), 0, _DARKEST), 1)
    return np.asarray(remove_small_holes(dark > otsu_threshold(dark), max_size=_HOLE))


def convex_pieces(stained: Mask) -> npt.NDArray[np.int32]:
    """Convex pieces of the stained matter, numbered from 1."""
    depth = ndi.gaussian_filter(ndi.distance_transform_edt(stained), 1)
    peaks = peak_local_max(
        depth, min_distance=_APART, labels=stained.astype(np.int32), exclude_border=False
    )
    markers = np.zeros(stained.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-depth, markers, mask=stained), np.int32)


def _settled(
    mask: Mask, stained: Mask, response: npt.NDArray[Any], density: npt.NDArray[Any]
) -> Mask:
    """`mask` with its border to other stained matter moved to where colour and response change."""
    others = stained & ~ndi.binary_dilation(mask, iterations=2)
    if not mask.any() or others.sum() < _OTHERS:
        return mask
    smooth = ndi.gaussian_filter(response, 1.5)
    colour = np.clip(
        log_likelihood_ratio(strong_colour_bins(density), mask * (smooth + _DIM), others), -3, 3
    )
    usual = float(np.quantile(smooth[others], _USUAL))
    excess = np.clip(_logit(smooth) - _logit(np.asarray(usual)), -2.5, 2.5)
    place = np.where(ndi.gaussian_filter(mask.astype(float), 2) > 0.5, _PLACE, -_PLACE)
    evidence = _COLOUR * colour + _RESPONSE * excess + place
    own = (ndi.gaussian_filter(evidence, 1.5) > 0) & stained
    return np.asarray(ndi.binary_opening(own, iterations=2))


def _logit(probability: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.asarray(np.log((probability + 0.02) / (1.02 - probability)), np.float64)


_KNOWN = 20.0  # weight from which on colours are known
_BOUND = 3.0  # of the evidence


def divide_at_necks(matter: Mask, own: Mask, other: Mask, smoothing: float) -> npt.NDArray[np.int8]:
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
    ratio = log_likelihood_ratio(strong_colour_bins(density), own, other)
    return np.asarray(ndi.gaussian_filter(np.clip(ratio, -_BOUND, _BOUND), smoothing))
