"""From contributions to cells: maximum projection, and a graph cut for each cell."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from skimage.morphology import disk

from napari_wbc_nca.methods.field import FINE, Field, Part
from napari_wbc_nca.methods.propagation.network import scaled_by_cells, sigma_of
from napari_wbc_nca.methods.propagation.terms import Window, cut_out
from napari_wbc_nca.ops import graphcut, stain
from napari_wbc_nca.types import Cell

if TYPE_CHECKING:
    from napari_wbc_nca.methods.propagation.contribution import Centroid, Contribution
    from napari_wbc_nca.methods.propagation.params import PropagationParams
    from napari_wbc_nca.types import Checkpoint

Mask = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float32]

CONTRIBUTION = "contribution"
"""Name of a cell's map of what its pixels contribute, where no other cell's contribute more."""
_BRIGHTNESS = {"name": "published", "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
_MARGIN = 2.0  # of a window around its contribution, in σ
_CLOSE, _OPEN = 2, 1  # radii of the disks by which a mask is grown, filled and shrunk


class Cutter:
    """What cuts cells out of a field.

    Parameters
    ----------
    view
        The field at the model's scale. Cells are cut where it has twice as many pixels a side,
        but no more than the image has.
    checkpoint
        Detector.
    params
        Saliency, terms and seeds.
    """

    def __init__(self, view: Field, checkpoint: Checkpoint, params: PropagationParams) -> None:
        self.view, self.checkpoint, self.params = view, checkpoint, params
        self.sigma = sigma_of(checkpoint)
        self.margin = ceil(_MARGIN * self.sigma)
        stained = scaled_by_cells(checkpoint)
        name, self.terms = params.saliency, params.graph_cut_energy
        if name == "model":
            name = "stain" if stained else "inverse"
        if self.terms == "model":
            self.terms = "colour" if stained else "code"
        seen = _BRIGHTNESS if name == "inverse" else {"name": "density"}
        factor = max(view.factor / FINE, min(view.factor, 1.0))
        self.grid = Field(view.rgb, factor, seen)
        sample = stain.sample_field(view.rgb)
        values = stain.fit_normalisation(seen, sample)(sample, (0, 0), sample.shape[:2])
        self.saliency = graphcut.fit_saliency(name, values)

    def cell(
        self,
        centroid: Centroid,
        contribution: Contribution,
        rivals: Sequence[tuple[Centroid, Contribution]],
        likelihoods: npt.NDArray[Any],
    ) -> Cell | None:
        """Cut one cell out; None where nothing of it is left.

        Parameters
        ----------
        centroid, contribution
            Of the cell.
        rivals
            Centroids and contributions of the cells around it, whatever their kind.
        likelihoods
            ``(kinds,)`` likelihood of each kind at the centroid.
        """
        part = self.window(contribution, centroid)
        own, rival = _pasted([contribution], part), _pasted([theirs for _, theirs in rivals], part)
        wanted = self._finer(part)
        values = self.grid.read(wanted).numpy().transpose(1, 2, 0)
        window = Window(
            values,
            self.saliency(values),
            self._interpolated(own, part, wanted),
            self._interpolated(rival, part, wanted),
            self._on_grid(centroid, wanted),
            np.asarray([self._on_grid(other, wanted) for other, _ in rivals]).reshape(-1, 2),
            self.sigma * self.view.factor / self.grid.factor,
        )
        mask = _closed(cut_out(window, self.terms, self.params))
        if not mask.any():
            return None
        box = self.grid.box(wanted)
        shown = self.view.interpolate(np.where(own > rival, own, 0), part, 1, box)
        kinds = self.checkpoint.classes
        total = max(float(likelihoods.sum()), 1e-6)
        return Cell(
            centre=self.view.to_image((centroid.y, centroid.x)),
            origin=(box[0].start, box[1].start),
            mask=self._on_image(mask, wanted, box),
            nucleus=np.zeros(shown.shape, bool),
            response=np.ones(shown.shape, np.float32),  # equal: the nearer centroid decides
            label_class=kinds[centroid.kind],
            probabilities={k: float(v) / total for k, v in zip(kinds, likelihoods, strict=True)},
            confidence=float(likelihoods[centroid.kind]),
            maps={CONTRIBUTION: shown},
        )

    def window(self, contribution: Contribution, centroid: Centroid) -> Part:
        """Model pixels around a cell's contribution and its centroid, inside the field."""
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
        """Pixels of the grid that a window covers."""
        ratio = self.view.factor / self.grid.factor
        rows, columns = (
            range(floor(span.start * ratio), min(ceil(span.stop * ratio), size))
            for span, size in zip(part, self.grid.shape, strict=True)
        )
        return rows, columns

    def _interpolated(self, values: Float, part: Part, wanted: Part) -> Float:
        if self.view.factor == self.grid.factor:
            return values
        return self.view.interpolate(values, part, self.grid.factor, wanted)

    def _on_grid(self, centroid: Centroid, wanted: Part) -> tuple[float, float]:
        """Place of a centroid in a window of the grid."""
        ratio = self.view.factor / self.grid.factor
        y, x = (
            (at + 0.5) * ratio - 0.5 - span.start
            for at, span in zip((centroid.y, centroid.x), wanted, strict=True)
        )
        return y, x

    def _on_image(self, mask: Mask, wanted: Part, box: Part) -> Mask:
        """Mask of a window of the grid, at the image's pixels."""
        if self.grid.factor == 1:
            return mask
        return self.grid.interpolate(mask.astype(np.float32), wanted, 1, box) > 0.5


def _pasted(contributions: Sequence[Contribution], part: Part) -> Float:
    """Largest of several contributions in a window; 0 where there are none."""
    result = np.zeros((len(part[0]), len(part[1])), np.float32)
    for contribution in contributions:
        (top, left), (height, width) = contribution.corner, contribution.values.shape
        y, x = top - part[0].start, left - part[1].start
        into = result[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
        piece = contribution.values[max(-y, 0) :, max(-x, 0) :][: into.shape[0], : into.shape[1]]
        np.maximum(into, piece, out=into)
    return result


def _closed(mask: Mask) -> Mask:
    """A mask without holes and roughness, as published: dilated, filled, eroded."""
    grown = ndi.binary_dilation(np.pad(mask, _CLOSE), disk(_CLOSE))
    filled = ndi.binary_erosion(ndi.binary_fill_holes(grown), disk(_OPEN))
    return np.asarray(filled[_CLOSE:-_CLOSE, _CLOSE:-_CLOSE])
