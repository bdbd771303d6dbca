"""One training of the NCA methods: windows drawn anew each epoch, losses of classes and pixels."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from napari_wbc_nca.methods.loop import Loop
from napari_wbc_nca.methods.losses import centre_loss, focal_loss
from napari_wbc_nca.types import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.params import NcaTrainParams
    from napari_wbc_nca.methods.windows import Batch, Windows
    from napari_wbc_nca.models.nca import NCA

_VALIDATION_BATCHES = 4


class Learner(nn.Module):
    """The network and what of it the losses look at."""

    def __init__(self, network: NCA, checkpointing: bool) -> None:
        super().__init__()
        self.network, self.checkpointing = network, checkpointing

    def forward(
        self, images: torch.Tensor, seed: int, origin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Class logits ``(B, classes)`` and readout ``(B, h, w, 2)``."""
        state = self.network.rollout(images, seed, origin, checkpointing=self.checkpointing)
        return self.network.classify(state), self.network.readout(state)


class NcaLoop(Loop):
    """Training of an automaton on windows.

    Parameters
    ----------
    network
        To be trained, in place.
    params
        Everything about the training.
    learn, held
        Windows to learn from, and to validate on; None where none are held out.
    state_file
        As in :class:`~napari_wbc_nca.methods.loop.Loop`.
    """

    params: NcaTrainParams

    def __init__(
        self,
        network: NCA,
        params: NcaTrainParams,
        learn: Windows,
        held: Windows | None,
        state_file: Path | None,
    ) -> None:
        super().__init__(Learner(network, params.checkpointing), params, state_file, params.clip)
        self.learn, self.held = learn, held

    def epoch(self) -> Generator[Progress, None, dict[str, float]]:
        """Losses, each the mean over the batches of an epoch."""
        total, count = {"loss": 0.0, "class_loss": 0.0, "centre_loss": 0.0}, 0
        for number, batch in enumerate(self._batches(self.learn)):
            values = self._losses(batch, seed=self.state.epoch * 100_003 + number)
            self.step(values["loss"])
            total = {name: total[name] + float(values[name].detach()) for name in total}
            count += 1
            yield Progress(self.state.epoch, self.params.epochs, f"Training, batch {count}")
        return {name: value / max(count, 1) for name, value in total.items()}

    def _losses(self, batch: Batch, seed: int) -> dict[str, torch.Tensor]:
        images, targets, allowed = map(
            self.fabric.to_device, (batch.images, batch.targets, batch.allowed)
        )
        logits, readout = self.learner(images, seed, batch.origin)
        class_loss = focal_loss(logits, allowed, self.params.gamma)
        pixel_loss = centre_loss(readout, targets)
        loss = class_loss + self.params.centre_weight * pixel_loss
        return {"loss": loss, "class_loss": class_loss, "centre_loss": pixel_loss, "logits": logits}

    def _batches(self, windows: Windows) -> Iterator[Batch]:
        """Batches of an epoch; the next is drawn while the last is learnt from."""
        wanted = self.params.samples_per_epoch or len(windows.samples)
        random = np.random.default_rng((self.params.seed, self.state.epoch))
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(windows.draw, self.params.batch, random)
            for _ in range(max(1, wanted // self.params.batch)):
                batch = following.result()
                following = pool.submit(windows.draw, self.params.batch, random)
                yield batch

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Loss and accuracies on the same windows each time; empty where none are held out."""
        if self.held is None:
            return {}
        random = np.random.default_rng(self.params.seed)
        losses, right, hits = [], [], []
        for number in range(_VALIDATION_BATCHES):
            batch = self.held.draw(self.params.batch, random)
            values = self._losses(batch, seed=number)
            losses.append(float(values["loss"]))
            found = values["logits"].argmax(1).cpu()
            single = batch.allowed.sum(1) == 1
            right.append(batch.allowed.gather(1, found[:, None])[:, 0][single].float())
            cell = batch.allowed[:, :-1].any(1)
            hits.append(
                ((found < len(self.held.classes) - 1) == cell)[batch.allowed.any(1)].float()
            )
        shares = {"accuracy": torch.cat(right), "wbc_accuracy": torch.cat(hits)}
        accuracies = {f"validation_{k}": float(v.mean()) for k, v in shares.items() if len(v)}
        return {"validation_loss": float(np.mean(losses)), **accuracies}
