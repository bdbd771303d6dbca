"""One training of `cellmixer`: mixtures drawn anew each epoch, mean IoU of what is held out."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from napari_wbc_nca.methods.cellmixer.losses import losses
from napari_wbc_nca.methods.cellmixer.mixtures import Mixtures
from napari_wbc_nca.methods.cellmixer.probability import probabilities
from napari_wbc_nca.methods.loop import Loop
from napari_wbc_nca.types import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams
    from napari_wbc_nca.methods.cellmixer.samples import Picture

_VALIDATED = 4  # batches
_MOMENTUM = 0.9

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class MixerLoop(Loop):
    """Training of a network on mixtures.

    Parameters
    ----------
    network
        ``(B, 3, h, w)`` to ``(B, classes, h, w)``.
    params
        Everything about the training.
    learn, held
        Pictures to learn from, and to validate on.
    classes
        Number of classes, the background included.
    side
        Of a crop in model pixels.
    state_file
        As in :class:`~napari_wbc_nca.methods.loop.Loop`.
    """

    params: CellmixerTrainParams

    def __init__(
        self,
        network: nn.Module,
        params: CellmixerTrainParams,
        learn: Sequence[Picture],
        held: Sequence[Picture],
        classes: int,
        side: int,
        state_file: Path | None,
    ) -> None:
        self.count = params.samples_per_epoch or len(learn)
        self.mixtures = Mixtures(learn, classes, side, params)
        self.checked = Mixtures(held, classes, side, params, vary=False) if held else None
        super().__init__(network, params, state_file)

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        """Adam, or stochastic gradient descent with momentum."""
        if self.params.optimiser == "sgd":
            rate = self.params.learning_rate
            return torch.optim.SGD(network.parameters(), rate, momentum=_MOMENTUM)
        return super().optimiser(network)

    def epoch(self) -> Generator[Progress, None, dict[str, float]]:
        """Train on as many crops as an epoch has."""
        found: list[dict[str, float]] = []
        for image, present, known in self._batches(self.mixtures, self.state.epoch * self.count):
            values = losses(self.learner(image), present, known, self.params)
            self.step(values["loss"])
            found.append({name: float(value.detach()) for name, value in values.items()})
            message = f"Training, batch {len(found)} ({self.params.network})"
            yield Progress(self.state.epoch, self.params.epochs, message)
        return {name: float(np.mean([values[name] for values in found])) for name in found[0]}

    def step(self, loss: torch.Tensor) -> None:
        """Learn from a batch's loss, with gradients no longer than `clip`."""
        self.adam.zero_grad()
        self.fabric.backward(loss)
        if self.params.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.params.clip)
        self.adam.step()
        self.decay.step()

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Loss, and mean IoU of the cells' classes, on mixtures of the pictures held out."""
        if self.checked is None:
            return {}
        shared = joined = torch.zeros(())
        found = []
        for image, present, known in self._batches(self.checked, 0, _VALIDATED):
            logits = self.learner(image)
            found.append(float(losses(logits, present, known, self.params)["loss"]))
            top = probabilities(logits, self.params.overlaps == "both").argmax(1, keepdim=True)
            hits = torch.zeros_like(present).scatter_(1, top, 1) * known[:, None]
            truth = present * known[:, None]
            shared = shared + (hits * truth).sum((0, 2, 3)).cpu()
            joined = joined + ((hits + truth) > 0).sum((0, 2, 3)).cpu()
        overlap = (shared / joined.clamp(min=1))[1:][joined[1:] > 0]
        return {
            "validation_loss": float(np.mean(found)),
            "validation_iou": float(overlap.mean()) if len(overlap) else 0.0,
        }

    def _batches(self, mixtures: Mixtures, start: int, most: int = 0) -> Iterator[Batch]:
        """Batches of the mixtures from number `start` on."""
        batch = self.params.batch
        count = most * batch if most else max(self.count // batch, 1) * batch
        loader = DataLoader(
            mixtures,
            batch,
            sampler=range(start, start + count),
            num_workers=self.params.workers if not most else 0,
        )
        for image, present, known in loader:
            move = self.fabric.to_device
            yield move(image), move(present), move(known)
