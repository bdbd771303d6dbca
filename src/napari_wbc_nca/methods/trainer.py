"""Training, the same for all methods: samples, epochs, validation, a file to resume from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import nn

from napari_wbc_nca.datasets.splits import NO_VALIDATION, group_of, hold_out_groups
from napari_wbc_nca.io._files import write_whole
from napari_wbc_nca.io.weights import WeightsError
from napari_wbc_nca.models.build import check_weights, choose_device
from napari_wbc_nca.params import as_dict, check
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    from napari_wbc_nca.datasets.samples import Sample
    from napari_wbc_nca.methods.params import TrainParams

Item = TypeVar("Item")
Batch = TypeVar("Batch")

_MAY_CHANGE = {"epochs", "patience", "device"}


@dataclass
class TrainingState:
    """Epochs done and the best of them; what a resumed training starts from."""

    epoch: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer(ABC, Generic[Item, Batch]):
    """Training of one network; a method says how samples, batches and losses are made.

    The model `init` to start from gives classes and architecture. After each epoch `state_file` is
    written, from which training resumes; the caller removes it once the trained model is saved.
    Raises a ValueError when there is nothing to train on, `init` does not fit, or the state was
    written with other parameters.
    """

    method: str
    sampler: Any
    """What draws batches, by ``draw(count, random)``."""
    compatible: ClassVar[tuple[str, ...]]
    """Methods whose models training can start from."""

    def __init__(
        self,
        samples: Sequence[Sample],
        params: TrainParams,
        init: Checkpoint | None = None,
        state_file: Path | None = None,
    ) -> None:
        check(params)
        if init is None and not params.epochs:
            raise ValueError("0 epochs train nothing; give a model to start from, or some epochs")
        if init is not None and init.method not in self.compatible:
            raise ValueError(
                f"{init.name} is a model of {init.method}, and {self.method} cannot start from it; "
                f"choose a model of {' or '.join(self.compatible)}, or none"
            )
        self.samples, self.params, self.init, self.state_file = samples, params, init, state_file
        if init is not None:
            check_weights(init)
            self.params = self.inherit(init)
        self.state = TrainingState()
        self.classes = self.find_classes()
        torch.manual_seed(params.seed)
        self.architecture, self.network = self.build_network()

    @classmethod
    def run(
        cls,
        samples: Sequence[Sample],
        params: Any,
        init: Checkpoint | None = None,
        state_file: Path | None = None,
    ) -> Generator[Progress, None, Checkpoint]:
        """Train step by step; parameters are those of the class."""
        return (yield from cls(samples, params, init, state_file).train())

    @abstractmethod
    def find_classes(self) -> tuple[str, ...]:
        """List the class names in the order of the outputs; those of `init` where it is given."""

    def inherit(self, init: Checkpoint) -> TrainParams:
        """Replace the parameters that `init` decides; none by default."""
        return self.params

    @abstractmethod
    def build_network(self) -> tuple[dict[str, Any], nn.Module]:
        """Build architecture and network, with the weights of `init` where there is one."""

    @abstractmethod
    def labels(self, sample: Sample) -> Sequence[str]:
        """List the classes of a sample's cells, of which validation must leave some to train on."""

    @abstractmethod
    def prepare(self, sample: Sample, held: bool) -> list[Item]:
        """Bring a sample to the model's scale; `held` ones are validated on."""

    @abstractmethod
    def set_items(self, learn: list[Item], held: list[Item]) -> None:
        """Set up sampling from the prepared samples to train on, and to validate on."""

    def batches(self) -> Iterator[Batch]:
        """Draw the batches of one epoch by the method's sampler, the next in a thread meanwhile."""
        params, random = self.params, np.random.default_rng((self.params.seed, self.state.epoch))
        count = max(1, (params.samples_per_epoch or self.prepared) // params.batch_size)
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(self.sampler.draw, params.batch_size, random)
            for _ in range(count):
                batch = following.result()
                following = pool.submit(self.sampler.draw, params.batch_size, random)
                yield batch

    @abstractmethod
    def losses(self, batch: Batch, seed: int) -> dict[str, torch.Tensor]:
        """Compute the losses of a batch by name; ``loss`` is minimised."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Measure the items held out, at least ``validation_loss``; empty without any."""

    @abstractmethod
    def make_checkpoint(self) -> Checkpoint:
        """Return the trained model."""

    def module(self) -> nn.Module:
        """Return the module whose forward pass the losses take; the network by default."""
        return self.network

    def optimiser(self, module: nn.Module) -> torch.optim.Optimizer:
        """Return the optimiser; Adam by default."""
        return torch.optim.Adam(module.parameters(), self.params.learning_rate, betas=(0.9, 0.999))

    def train(self) -> Generator[Progress, None, Checkpoint]:
        """Train step by step and return the model with the best epoch's weights."""
        learn, held = yield from self._prepare_all()
        self.prepared = len(learn)
        self.set_items(learn, held)
        self.start()
        yield from self.fit()
        return self.make_checkpoint()

    def _prepare_all(self) -> Generator[Progress, None, tuple[list[Item], list[Item]]]:
        groups = [group_of(sample) for sample in self.samples]
        labels = [self.labels(sample) for sample in self.samples]
        params = self.params
        self.held_out = hold_out_groups(groups, labels, params.validation_share, params.seed)
        parts: tuple[list[Item], list[Item]] = ([], [])
        for number, sample in enumerate(self.samples):
            held = bool(self.held_out[number])
            parts[held].extend(self.prepare(sample, held))
            yield Progress(number + 1, len(self.samples), "Preparing samples")
        if params.validation_share and not parts[1]:
            yield Progress(0, params.epochs, NO_VALIDATION)
        return parts

    def start(self) -> None:
        """Move the network to its device, and resume where there is a state."""
        self.fabric = Fabric(accelerator=choose_device(self.params.device).type, devices=1)
        module = self.module()
        steps = self.optimiser(module)
        self.learner, self.steps = self.fabric.setup(module, steps)
        self.decay = torch.optim.lr_scheduler.ExponentialLR(steps, self.params.learning_rate_decay)
        if self.state_file is not None and self.state_file.exists():
            self._restore(self.state_file)

    def fit(self) -> Generator[Progress, None, None]:
        """Train until the last epoch, or until validation has not improved for long."""
        params, state = self.params, self.state
        while state.epoch < params.epochs:
            if params.patience and state.epoch - state.best_epoch >= params.patience:
                break
            self.learner.train()
            values = yield from self._epoch()
            self.learner.eval()
            with torch.no_grad():
                values |= self.validate()
            state.epoch += 1
            state.history.append(values)
            loss = values.get("validation_loss", -float(state.epoch))
            if loss < state.best_loss:
                state.best_loss, state.best_epoch = loss, state.epoch
                weights = self.network.state_dict()
                state.best_weights = {k: v.detach().clone() for k, v in weights.items()}
            self._save()
            yield Progress(state.epoch, params.epochs, "Training", values=values)
        if state.best_weights:
            self.network.load_state_dict(state.best_weights)
        self.learner.eval()

    def _epoch(self) -> Generator[Progress, None, dict[str, float]]:
        """Train on the batches of an epoch; returns the means of their losses."""
        found: list[dict[str, float]] = []
        for number, batch in enumerate(self.batches()):
            losses = self.losses(batch, seed=self.state.epoch * 100_003 + number)
            self._step(losses["loss"])
            found.append({name: float(value.detach()) for name, value in losses.items()})
            message = f"Training, batch {number + 1}{self.remark}"
            yield Progress(self.state.epoch, self.params.epochs, message)
        return {name: float(np.mean([values[name] for values in found])) for name in found[0]}

    remark = ""
    """What the progress says of each batch besides its number."""

    def _step(self, loss: torch.Tensor) -> None:
        self.steps.zero_grad()
        self.fabric.backward(loss)
        if self.params.max_grad_norm:
            nn.utils.clip_grad_norm_(self.learner.parameters(), self.params.max_grad_norm)
        self.steps.step()
        self.decay.step()

    def weights(self) -> dict[str, Any]:
        """Return the weights of the network as arrays."""
        weights = self.network.state_dict()
        return {name: value.detach().cpu().numpy().copy() for name, value in weights.items()}

    def card(self) -> dict[str, Any]:
        """Return what the card of every trained model says."""
        state, init = self.state, self.init
        empty = self.params.validation_share and not self.held_out.any()
        return {
            "data": dict(sorted(Counter(sample.source for sample in self.samples).items())),
            "params": as_dict(self.params),
            "epochs": state.epoch,
            "best_epoch": state.best_epoch,
            "validation": state.history[state.best_epoch - 1] if state.history else {},
            "parent": {"name": init.name, "sha256": init.sha256} if init else None,
            **({"notes": [NO_VALIDATION]} if empty else {}),
        }

    def _save(self) -> None:
        if self.state_file is None:
            return
        saved = {
            "state": vars(self.state),
            "network": self.network.state_dict(),
            "optimiser": self.steps.state_dict(),
            "decay": self.decay.state_dict(),
            "params": as_dict(self.params),
        }
        packed = BytesIO()
        torch.save(saved, packed)  # into memory: on a full disk torch does not say what is wrong
        with write_whole(self.state_file, error=WeightsError) as (part,):
            part.write_bytes(packed.getvalue())

    def _restore(self, path: Path) -> None:
        saved = torch.load(path, weights_only=True, map_location=self.fabric.device)
        fixed = {k: v for k, v in as_dict(self.params).items() if k not in _MAY_CHANGE}
        if changed := [k for k, v in fixed.items() if saved["params"].get(k) != v]:
            raise ValueError(
                f"{path} was written with other values of {', '.join(changed)}; resume with "
                "the same parameters, or remove the file to start from the beginning"
            )
        self.state = TrainingState(**saved["state"])
        self.network.load_state_dict(saved["network"])
        self.steps.load_state_dict(saved["optimiser"])
        self.decay.load_state_dict(saved["decay"])


def start_from(network: nn.Module, init: Checkpoint) -> None:
    """Load the weights of `init` wherever their shapes fit; others keep random values."""
    own = network.state_dict()
    fitting = {
        name: torch.tensor(value)
        for name, value in init.weights.items()
        if own[name].shape == value.shape
    }
    network.load_state_dict({**own, **fitting})


def check_classes(init: Checkpoint, found: set[str]) -> None:
    """Raise a ValueError where the samples have classes that `init` does not know."""
    if unknown := found - set(init.classes):
        raise ValueError(
            f"the samples have classes that {init.name} does not know: "
            f"{', '.join(sorted(unknown))}; it knows {', '.join(init.classes)}. Leave them out, or "
            "train without a model to start from"
        )


def augment_stain(image: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Vary stain, light and focus as laboratories do: mix and scale channels, blur, add noise."""
    mix = np.eye(3) + random.normal(0, 0.1, (3, 3))
    mix *= np.exp(random.normal(0, 0.3) + random.normal(0, 0.15, (3, 1)))
    stained = torch.einsum("ij,jyx->iyx", torch.from_numpy(mix.astype(np.float32)), image)
    if random.random() < 0.5:
        stained = _blur(stained, random.uniform(0.3, 1.1))
    offset = torch.from_numpy(random.normal(0, 0.03, (3, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(random.normal(0, 0.03, image.shape).astype(np.float32))
    return stained + offset + noise * float(random.random())


def _blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    offsets = torch.arange(-3, 4, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 7)
    padded = torch.nn.functional.pad(image[None], (3, 3, 3, 3), mode="replicate")
    across = torch.nn.functional.conv2d(padded, kernel, groups=3)
    return torch.nn.functional.conv2d(across, kernel.transpose(2, 3), groups=3)[0]
