"""From located centres to finished cells."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage as ndi

from napari_wbc_nca.io.datasets import NONE
from napari_wbc_nca.methods.projection import GROWN, PROJECTIONS, Projection, nucleus_or_evidence
from napari_wbc_nca.methods.retold import retold
from napari_wbc_nca.methods.view import finer_part
from napari_wbc_nca.models.relevance import relevance
from napari_wbc_nca.ops.growth import grow
from napari_wbc_nca.ops.regions import nucleus_region
from napari_wbc_nca.ops.threshold import mask_from_response, otsu
from napari_wbc_nca.types import Cell, Checkpoint, Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.locate import Centre
    from napari_wbc_nca.methods.params import SegmentParams
    from napari_wbc_nca.methods.view import Part, View
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
    params: SegmentParams
    view: View

    @cached_property
    def fine(self) -> View:
        """The field where responses become masks."""
        return self.view.finer()

    def cells(self, centres: Sequence[Centre]) -> Generator[Progress, None, list[Cell]]:
        """Cells at `centres` (model pixels), a batch of windows at a time."""
        finished: list[Cell] = []
        for first in range(0, len(centres), self.params.batch):
            some = centres[first : first + self.params.batch]
            parts = [self.view.window(centre, self.checkpoint.window) for centre in some]
            progress = Progress(first, len(centres), "Segmenting cells")
            states, chances = yield from self._rolled(parts, progress)
            found = [
                self._cell(centre, state, own, part, centres)
                for centre, state, own, part in zip(some, states, chances, parts, strict=True)
            ]
            done = tuple(cell for cell in found if cell is not None)
            finished += done
            yield Progress(first + len(some), len(centres), "Segmenting cells", cells=done)
        return finished

    def _rolled(
        self, parts: Sequence[Part], progress: Progress
    ) -> Generator[Progress, None, tuple[torch.Tensor, npt.NDArray[np.float64]]]:
        """``(N, h, w, C)`` states and ``(N, classes)`` probabilities of windows of one size.

        The probabilities are the mean of looks at the windows turned by 90° each, in which other
        cells fire; the states are those of the first.
        """
        images = torch.stack([self.view.read(part) for part in parts])
        images = images.to(next(self.network.parameters()).device)
        origin = torch.tensor([[rows.start, columns.start] for rows, columns in parts])
        states = yield from self._states(images, origin, progress, 0)
        looks = [self._probabilities(states)]
        for turn in range(1, self.params.turns):
            turned = torch.rot90(images, turn, (2, 3)).contiguous()
            seen = yield from self._states(turned, origin, progress, turn)
            looks.append(self._probabilities(seen))
        return states, np.mean(looks, axis=0)

    def _states(
        self, images: torch.Tensor, origin: torch.Tensor, progress: Progress, turn: int
    ) -> Generator[Progress, None, torch.Tensor]:
        """States after one look of several; each counts as its part of all the windows' cells."""
        steps = self.network.rollout_steps(
            images, self.params.seed, origin, fire_rate=self.params.fire_rate
        )

        def tell(step: tuple[int, int]) -> Progress:
            done, total = step
            share = (turn + done / total) / self.params.turns
            return replace(progress, done=progress.done + int(share * len(images)))

        return (yield from retold(steps, tell))

    def _cell(
        self,
        centre: Centre,
        state: torch.Tensor,
        chances: npt.NDArray[np.float64],
        part: Part,
        centres: Sequence[Centre],
    ) -> Cell | None:
        """The cell at `centre`; None where the network sees no white blood cell."""
        probabilities = dict(zip(self.checkpoint.classes, chances.tolist(), strict=True))
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
        threshold = otsu(response)
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
            maps=self._maps(state, name, part, box) if self.params.maps else {},
        )

    def _response(self, state: torch.Tensor, part: Part, around: Part, density: Map) -> Map:
        """Response of a window at the fine pixels `around`, by the projection that is chosen."""
        asked = self.params.projection
        chosen = self.checkpoint.card.get("projection", "pca") if asked == "model" else asked
        response = self._project(PROJECTIONS[chosen], state, part, around)
        if chosen != GROWN:
            return response
        return np.asarray(ndi.gaussian_filter(grow(response, density).astype(np.float32), 1))

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

    def _probabilities(self, states: torch.Tensor) -> npt.NDArray[np.float64]:
        """``(N, classes)`` probabilities of ``(N, h, w, C)`` states, the same however many."""
        with torch.inference_mode():
            logits = torch.cat([self.network.classify(state[None]) for state in states])
        sigmoid = self.checkpoint.card.get("activation") == "sigmoid"
        logits = logits.cpu().double()  # after the move: not every device knows double precision
        return np.asarray((logits.sigmoid() if sigmoid else logits.softmax(1)).numpy())

    def _maps(self, state: torch.Tensor, name: str, part: Part, box: Part) -> dict[str, Map]:
        """Most relevant channels for class `name`, in their order, scaled to 0–1."""
        network, target = self.network, self.checkpoint.classes.index(name)
        with torch.inference_mode():
            pooled = network.pooled(state[None])
            scores = relevance(
                pooled,
                network.fc2.weight,
                network.fc2.bias,
                network.fc3.weight,
                network.fc3.bias,
                target,
                _EPSILON,
            )[0].cpu()
        # A channel's relevance is that of all its statistics together.
        scores = scores.view(-1, network.channels).sum(0)
        maps = {}
        for rank, channel in enumerate(scores.argsort(descending=True)[:_MAPPED_CHANNELS], 1):
            values = state[..., int(channel)].cpu().numpy()
            low, high = float(values.min()), float(values.max())
            scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
            title = f"{rank}: channel {int(channel)}, relevance {float(scores[channel]):+.2f}"
            maps[title] = self.view.interpolate(scaled, part, 1, box)
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
