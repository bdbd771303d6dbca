"""Types of segmented cells, by a network that looks at each cell at a scale of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_wbc_nca.cell_types import NONE, TYPES, five_types, group
from napari_wbc_nca.io import model_store
from napari_wbc_nca.models.build import load_network
from napari_wbc_nca.ops.overlaps import mask_box
from napari_wbc_nca.ops.stain import window_density
from napari_wbc_nca.ops.tiling import resample, resampled_shape
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Cell, Checkpoint

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field
    from napari_wbc_nca.methods.nca.params import NcaParams

Window = npt.NDArray[np.float32]

_AGREEMENTS = ("rotation_agreement", "seed_agreement")  # measures: passes that name the same type


def relative_to_nucleus_colour(density: Tensor) -> Tensor:
    """Divide ``(B, 3, h, w)`` densities by their 97th percentile in each window and channel.

    The nucleus is the densest part of a cell: its colour becomes the same in all stains.
    """
    return density / _densest(density)


def relative_to_nucleus_density(density: Tensor) -> Tensor:
    """Divide ``(B, 3, h, w)`` densities by the 97th percentile of their mean over the channels.

    The nucleus becomes equally dense in all stains, and colours stay as they are.
    """
    return density / _densest(density.mean(1, keepdim=True))


def _densest(density: Tensor) -> Tensor:
    """Compute the ``(B, C, 1, 1)`` percentile of every other pixel of windows, at least 0.05."""
    values = density[:, :, ::2, ::2].flatten(2)
    found = values.kthvalue(int(0.97 * values.shape[2]), 2).values
    return found[:, :, None, None].clamp(min=0.05)


def saturated(density: Tensor) -> Tensor:
    """Return the absorptance ``1 - exp(-2 d)`` of ``(B, 3, h, w)`` densities d.

    The one treatment by the background alone: how dark a nucleus is remains visible.
    """
    return 1 - (-2 * density.clamp(min=-0.2)).exp()


def standardised(density: Tensor) -> Tensor:
    """Give each channel of ``(B, 3, h, w)`` densities mean 0 and deviation 1 in its window."""
    deviation, mean = torch.std_mean(density, (2, 3), keepdim=True)
    return (density - mean) / deviation.clamp(min=0.05)


TREATMENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "nucleus_colour": relative_to_nucleus_colour,
    "nucleus_density": relative_to_nucleus_density,
    "saturated": saturated,
    "standardised": standardised,
}
"""Treatments of the densities of windows by the names that a classifier's card lists."""


def average_types(
    own: Mapping[str, float],
    finder: Mapping[str, float],
    temperature: float = 1.0,
    share: float = 0.5,
) -> dict[str, float]:
    """Average probabilities with those that the finder gives the five types, calibrated.

    The finder's count as `share` of the whole. Classes of the same type keep their ratio, and
    classes of none of the five their probability.
    """
    before = five_types(own)
    other = five_types({name: value ** (1 / temperature) for name, value in finder.items()})
    factor = {n: 1 - share + share * other[n] / max(before[n], 1e-12) for n in TYPES}
    return {name: value * factor.get(group(name), 1.0) for name, value in own.items()}


def calibration_record(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what a record says of the calibration of a model's types; nothing without any."""
    keys = {"temperature": "temperature", "unsure_threshold": "unsure_below"}
    own = {name: checkpoint.card[key] for key, name in keys.items() if key in checkpoint.card}
    return {"calibration": own} if own else {}


@dataclass(frozen=True, eq=False)
class TypeClassifier:
    """Classifies segmented cells of a field that an automaton found.

    Each cell is read from the image around the middle of its box, scaled until the box is as wide
    as in training. Passes differ in rotation and stain treatment, and their probabilities are
    averaged: none of the treatments suits all laboratories.
    """

    network: nn.Module
    checkpoint: Checkpoint
    params: NcaParams
    field: Field

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the differential that is chosen, none last."""
        if self.params.differential == "five":
            return (*TYPES, *self._added, NONE)
        return self.checkpoint.classes

    @property
    def _added(self) -> tuple[str, ...]:
        """Return the classes that a person added."""
        return tuple(self.checkpoint.card.get("added_classes", ()))

    def classify(
        self, cells: Sequence[Cell], progress: Progress
    ) -> Generator[Progress, None, list[Cell]]:
        """Return `cells` with the class and probabilities of this classifier.

        Yields `progress` several times a second.
        """
        if not cells:
            return []
        densities = torch.from_numpy(np.stack([self.window(cell) for cell in cells]))
        found = yield from self._probabilities(densities, progress)
        return [self._typed(cell, own) for cell, own in zip(cells, found, strict=True)]

    def record(self) -> dict[str, Any]:
        """Return what the provenance of a result says about its types."""
        named = {"name": self.checkpoint.name, "sha256": self.checkpoint.sha256}
        return {"classifier": named} | calibration_record(self.checkpoint)

    def window(self, cell: Cell) -> Window:
        """Read the optical density around a cell, ``(3, window, window)`` at the model's scale.

        The image is continued by reflection beyond its border.
        """
        spans = mask_box(cell)
        sides = [span.stop - span.start for span in spans]
        factor = max(1.0, float(np.prod(sides)) ** 0.5) / self.checkpoint.diameter
        outer = self.checkpoint.card["density_window"]
        parts, margins = [], []
        shape = resampled_shape(self.field.source_shape, factor)
        for span, size in zip(spans, shape, strict=True):
            start = round((span.start + span.stop) / 2 / factor - outer / 2)
            inside = range(max(0, start), min(size, start + outer))
            parts.append(inside)
            margins.append((inside.start - start, start + outer - inside.stop))
        rows, columns = parts
        rgb = resample(self._read, self.field.source_shape, factor, rows, columns)
        whole = np.pad(rgb, (*margins, (0, 0)), mode="symmetric")
        density = window_density(whole)
        edge = (outer - self.checkpoint.window) // 2
        inner = slice(edge, edge + self.checkpoint.window)
        return np.ascontiguousarray(density[inner, inner].transpose(2, 0, 1))

    def _read(self, rows: slice, columns: slice) -> npt.NDArray[np.generic]:
        return np.asarray(self.field.rgb[rows, columns])

    def _probabilities(
        self, densities: Tensor, progress: Progress
    ) -> Generator[Progress, None, npt.NDArray[np.float64]]:
        """Compute ``(N, passes, classes)`` probabilities of ``(N, 3, h, w)`` densities."""
        found = []
        # Cell by cell: sums over a batch are cut differently with its size.
        for density in densities.to(next(self.network.parameters()).device):
            with torch.inference_mode():
                logits = self.network(self.passes(density[None]))
            found.append(logits.cpu().double().softmax(1).numpy())
            yield progress
        return np.stack(found)

    def passes(self, density: Tensor) -> Tensor:
        """Make ``(passes, 3, h, w)`` views of a window, as many of each treatment."""
        names = self.checkpoint.normalisation["treatments"]
        count = math.ceil(self.params.tta_rotations / len(names)) * len(names)
        return torch.cat(
            [
                torch.rot90(TREATMENTS[names[number % len(names)]](density), number, (2, 3))
                for number in range(count)
            ]
        )

    def _typed(self, cell: Cell, passes: npt.NDArray[np.float64]) -> Cell:
        """Return `cell` with the mean of the ``(passes, classes)`` probabilities."""
        own = self._asked(passes.mean(0), cell)
        name = _likeliest(own)
        same = [_likeliest(self._asked(one, cell)) == name for one in passes]
        shares = {key: float(np.mean(same)) for key in cell.measures if key in _AGREEMENTS}
        before = cell.probabilities[cell.label_class]
        outline = cell.confidence / before if before > 0 else 0.0
        return replace(
            cell,
            label_class=name,
            probabilities=own,
            confidence=own[name] * outline,
            measures={**cell.measures, **shares},
        )

    def _asked(self, found: npt.NDArray[np.float64], cell: Cell) -> dict[str, float]:
        """Name the probabilities of all classes, as the differential that is chosen has them."""
        own = dict(zip(self.checkpoint.classes, found.tolist(), strict=True))
        if temperature := self.checkpoint.card.get("finder_temperature"):
            share = self.checkpoint.card.get("finder_share", 0.5)
            own = average_types(own, cell.probabilities, temperature, share)
        if self.params.differential == "five":
            return {**five_types(own, self._added), NONE: own[NONE]}
        return own


def _likeliest(probabilities: Mapping[str, float]) -> str:
    """Return the likeliest class other than none."""
    return max((name for name in probabilities if name != NONE), key=probabilities.__getitem__)


def load_classifier(
    checkpoint: Checkpoint, params: NcaParams, field: Field
) -> TypeClassifier | None:
    """Load the classifier of cells that `checkpoint` finds; None where it types them itself.

    A ValueError says when a differential is asked for that no classifier of the model can give.
    """
    name = checkpoint.name if "finder" in checkpoint.card else checkpoint.card.get("classifier")
    if params.differential == "model" or not name:
        if params.differential == "fine":
            raise ValueError(
                f"model {checkpoint.name!r} has no classifier of the fine types; choose the model "
                "'wbc-fine', or the differential 'five'"
            )
        return None
    own = checkpoint if "finder" in checkpoint.card else model_store.resolve(name)
    return TypeClassifier(load_network(own, params.device), own, params, field)
