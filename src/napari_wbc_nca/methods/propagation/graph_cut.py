"""Segmentation of each cell by a graph cut of the pixels around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.morphology import disk, remove_small_holes, remove_small_objects

from napari_wbc_nca.methods.field import BRIGHTNESS, DENSITY, FINE, Field, Part
from napari_wbc_nca.methods.propagation.detect import scaled_by_cells, sigma_of
from napari_wbc_nca.methods.result import CONTRIBUTION
from napari_wbc_nca.ops.growth import colour_evidence, divide_at_necks
from napari_wbc_nca.ops.minimum_cut import code_costs, fit_saliency, minimum_cut, paper_costs
from napari_wbc_nca.ops.response import component_at_centre
from napari_wbc_nca.types import Cell

if TYPE_CHECKING:
    from napari_wbc_nca.methods.propagation.contribution import Centroid, Contribution
    from napari_wbc_nca.methods.propagation.params import PropagationParams
    from napari_wbc_nca.types import Checkpoint

Mask = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float32]

_MARGIN = 2.0  # of a window around its contribution, in σ
_CLOSE, _OPEN = 2, 1  # radii of the disks by which a mask is grown, filled and shrunk
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
class CutWindow:
    """The pixels around a cell, and what decides whose they are."""

    values: Float  # (h, w, 3) optical density, or brightness
    salient: Float  # (h, w) in 0–1: how much a pixel looks like a cell
    own: Float  # (h, w) contributions to the cell
    rival: Float  # (h, w) largest contribution to any other
    middle: tuple[float, float]  # position of the cell's centroid
    others: npt.NDArray[np.float64]  # (N, 2) of other cells, also outside the window
    sigma: float  # σ of the detector in pixels of the window

    @property
    def pixel(self) -> tuple[int, int]:
        """Pixel of the window that is nearest to the centroid."""
        y, x = np.clip(np.rint(self.middle).astype(int), 0, np.subtract(self.own.shape, 1))
        return int(y), int(x)

    def near(self, places: npt.ArrayLike, radius: float) -> Mask:
        """Find the ``(h, w)`` pixels within a radius around any of some places."""
        y, x = (np.arange(size) for size in self.own.shape)
        result = np.zeros(self.own.shape, bool)
        for row, column in np.asarray(places, float).reshape(-1, 2):
            result |= (y[:, None] - row) ** 2 + (x - column) ** 2 < radius**2
        return result


def cut_cell(window: CutWindow, energy: str, params: PropagationParams) -> Mask:
    """Cut the cell of a window, in one piece: the cut's component at the centroid."""
    return ENERGIES[energy](window, params)


def _code(window: CutWindow, params: PropagationParams) -> Mask:
    own, other = _seeds(window, params)
    return _cut(window, code_costs(1 - window.salient, own, other))


def _paper(window: CutWindow, params: PropagationParams) -> Mask:
    own, other = _seeds(window, params)
    return _cut(window, paper_costs(window.salient, own, other, contrast=window.values))


def _smooth(window: CutWindow, params: PropagationParams) -> Mask:
    first, second = _densities(window)
    seen = window.salient > _SALIENT
    own, other = _clear(first, second) & seen, _clear(second, first) & seen
    own, other = _whole(window, own, other)
    return _cut(window, paper_costs(window.salient, own, other, contrast=window.values))


def _colour(window: CutWindow, params: PropagationParams) -> Mask:
    """Cut by the paper's costs of the probability that a pixel holds matter of the cell.

    Colours, territory and contributions decide whose it is: the colours of the cell's territory
    and those around the other cells' centroids first, then those of the cut itself.
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


ENERGIES: Mapping[str, Callable[[CutWindow, PropagationParams], Mask]] = {
    "code": _code,
    "paper": _paper,
    "smooth": _smooth,
    "colour": _colour,
}


def _cut(window: CutWindow, costs: Any) -> Mask:
    return component_at_centre(minimum_cut(costs), window.middle)


def _seeds(window: CutWindow, params: PropagationParams) -> tuple[Mask, Mask]:
    """Find seeds of the cell and of the others; a cut at the rim would cost nothing."""
    own = (window.own > window.rival) & (window.own > params.foreground_seed)
    other = (window.rival > window.own) & (window.rival > params.background_seed)
    own, other = _whole(window, own, other)
    rim = np.pad(np.zeros(np.subtract(own.shape, 2).clip(0), bool), 1, constant_values=True)
    return own, other | (rim[: own.shape[0], : own.shape[1]] & ~own)


def _whole(window: CutWindow, own: Mask, other: Mask) -> tuple[Mask, Mask]:
    """Return the seeds without holes and specks; the centroid's pixel where the cell has none."""
    own, other = ndi.binary_fill_holes(own), ndi.binary_fill_holes(other)
    own = remove_small_objects(own, max_size=_SPECK - 1, connectivity=2)
    if not (own & ~other).any():
        own[window.pixel], other[window.pixel] = True, False
    return own, other


def _densities(window: CutWindow) -> tuple[Float, Float]:
    """Estimate how densely contributions to the cell, and to others, lie."""
    # A contribution is a sprinkling of points, some of them far away: its square root is smoothed.
    width = _SMOOTH * window.sigma
    first, second = (
        ndi.gaussian_filter(np.sqrt(values), width) for values in (window.own, window.rival)
    )
    return first, second


def _clear(first: Float, second: Float) -> Mask:
    """Mark where the first contributions clearly are larger than the second."""
    return np.asarray((first > _CLEARLY * second) & (first > _DENSE))


class GraphCutter:
    """Cuts cells out of a field by a minimum cut of a graph of its pixels.

    `view` is the field at the model's scale; cells are cut where it has twice as many pixels a
    side, but no more than the image has.
    """

    def __init__(self, view: Field, checkpoint: Checkpoint, params: PropagationParams) -> None:
        self.view, self.checkpoint, self.params = view, checkpoint, params
        self.sigma = sigma_of(checkpoint)
        self.margin = ceil(_MARGIN * self.sigma)
        stained = scaled_by_cells(checkpoint)
        name, self.energy = params.saliency, params.graph_cut_energy
        if name == "model":
            name = "stain" if stained else "inverse"
        if self.energy == "model":
            self.energy = "colour" if stained else "code"
        factor = max(view.factor / FINE, min(view.factor, 1.0))
        self.grid = view.rescaled(factor, BRIGHTNESS if name == "inverse" else DENSITY)
        self.saliency = fit_saliency(name, self.grid.normalised_sample())

    def cell(
        self,
        centroid: Centroid,
        contribution: Contribution,
        rivals: Sequence[tuple[Centroid, Contribution]],
        likelihoods: npt.NDArray[Any],
    ) -> Cell | None:
        """Cut one cell out, by its ``(kinds,)`` likelihoods; None where nothing of it is left."""
        part = self.window(contribution, centroid)
        own, rival = _pasted([contribution], part), _pasted([theirs for _, theirs in rivals], part)
        target = self._finer(part)
        values = self.grid.read_pixels(target)
        window = CutWindow(
            values,
            self.saliency(values),
            self._interpolated(own, part, target),
            self._interpolated(rival, part, target),
            self._on_grid(centroid, target),
            np.asarray([self._on_grid(other, target) for other, _ in rivals]).reshape(-1, 2),
            self.sigma * self.view.factor / self.grid.factor,
        )
        mask = _closed(cut_cell(window, self.energy, self.params))
        if not mask.any():
            return None
        box = self.grid.image_part(target)
        shown = self.view.interpolate(np.where(own > rival, own, 0), part, 1, box)
        kinds = self.checkpoint.classes
        total = max(float(likelihoods.sum()), 1e-6)
        return Cell(
            centre=self.view.to_image((centroid.y, centroid.x)),
            origin=(box[0].start, box[1].start),
            mask=self._on_image(mask, target, box),
            nucleus=np.zeros(shown.shape, bool),
            response=np.ones(shown.shape, np.float32),  # equal: the nearer centroid decides
            label_class=kinds[centroid.kind],
            probabilities={k: float(v) / total for k, v in zip(kinds, likelihoods, strict=True)},
            confidence=float(likelihoods[centroid.kind]),
            maps={CONTRIBUTION: shown},
        )

    def window(self, contribution: Contribution, centroid: Centroid) -> Part:
        """Return the part of the field around a cell's contribution and its centroid."""
        rows, columns = (
            range(
                max(0, min(start, floor(at)) - self.margin),
                min(size, max(start + length, ceil(at) + 1) + self.margin),
            )
            for start, length, at, size in zip(
                contribution.corner,
                contribution.values.shape,
                (centroid.y, centroid.x),
                self.view.shape,
                strict=True,
            )
        )
        return rows, columns

    def _finer(self, part: Part) -> Part:
        """Return the pixels of the grid that a window covers."""
        ratio = self.view.factor / self.grid.factor
        rows, columns = (
            range(floor(span.start * ratio), min(ceil(span.stop * ratio), size))
            for span, size in zip(part, self.grid.shape, strict=True)
        )
        return rows, columns

    def _interpolated(self, values: Float, part: Part, target: Part) -> Float:
        if self.view.factor == self.grid.factor:
            return values
        return self.view.interpolate(values, part, self.grid.factor, target)

    def _on_grid(self, centroid: Centroid, target: Part) -> tuple[float, float]:
        """Place of a centroid in a window of the grid."""
        ratio = self.view.factor / self.grid.factor
        y, x = (
            (at + 0.5) * ratio - 0.5 - span.start
            for at, span in zip((centroid.y, centroid.x), target, strict=True)
        )
        return y, x

    def _on_image(self, mask: Mask, target: Part, box: Part) -> Mask:
        """Return the mask of a window of the grid, at the image's pixels."""
        if self.grid.factor == 1:
            return mask
        return self.grid.interpolate(mask.astype(np.float32), target, 1, box) > 0.5


def _pasted(contributions: Sequence[Contribution], part: Part) -> Float:
    """Return the largest of several contributions in a window; 0 where there are none."""
    result = np.zeros((len(part[0]), len(part[1])), np.float32)
    for contribution in contributions:
        (top, left), (height, width) = contribution.corner, contribution.values.shape
        y, x = top - part[0].start, left - part[1].start
        into = result[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
        piece = contribution.values[max(-y, 0) :, max(-x, 0) :][: into.shape[0], : into.shape[1]]
        np.maximum(into, piece, out=into)
    return result


def _closed(mask: Mask) -> Mask:
    """Remove holes and roughness of a mask as published: dilate, fill, erode."""
    grown = ndi.binary_dilation(np.pad(mask, _CLOSE), disk(_CLOSE))
    filled = ndi.binary_erosion(ndi.binary_fill_holes(grown), disk(_OPEN))
    return np.asarray(filled[_CLOSE:-_CLOSE, _CLOSE:-_CLOSE])
