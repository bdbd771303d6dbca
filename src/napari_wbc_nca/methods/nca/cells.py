"""From located centres to finished cells."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage as ndi

from napari_wbc_nca.datasets.readers import NONE
from napari_wbc_nca.methods.field import finer_part
from napari_wbc_nca.methods.nca.classify import Looker
from napari_wbc_nca.methods.nca.projection import (
    GROWN,
    PROJECTIONS,
    Projection,
    nucleus_or_evidence,
)
from napari_wbc_nca.models.lrp import relevance
from napari_wbc_nca.ops.growth import grow_region
from napari_wbc_nca.ops.regions import nucleus_region
from napari_wbc_nca.ops.response import mask_from_response, otsu_threshold
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Cell, Checkpoint

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field, Part
    from napari_wbc_nca.methods.nca.classify import Seen, Window
    from napari_wbc_nca.methods.nca.locate import Centre
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.models.nca import NCA

Map = npt.NDArray[np.float32]

_MAPPED_CHANNELS = 3  # most relevant channels shown of a cell
_EPSILON = 1e-6  # of the relevance propagation
_SMALLEST = 0.5  # least diameter of a cell that was looked for, in typical diameters
_SURE = 0.7  # probability of nucleus that a tenth of such a cell has at least
_RING = 3  # width of the surroundings a mask is compared with, in thirtieths of its window


@dataclass(frozen=True, eq=False)
class Segmenter:
    """What turns centres into cells: a network, its checkpoint, parameters and a field."""

    network: NCA
    checkpoint: Checkpoint
    params: NcaParams
    view: Field

    @cached_property
    def fine(self) -> Field:
        """The field where responses become masks."""
        return self.view.finer()

    def cells(self, centres: Sequence[Centre]) -> Generator[Progress, None, list[Cell]]:
        """Cells at `centres` (model pixels), a batch of windows at a time."""
        looker = Looker(self.network, self.checkpoint, self.params, self.view)
        finished: list[Cell] = []
        for first in range(0, len(centres), self.params.batch_size):
            some = centres[first : first + self.params.batch_size]
            seen = yield from looker.at(some, partial(self._progress, first, len(centres)))
            found = [self._cell(c, one, centres) for c, one in zip(some, seen, strict=True)]
            done = tuple(cell for cell in found if cell is not None)
            finished += done
            yield Progress(first + len(some), len(centres), "Segmenting cells", cells=done)
        return finished

    def _progress(self, first: int, count: int, share: float) -> Progress:
        """Progress within the batch that begins with centre `first` of `count`."""
        batch = min(self.params.batch_size, count - first)
        return Progress(first + int(share * batch), count, "Segmenting cells")

    def _cell(self, centre: Centre, seen: Seen, centres: Sequence[Centre]) -> Cell | None:
        """The cell at `centre`; None where the network sees no white blood cell."""
        state, part = seen.window.state, seen.window.part
        probabilities = dict(zip(self.checkpoint.classes, seen.chances.tolist(), strict=True))
        if self.params.locate == "evidence" and probabilities.get(NONE, 0.0) > 0.5:
            return None
        name = max((n for n in probabilities if n != NONE), key=probabilities.__getitem__)
        around = finer_part(part, self.fine.shape)
        density = self.fine.read(around).numpy().transpose(1, 2, 0)
        response = self._response(state, part, around, density)
        box, middle = self.fine.box(around), self.view.to_image(centre)
        corner = (box[0].start, box[1].start)
        sharp = self.fine.interpolate(response, around, 1, box)
        own = _nearest(sharp.shape, middle, [self.view.to_image(c) for c in centres], corner)
        at = (middle[0] - corner[0], middle[1] - corner[1])
        threshold = otsu_threshold(response)
        mask = mask_from_response(np.where(own, sharp, 0), threshold, at)
        if not mask.any() or not self._certain(state, part, around, box, mask):
            return None
        dark = nucleus_region(density, response > threshold).astype(np.float32)
        return Cell(
            centre=middle,
            origin=corner,
            mask=mask,
            nucleus=mask & (self.fine.interpolate(dark, around, 1, box) > 0.5),
            response=sharp,
            label_class=name,
            probabilities=probabilities,
            confidence=probabilities[name] * _contrast(sharp, mask),
            maps=self._maps(seen.window, name, box) if self.params.maps else {},
        )

    def _response(self, state: torch.Tensor, part: Part, around: Part, density: Map) -> Map:
        """Response of a window at the fine pixels `around`, by the projection that is chosen."""
        asked = self.params.projection
        chosen = self.checkpoint.card.get("projection", "pca") if asked == "model" else asked
        response = self._project(PROJECTIONS[chosen], state, part, around)
        if chosen != GROWN:
            return response
        return np.asarray(ndi.gaussian_filter(grow_region(response, density).astype(np.float32), 1))

    def _project(
        self, projection: Projection, state: torch.Tensor, part: Part, around: Part
    ) -> Map:
        """Projection of a window's state, at the fine pixels `around`."""
        with torch.inference_mode():
            coarse = projection(self.network, state[None])[0].cpu().numpy()
        return self.view.interpolate(coarse, part, self.fine.factor, around)

    def _certain(
        self,
        state: torch.Tensor,
        part: Part,
        around: Part,
        box: Part,
        mask: npt.NDArray[np.bool_],
    ) -> bool:
        """Whether a mask is large enough and holds a nucleus, which red cells do not.

        Cells that a user pointed at are not doubted. Without a readout of nuclei, the evidence
        is asked instead.
        """
        if self.params.locate != "evidence":
            return True
        dark = self._project(nucleus_or_evidence, state, part, around)
        values = self.fine.interpolate(dark, around, 1, box)[mask]
        width = 2 * np.sqrt(mask.sum() / np.pi) / self.view.factor
        large = width >= _SMALLEST * self.checkpoint.diameter
        return bool(large and np.quantile(values, 0.9) >= _SURE)

    def _maps(self, window: Window, name: str, box: Part) -> dict[str, Map]:
        """Most relevant channels for class `name`, in their order, scaled to 0–1."""
        network, target = self.network, self.checkpoint.classes.index(name)
        layers = (network.fc2, network.fc3)
        weights = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
        with torch.inference_mode():
            pooled = network.pooled(window.state[None])
            scores = relevance(pooled, *weights, target=target, epsilon=_EPSILON)[0].cpu()
        # A channel's relevance is that of all its statistics together.
        scores = scores.view(-1, network.channels).sum(0)
        maps = {}
        for rank, channel in enumerate(scores.argsort(descending=True)[:_MAPPED_CHANNELS], 1):
            values = window.state[..., int(channel)].cpu().numpy()
            low, high = float(values.min()), float(values.max())
            scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
            title = f"{rank}: channel {int(channel)}, relevance {float(scores[channel]):+.2f}"
            maps[title] = self.view.interpolate(scaled, window.part, 1, box)
        return maps


def _nearest(
    shape: tuple[int, ...], middle: Centre, centres: Sequence[Centre], corner: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Pixels of a window to which no other centre is nearer: touching cells are parted there."""
    y, x = np.ogrid[corner[0] : corner[0] + shape[0], corner[1] : corner[1] + shape[1]]
    own = (y - middle[0]) ** 2 + (x - middle[1]) ** 2
    result = np.ones(shape, bool)
    for cy, cx in centres:
        inside = 0 <= cy - corner[0] < shape[0] and 0 <= cx - corner[1] < shape[1]
        if inside and (cy, cx) != middle:
            result &= own <= (y - cy) ** 2 + (x - cx) ** 2
    return result


def _contrast(response: Map, mask: npt.NDArray[np.bool_]) -> float:
    """Mean response within a mask less that around it: 1 for a sharp and certain outline."""
    width = max(1, min(mask.shape) * _RING // 30)
    ring = ndi.binary_dilation(mask, iterations=width) & ~mask
    around = float(response[ring].mean()) if ring.any() else 0.0
    return float(np.clip(response[mask].mean() - around, 0, 1))
