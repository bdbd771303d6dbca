"""Region growing: from a response that marks part of a cell to the whole stained cell around it.

A density threshold separates stained matter from the empty background, a watershed of the distance
to its border cuts it into convex pieces, and a piece that the response marks belongs to the cell.
Colours and response then move the border to other pieces, mostly red cells; an opening by a disk
half as wide as the cell removes what is still attached by a neck.
All lengths are pixels of a picture in which a white blood cell is about 56 pixels wide.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.feature import peak_local_max
from skimage.morphology import remove_small_holes
from skimage.segmentation import watershed

from napari_wbc_nca.ops.regions import log_likelihood_ratio, strong_colour_bins
from napari_wbc_nca.ops.response import otsu_threshold
from napari_wbc_nca.ops.stain import STAINED_DENSITY

Mask = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float64]

_HOLE = 100  # pixels; pale middles of red cells are larger
_MIN_DISTANCE = 7  # of the middles of two pieces
_FILLED = 0.5  # share of a piece that the response marks
_HELD, _SPOT = 0.3, 200  # share of a marked spot that a piece holds, and pixels of the spot
_MIN_RESPONSE = 0.4  # that marks a pixel
_OTHERS = 300  # pixels of other matter from which on its colours are known
_USUAL = 0.9  # quantile of the response that is usual of other matter
_COLOUR, _RESPONSE, _PLACE = 1.4, 0.7, 0.2  # weights; the last, of lying in a marked piece
_DIM = 0.5  # weight of the colours of a marked piece's pixel, beside its response
_ROUND = 0.5  # radius of the disk that fits all parts of a cell, in that of the largest which fits
_RELATIVE, _FAINTEST = 0.98, 0.3  # quantile of density that others are divided by, and its least
_SPAN = 28.0  # pixels of distance that count as 1: half a cell
_MIN_WEIGHT = 20.0  # of pixels from which on their colours are known
_BOUND = 3.0  # of the evidence of colours


class BorderReadout(NamedTuple):
    """Linear readout of the first K :data:`BORDER_TERMS`, positive in the cell."""

    weights: Float  # (K,)
    bias: float


class BorderTerms(NamedTuple):
    """What decides whether a pixel is the cell's: ``(h, w, K)`` values, and the stained pixels."""

    values: Float
    stained: Mask


BORDER_TERMS = (
    *("colour", "response", "place"),
    *("red", "green", "blue"),
    *("red²", "red·green", "red·blue", "green²", "green·blue", "blue²"),
    *("distance", "distance²"),
)
"""Terms at a stained pixel: evidence of its colour in this window, response, whether a marked piece
holds it; densities over the darkest, smoothed, and their products; distance from the middle."""
BUNDLED_BORDER = BorderReadout(np.array([_COLOUR, _RESPONSE, _PLACE]), 0.0)
"""Readout of all bundled models."""


def grow_region(
    response: npt.NDArray[Any],
    density: npt.NDArray[Any],
    border: BorderReadout = BUNDLED_BORDER,
    middle: tuple[float, float] | None = None,
) -> Mask:
    """Grow the pixels that an ``(h, w)`` response in 0–1 marks to the stained matter around them.

    `density` is ``(h, w, 3)`` optical density; `border` decides where the cell ends in it, whose
    `middle` is that of the window by default.
    """
    owned, stained = _marked(response, density)
    terms = _border_terms(owned, stained, response, density)
    if terms is not None and len(border.weights) > terms.shape[-1]:
        terms = np.concatenate([terms, _stain_terms(density, middle)], -1)
    return open_components(owned if terms is None else _refine_border(terms, stained, border))


def grow_to_border(terms: BorderTerms, border: BorderReadout) -> Mask:
    """Do what :func:`grow_region` does, by terms that are known already."""
    values = terms.values[..., : len(border.weights)]
    return open_components(_refine_border(values, terms.stained, border))


def border_terms(
    response: npt.NDArray[Any], density: npt.NDArray[Any], middle: tuple[float, float] | None = None
) -> BorderTerms | None:
    """Compute the terms of :class:`BorderReadout` at each pixel.

    None where nothing is marked, or hardly any other matter is there: nothing is decided then.
    """
    owned, stained = _marked(response, density)
    terms = _border_terms(owned, stained, response, density)
    if terms is None:
        return None
    return BorderTerms(np.concatenate([terms, _stain_terms(density, middle)], -1), stained)


def _marked(response: npt.NDArray[Any], density: npt.NDArray[Any]) -> tuple[Mask, Mask]:
    """Find the pieces of stained matter that are marked, and all stained matter."""
    seed = response_seed(response)
    stained = stained_mask(density) | seed
    pieces = convex_pieces(stained)
    return _owned(pieces, seed)[pieces] | seed, stained


def response_seed(response: npt.NDArray[Any]) -> Mask:
    """Find the pixels whose response is above Otsu's threshold and above a least one."""
    return np.asarray(response > max(otsu_threshold(response), _MIN_RESPONSE))


def stained_mask(density: npt.NDArray[Any]) -> Mask:
    """Find stained matter: summed density above Otsu's threshold, small holes filled."""
    # Cut off where surely stained: nuclei would raise the threshold.
    dark = ndi.gaussian_filter(np.clip(density.sum(-1), 0, STAINED_DENSITY), 1)
    return np.asarray(remove_small_holes(dark > otsu_threshold(dark), max_size=_HOLE))


def convex_pieces(stained: Mask) -> npt.NDArray[np.int32]:
    """Divide stained matter into convex pieces, numbered from 1."""
    depth = ndi.gaussian_filter(ndi.distance_transform_edt(stained), 1)
    peaks = peak_local_max(
        depth, min_distance=_MIN_DISTANCE, labels=stained.astype(np.int32), exclude_border=False
    )
    markers = np.zeros(stained.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-depth, markers, mask=stained), np.int32)


def _owned(pieces: npt.NDArray[np.int32], seed: Mask) -> Mask:
    """Mark pieces that belong to the seed: those it fills, and those that hold much of one spot."""
    # A nucleus is a large spot, of which only a small share leaks into the rim of a neighbour.
    spots, _ = ndi.label(seed)
    shared = np.zeros((int(pieces.max()) + 1, int(spots.max()) + 1))
    np.add.at(shared, (pieces[seed], spots[seed]), 1)
    filled = shared.sum(1) > _FILLED * np.bincount(pieces.ravel(), minlength=len(shared))
    sizes = shared.sum(0)
    owned = filled | ((shared >= _HELD * sizes) & (sizes >= _SPOT)).any(1)
    owned[0] = False
    return np.asarray(owned)


def _refine_border(terms: Float, stained: Mask, border: BorderReadout) -> Mask:
    """Move the border of a cell to where colour and response change in stained matter."""
    evidence = terms @ border.weights + border.bias
    own = (ndi.gaussian_filter(evidence, 1.5) > 0) & stained
    return np.asarray(ndi.binary_opening(own, iterations=2))


def _border_terms(
    mask: Mask, stained: Mask, response: npt.NDArray[Any], density: npt.NDArray[Any]
) -> Float | None:
    """Compute the first three terms ``(h, w, 3)``; None where hardly any other matter is there."""
    others = stained & ~ndi.binary_dilation(mask, iterations=2)
    if not mask.any() or others.sum() < _OTHERS:
        return None
    smooth = ndi.gaussian_filter(response, 1.5)
    bins = strong_colour_bins(density)
    ratio = log_likelihood_ratio(bins, mask * (smooth + _DIM), others)
    usual = float(np.quantile(smooth[others], _USUAL))
    excess = np.clip(_logit(smooth) - _logit(np.asarray(usual)), -2.5, 2.5)
    place = np.where(ndi.gaussian_filter(mask.astype(float), 2) > 0.5, 1.0, -1.0)
    return np.stack([np.clip(ratio, -_BOUND, _BOUND), excess, place], -1)


def _stain_terms(density: npt.NDArray[Any], middle: tuple[float, float] | None) -> Float:
    """Compute the other terms ``(h, w, 11)``: densities, their products, and distances."""
    darkest = max(float(np.quantile(density, _RELATIVE)), _FAINTEST)
    red, green, blue = np.moveaxis(ndi.gaussian_filter(density, (1, 1, 0)) / darkest, -1, 0)
    at = [(size - 1) / 2 for size in red.shape] if middle is None else middle
    y, x = (np.arange(size) - start for size, start in zip(red.shape, at, strict=True))
    away = np.hypot(y[:, None], x) / _SPAN
    products = (red * red, red * green, red * blue, green * green, green * blue, blue * blue)
    return np.stack([red, green, blue, *products, away, away**2], -1).astype(np.float64)


def _logit(probability: npt.NDArray[Any]) -> Float:
    return np.asarray(np.log((probability + 0.02) / (1.02 - probability)), np.float64)


def open_components(mask: Mask) -> Mask:
    """Open each component of a mask by a disk of half the radius of the largest one inside it.

    The mask is taken to go on beyond the window's border.
    """
    components, count = ndi.label(mask)
    if not count:
        return mask
    depth = ndi.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
    radius = _ROUND * ndi.maximum(depth, components, np.arange(count + 1))[components]
    distance, nearest = ndi.distance_transform_edt(depth <= radius, return_indices=True)
    return np.asarray(mask & (distance <= radius[tuple(nearest)]))


def divide_at_necks(matter: Mask, own: Mask, other: Mask, smoothing: float) -> npt.NDArray[np.int8]:
    """Divide stained matter at its necks, by a watershed of the depth from marked pixels.

    Returns ``(h, w)``: 1 for the cell's, -1 for others', 0 for matter without any marked pixel.
    Pixels of the cell, `own`, and of `other` cells count as matter; where both, they are the
    cell's. Depths are smoothed by a Gaussian of width `smoothing` in pixels.

    Examples
    --------
    >>> row = np.ones((1, 6), bool)
    >>> at = np.arange(6)[None]
    >>> divide_at_necks(row & (at != 3), at == 0, at == 5, 0).tolist()
    [[1, 1, 1, 0, -1, -1]]
    """
    matter = matter | own | other
    depth = ndi.gaussian_filter(ndi.distance_transform_edt(matter), smoothing)
    parts = watershed(-depth, np.where(own, 1, 2 * other), mask=matter)
    return np.asarray(np.where(parts == 2, -1, parts), np.int8)


def colour_evidence(
    density: npt.NDArray[Any], own: npt.NDArray[Any], other: npt.NDArray[Any], smoothing: float
) -> Float:
    r"""Log likelihood ratio of each pixel's colour under the cell and under others, within ±3.

    .. math:: \log \frac{P(c_p \mid \text{cell})}{P(c_p \mid \text{others})}

    by histograms (Boykov and Jolly, *Interactive Graph Cuts*, ICCV 2001) of the ``(h, w, 3)``
    optical density. `own` and `other` are ``(h, w)`` weights of pixels in the cell's histogram and
    in that of others; where either has too few, the evidence is 0. It is smoothed by a Gaussian of
    width `smoothing` in pixels.
    """
    if np.count_nonzero(own) < _MIN_WEIGHT or np.count_nonzero(other) < _MIN_WEIGHT:
        return np.zeros(own.shape)
    ratio = log_likelihood_ratio(strong_colour_bins(density), own, other)
    return np.asarray(ndi.gaussian_filter(np.clip(ratio, -_BOUND, _BOUND), smoothing))
