"""Instances of one field: contributions and cuts of its cells, kept for later changes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from napari_wbc_nca.methods.propagation.contribution import (
    Centroid,
    Contribution,
    ForwardPass,
    contributions,
    neighbours,
    region_radius,
)
from napari_wbc_nca.methods.propagation.detect import (
    field_tiles,
    read_channels,
    sigma_of,
    with_halo,
)
from napari_wbc_nca.methods.propagation.graph_cut import GraphCutter
from napari_wbc_nca.models.guided_backprop import GuidedUNet
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Cell

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field, Part
    from napari_wbc_nca.methods.propagation.params import PropagationParams
    from napari_wbc_nca.methods.scale import Scale
    from napari_wbc_nca.models.unet import UNet
    from napari_wbc_nca.ops.tiling import Tile
    from napari_wbc_nca.types import Checkpoint


@dataclass(eq=False)
class Instances:
    """Cells of a field by their numbers, and what they were computed from."""

    scale: Scale  # as it was used
    # Of all cells; those of kinds that were not selected are rivals.
    centroids: dict[int, Centroid] = field(default_factory=dict)
    # (kinds,) likelihood of each kind at the centroids.
    likelihoods: dict[int, npt.NDArray[Any]] = field(default_factory=dict)
    # As far as they were needed.
    contributions: dict[int, Contribution] = field(default_factory=dict)
    # Those of the selected kinds; None where nothing was left of one.
    cells: dict[int, Cell | None] = field(default_factory=dict)
    # Integer of each cell that the label images hold.
    labels: dict[int, int] = field(default_factory=dict)

    def copy(self) -> Instances:
        """Return a copy whose mappings can be changed; the cells themselves never are."""
        held: dict[str, Any] = {
            name: dict(own) for name, own in vars(self).items() if name != "scale"
        }
        return replace(self, **held)


class InstanceBuilder:
    """Builds the cells of a field, `view` at the model's scale, from their centroids.

    Contributions that are no longer needed stay for later changes if `keep`; from their centroids
    they ``reach`` so many model pixels.
    """

    def __init__(
        self,
        view: Field,
        network: UNet,
        checkpoint: Checkpoint,
        params: PropagationParams,
        keep: bool = True,
    ) -> None:
        self.view, self.network, self.params, self.keep = view, network, params, keep
        self.sigma = sigma_of(checkpoint)
        self.reach = region_radius(self.sigma) + network.halo
        self._guide = GuidedUNet(network)
        self._cutter = GraphCutter(view, checkpoint, params)

    def build(
        self, found: Instances, renewed: Iterable[int], recut: Iterable[int]
    ) -> Generator[Progress, None, None]:
        """Compute contributions and cut cells, tile by tile; `found` is filled.

        `found` holds all centroids, and the contributions that stay; those of cells `renewed` are
        computed, and cells `recut` are cut. Progress comes with the cells cut since the last.
        """
        near = self.near(found.centroids)
        missing, waiting = set(renewed), sorted(recut)
        total = len(missing) + len(waiting)
        for tile in field_tiles(self.network, self.view, self.params):
            own = sorted(n for n in missing if _holds(tile, found.centroids[n].pixel))
            done = total - len(missing) - len(waiting)
            if own:
                for progress in self._propagate(found, own):
                    yield Progress(done + progress.done, total, progress.message)
                missing.difference_update(own)
            ready = [n for n in waiting if missing.isdisjoint((n, *near[n]))]
            done += len(own)
            for progress in self._cut(found, ready):
                yield Progress(done + progress.done, total, progress.message, progress.cells)
            waiting = [n for n in waiting if n not in found.cells]
            if not self.keep:
                needed = missing.union(waiting).union(*(near[n] for n in waiting))
                for number in found.contributions.keys() - needed:
                    del found.contributions[number]

    def near(self, centroids: dict[int, Centroid]) -> dict[int, list[int]]:
        """Return for each cell the others whose contributions may meet its window."""
        return neighbours(centroids, 2 * self.reach + self._cutter.margin, np.inf)

    def beside(
        self, found: Instances, numbers: Iterable[int], changed: Sequence[Contribution]
    ) -> set[int]:
        """Return the cells into whose windows one of the `changed` contributions reaches."""
        boxes = _boxes([contribution.box for contribution in changed])
        windows = {
            n: self._cutter.window(found.contributions[n], found.centroids[n]) for n in numbers
        }
        return {n for n, window in windows.items() if _meet(boxes, _boxes([window])).any()}

    def forward(self, part: Part) -> ForwardPass:
        """Run the network on a part of the field, and on what its values depend on."""
        outer = with_halo(part, self.network, self.view.shape)
        device = self.network.head.weight.device
        pixels = read_channels(self.view, outer, self.network.channels_in).to(device)
        trace = self._guide.activations(pixels)
        likelihood = torch.sigmoid(trace.logits).cpu().numpy()
        return ForwardPass(trace, likelihood, (outer[0].start, outer[1].start))

    def _propagate(self, found: Instances, own: Sequence[int]) -> Generator[Progress, None, None]:
        """Compute the contributions of some cells of a tile."""
        pixels = np.asarray([found.centroids[n].pixel for n in own])
        low, high = pixels.min(0) - self.reach, pixels.max(0) + self.reach + 1
        rows, columns = (
            range(max(0, int(first)), min(size, int(last)))
            for first, last, size in zip(low, high, self.view.shape, strict=True)
        )
        traced = self.forward((rows, columns))
        yield Progress(0, len(own), "Propagating from the detections")
        for number in own:
            y, x = np.subtract(found.centroids[number].pixel, traced.corner)
            found.likelihoods[number] = traced.likelihood[:, y, x]
        steps = contributions(
            self._guide, traced, found.centroids, own, self.view.shape, self.sigma, self.params
        )
        found.contributions.update((yield from steps))

    def _cut(self, found: Instances, ready: Sequence[int]) -> Generator[Progress, None, None]:
        """Cut the cells whose rivals' contributions are all there."""
        numbers = np.asarray(list(found.contributions))
        boxes = _boxes([c.box for c in found.contributions.values()])
        for first in range(0, len(ready), self.params.batch_size):
            some = ready[first : first + self.params.batch_size]
            for number, n in enumerate(some, first):
                yield Progress(number, len(ready), "Cutting out cells")
                window = self._cutter.window(found.contributions[n], found.centroids[n])
                rivals = numbers[_meet(boxes, _boxes([window])) & (numbers != n)]
                found.cells[n] = self._cutter.cell(
                    found.centroids[n],
                    found.contributions[n],
                    [(found.centroids[m], found.contributions[m]) for m in rivals.tolist()],
                    found.likelihoods[n],
                )
            done = tuple(cell for n in some if (cell := found.cells[n]) is not None)
            yield Progress(first + len(some), len(ready), "Cutting out cells", cells=done)


def _holds(tile: Tile, pixel: tuple[int, int]) -> bool:
    return all(span.start <= at < span.stop for span, at in zip(tile.core, pixel, strict=True))


def _boxes(parts: Sequence[Part]) -> npt.NDArray[np.int_]:
    """Return ``(N, 4)`` first row and column, and those after the last."""
    corners = [(y.start, x.start, y.stop, x.stop) for y, x in parts]
    return np.asarray(corners, int).reshape(-1, 4)


def _meet(boxes: npt.NDArray[np.int_], box: npt.NDArray[np.int_]) -> npt.NDArray[np.bool_]:
    """Mark boxes that share a pixel with one other."""
    shared = (boxes[:, :2] < box[:, 2:]) & (box[:, :2] < boxes[:, 2:])
    return np.asarray(shared.all(1))
