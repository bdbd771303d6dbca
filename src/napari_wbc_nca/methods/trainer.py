"""The loop that a training goes round: epochs, the best of them, and a file to go on from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from lightning.fabric import Fabric
from torch import nn

from napari_wbc_nca.io._files import write_whole
from napari_wbc_nca.io.weights import WeightsError
from napari_wbc_nca.models.build import choose_device
from napari_wbc_nca.params import as_dict
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.types import Device

_MAY_CHANGE = {"epochs", "patience", "device"}


class TrainerParams(Protocol):
    """What a loop needs to be told."""

    @property
    def epochs(self) -> int:
        """Epochs at most."""

    @property
    def patience(self) -> int:
        """Epochs without improvement before stopping; 0 never stops."""

    @property
    def learning_rate(self) -> float:
        """Step size of the optimiser."""

    @property
    def learning_rate_decay(self) -> float:
        """Factor of the step size, each step."""

    @property
    def device(self) -> Device:
        """Where the network trains."""


@dataclass
class TrainingState:
    """Where a training stands; what a resumed one starts from."""

    epoch: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer(ABC):
    """One training: network, optimiser, and where they stand.

    Parameters
    ----------
    network
        To be trained.
    params
        Steps and epochs.
    state_file
        Written after each epoch; training goes on from it where it exists. Who has kept the trained
        model removes it.
    clip
        Norm at which gradients are clipped; 0 does not.

    Raises
    ------
    ValueError
        When the state was written with other parameters.
    """

    def __init__(
        self,
        network: nn.Module,
        params: TrainerParams,
        state_file: Path | None,
        clip: float = 0.0,
    ) -> None:
        self.clip = clip
        self.params, self.state_file, self.state = params, state_file, TrainingState()
        self.fabric = Fabric(accelerator=choose_device(params.device).type, devices=1)
        adam = self.optimiser(network)
        self.learner, self.adam = self.fabric.setup(network, adam)
        self.network = network
        self.decay = torch.optim.lr_scheduler.ExponentialLR(adam, params.learning_rate_decay)
        if state_file is not None and state_file.exists():
            self._restore(state_file)

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        """What takes the steps: Adam, where a method does not know better."""
        return torch.optim.Adam(network.parameters(), self.params.learning_rate, betas=(0.9, 0.999))

    @abstractmethod
    def epoch(self) -> Generator[Progress, None, dict[str, float]]:
        """Train once over the samples; returns the losses."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Figures of the samples held out; ``validation_loss`` tells the best epoch.

        Empty where none are held out: the last epoch is the best.
        """

    def epochs(self) -> Generator[Progress, None, None]:
        """Train until the last epoch, or until validation has not improved for long.

        The network has the best epoch's weights in the end.
        """
        params, state = self.params, self.state
        while state.epoch < params.epochs:
            if params.patience and state.epoch - state.best_epoch >= params.patience:
                break
            self.learner.train()
            values = yield from self.epoch()
            self.learner.eval()
            values |= self.validate()
            state.epoch += 1
            state.history.append(values)
            loss = values.get("validation_loss", -float(state.epoch))
            if loss < state.best_loss:
                state.best_loss, state.best_epoch = loss, state.epoch
                state.best_weights = {
                    k: v.detach().clone() for k, v in self.network.state_dict().items()
                }
            self._save()
            yield Progress(state.epoch, params.epochs, "Training", values=values)
        if state.best_weights:
            self.network.load_state_dict(state.best_weights)

    def step(self, loss: torch.Tensor) -> None:
        """Learn from a batch's loss."""
        self.adam.zero_grad()
        self.fabric.backward(loss)
        if self.clip:
            nn.utils.clip_grad_norm_(self.learner.parameters(), self.clip)
        self.adam.step()
        self.decay.step()

    def _save(self) -> None:
        if self.state_file is None:
            return
        saved = {
            "state": vars(self.state),
            "network": self.network.state_dict(),
            "adam": self.adam.state_dict(),
            "decay": self.decay.state_dict(),
            "params": as_dict(self.params),
        }
        packed = BytesIO()
        torch.save(saved, packed)  # into memory: on a full disk torch does not say what is wrong
        with write_whole(self.state_file, error=WeightsError) as (part,):
            part.write_bytes(packed.getvalue())

    def _restore(self, path: Path) -> None:
        saved = torch.load(path, weights_only=True, map_location=self.fabric.device)
        changed = [k for k, v in as_dict(self.params).items() if saved["params"].get(k) != v]
        if set(changed) - _MAY_CHANGE:
            raise ValueError(
                f"{path} was written with other values of {', '.join(changed)}; resume with "
                "the same parameters, or remove the file to start anew"
            )
        self.state = TrainingState(**saved["state"])
        self.network.load_state_dict(saved["network"])
        self.adam.load_state_dict(saved["adam"])
        self.decay.load_state_dict(saved["decay"])
