"""Seeds and costs by which a cell is cut out of its window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.morphology import remove_small_holes, remove_small_objects

from napari_wbc_nca.ops.graphcut import code_costs, minimum_cut, paper_costs
from napari_wbc_nca.ops.growth import colour_evidence, divide_at_necks
from napari_wbc_nca.ops.response import component_at_centre

if TYPE_CHECKING:
    from napari_wbc_nca.methods.propagation.params import PropagationParams

Mask = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float32]

_SPECK = 3  # pixels that a seed has at least, in the published code
_SALIENT = 0.5  # saliency from which on a pixel is stained matter
_SMOOTH = 0.4  # width of the smoothing of contributions, in σ of the detector
_CLEARLY, _DENSE = 1.5, 0.03  # how much larger than the rivals' seeds are, and how large
_CORE = 1.4  # radius around a centroid in which matter is that cell's for sure, in σ
_GRAIN = 0.18  # width of the smoothing of depths and of evidence, in σ
_HOLE = 2.8  # area of a hole that stained matter has no place for, in σ²
_FAINT, _RATIO = 0.01, 2.0  # what is added to contributions before their log ratio, its bound
_DIM = 0.1  # what a pixel counts for a colour beside its contribution
_CONTRIBUTION = 0.3  # weight of the contributions' log ratio; colours and territory have 1
_MATTER = 0.9  # how likely stained matter is a cell's rather than the background's
_ROUNDS = 2  # cuts, the later ones with the colours of the cut before


@dataclass(frozen=True, eq=False)
class Window:
    """What is known of the surroundings of a cell.

    Attributes
    ----------
    values
        ``(h, w, 3)`` optical density, or brightness.
    salient
        ``(h, w)`` in 0–1: how much a pixel looks like a cell.
    own, rival
        ``(h, w)`` contributions to the cell, and the largest to any other.
    middle
        Place of the cell's centroid.
    others
        ``(N, 2)`` places of the other cells' centroids, also outside the window.
    sigma
        σ of the detector in pixels of the window.
    """

    values: Float
    salient: Float
    own: Float
    rival: Float
    middle: tuple[float, float]
    others: npt.NDArray[np.float64]
    sigma: float

    @property
    def pixel(self) -> tuple[int, int]:
        """Pixel of the window that is nearest to the centroid."""
        y, x = np.clip(np.rint(self.middle).astype(int), 0, np.subtract(self.own.shape, 1))
        return int(y), int(x)

    def near(self, places: npt.ArrayLike, radius: float) -> Mask:
        """``(h, w)`` pixels within a radius around any of some places."""
        y, x = (np.arange(size) for size in self.own.shape)
        result = np.zeros(self.own.shape, bool)
        for row, column in np.asarray(places, float).reshape(-1, 2):
            result |= (y[:, None] - row) ** 2 + (x - column) ** 2 < radius**2
        return result


def cut_out(window: Window, terms: str, params: PropagationParams) -> Mask:
    """Cell of a window, in one piece: the cut's component at the centroid."""
    return TERMS[terms](window, params)


def _published(window: Window, params: PropagationParams) -> Mask:
    own, other = _seeds(window, params)
    return _cut(window, code_costs(1 - window.salient, own, other))


def _paper(window: Window, params: PropagationParams) -> Mask:
    own, other = _seeds(window, params)
    return _cut(window, paper_costs(window.salient, own, other, contrast=window.values))


def _smooth(window: Window, params: PropagationParams) -> Mask:
    first, second = _densities(window)
    seen = window.salient > _SALIENT
    own, other = _clear(first, second) & seen, _clear(second, first) & seen
    own, other = _whole(window, own, other)
    return _cut(window, paper_costs(window.salient, own, other, contrast=window.values))


def _colour(window: Window, params: PropagationParams) -> Mask:
    """The paper's costs, where the saliency is the chance that matter is there, and the cell's.

    Whose it is, colours, territory and contributions tell: those of the cell's territory and
    those around the other cells' centroids first, then those of the cut itself.
    """
    first, second = _densities(window)
    stained = remove_small_holes(
        ndi.gaussian_filter(window.salient, 0.5) > _SALIENT, max_size=int(_HOLE * window.sigma**2)
    )
    seeds, _ = _whole(window, _clear(first, second) & stained, np.zeros_like(stained))
    core = window.near([window.middle], _CORE * window.sigma)
    others = window.near(window.others, _CORE * window.sigma) & ~core
    grain = _GRAIN * window.sigma
    territory = divide_at_necks(stained, core | (seeds & ~others), others, grain)
    ratio = np.clip(np.log((first + _FAINT) / (second + _FAINT)), -_RATIO, _RATIO)
    place = territory + _CONTRIBUTION * ratio
    matter = np.where(stained, np.maximum(window.salient, _MATTER), window.salient)
    mine = (territory > 0) * (first + _DIM)
    theirs = (others & stained) * (second + _DIM)
    for _ in range(_ROUNDS):
        evidence = place + colour_evidence(window.values, mine, theirs, grain)
        sure = seeds & (evidence > 0)
        owned = matter / (1 + np.exp(-evidence))
        none = np.zeros_like(seeds)
        costs = paper_costs(owned, sure if sure.any() else seeds, none, contrast=window.values)
        mask = _cut(window, costs)
        mine, theirs = mask, theirs * ~mask
    return mask


TERMS: Mapping[str, Callable[[Window, PropagationParams], Mask]] = {
    "code": _published,
    "paper": _paper,
    "smooth": _smooth,
    "colour": _colour,
}


def _cut(window: Window, costs: Any) -> Mask:
    return component_at_centre(minimum_cut(costs), window.middle)


def _seeds(window: Window, params: PropagationParams) -> tuple[Mask, Mask]:
    """Seeds of the cell and of the others by their contributions alone.

    The rim of the window is no cell's: a cut there would cost nothing.
    """
    own = (window.own > window.rival) & (window.own > params.foreground_seed)
    other = (window.rival > window.own) & (window.rival > params.background_seed)
    own, other = _whole(window, own, other)
    rim = np.pad(np.zeros(np.subtract(own.shape, 2).clip(0), bool), 1, constant_values=True)
    return own, other | (rim[: own.shape[0], : own.shape[1]] & ~own)


def _whole(window: Window, own: Mask, other: Mask) -> tuple[Mask, Mask]:
    """Seeds without holes and specks; the centroid's pixel where the cell has none."""
    own, other = ndi.binary_fill_holes(own), ndi.binary_fill_holes(other)
    own = remove_small_objects(own, max_size=_SPECK - 1, connectivity=2)
    if not (own & ~other).any():
        own[window.pixel], other[window.pixel] = True, False
    return own, other


def _densities(window: Window) -> tuple[Float, Float]:
    """How densely contributions to the cell, and to others, lie.

    A contribution is a sprinkling of points, some of them far away: its square root is smoothed.
    """
    width = _SMOOTH * window.sigma
    first, second = (
        ndi.gaussian_filter(np.sqrt(values), width) for values in (window.own, window.rival)
    )
    return first, second


def _clear(first: Float, second: Float) -> Mask:
    """Where the first contributions clearly are larger than the second."""
    return np.asarray((first > _CLEARLY * second) & (first > _DENSE))
