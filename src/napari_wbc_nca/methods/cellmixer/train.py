"""Training of `cellmixer` from homogeneous populations."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.losses.tversky import TverskyLoss
from torch import nn
from torch.utils.data import DataLoader

from napari_wbc_nca.methods.cellmixer.mixtures import Mixtures
from napari_wbc_nca.methods.cellmixer.network import make, probabilities, start
from napari_wbc_nca.methods.cellmixer.params import by_recipe
from napari_wbc_nca.methods.cellmixer.samples import (
    Picture,
    classes_of,
    normalisation_of,
    prepare,
)
from napari_wbc_nca.methods.cellmixer.scale import diameters
from napari_wbc_nca.methods.trainer import Trainer
from napari_wbc_nca.params import as_dict, check
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    from napari_wbc_nca.datasets.samples import Sample
    from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams
    from napari_wbc_nca.methods.trainer import TrainingState


def losses(
    logits: torch.Tensor, present: torch.Tensor, known: torch.Tensor, params: CellmixerTrainParams
) -> dict[str, torch.Tensor]:
    r"""Tversky loss, cross-entropy, and their sum ``loss``.

    .. math:: 1 - \frac{TP}{TP + \alpha FP + \beta FN}

    for each class over the known pixels of the batch, then averaged over classes; Salehi et al.,
    *Tversky loss function for image segmentation using 3D fully convolutional deep networks*
    (2017).

    Parameters
    ----------
    logits
        ``(B, classes, h, w)``.
    present
        ``(B, classes, h, w)``: 1 where a class is seen.
    known
        ``(B, h, w)``: 0 where nothing is to be learnt.
    params
        Weights of the two, and α and β.
    """
    several = params.overlap_label == "both"
    seen = known[:, None].to(logits.dtype)
    target = present.to(logits.dtype)
    tversky = TverskyLoss(alpha=params.tversky_alpha, beta=params.tversky_beta, batch=True)(
        probabilities(logits, several) * seen, target * seen
    )
    if several:
        each = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)
    else:
        each = F.cross_entropy(logits, target, reduction="none")
    entropy = (each * seen[:, 0]).sum() / seen.sum().clamp(min=1)
    return {
        "loss": tversky + params.cross_entropy_weight * entropy,
        "tversky_loss": tversky,
        "cross_entropy": entropy,
    }


_VALIDATED = 4  # batches
_MOMENTUM = 0.9

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class MixerLoop(Trainer):
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
        As in :class:`~napari_wbc_nca.methods.trainer.Trainer`.
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
        if self.params.max_grad_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.params.max_grad_norm)
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
            top = probabilities(logits, self.params.overlap_label == "both").argmax(1, keepdim=True)
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
        batch = self.params.batch_size
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


_NOMINAL = 1.0  # µm a model pixel, written where it is unknown


def train(
    samples: Sequence[Sample],
    params: CellmixerTrainParams,
    init: Checkpoint | None = None,
    state_file: Path | None = None,
) -> Generator[Progress, None, Checkpoint]:
    """Train a network that gives each pixel a class, on mixtures of homogeneous pictures.

    *CellMixer: Annotation-free Semantic Cell Segmentation of Heterogeneous Cell Populations*.

    Parameters
    ----------
    samples
        Pictures of one class each, or fields with boxes; see
        :mod:`napari_wbc_nca.methods.cellmixer.boxes`.
    params
        Foreground, mixtures, network and everything about its training.
    init
        Model to start from; its classes, architecture and normalisation are kept.
    state_file
        Written after each epoch; training goes on from it where it exists, and removes it at
        the end.

    Yields
    ------
    Progress
        After each prepared sample and each epoch, with the losses.

    Raises
    ------
    ValueError
        When there is nothing to learn from, or `init` does not fit.
    """
    check(params)
    _check_values(params)
    if init is not None:
        params = _as(init, params)
    classes = classes_of(samples, params.populations) if init is None else init.classes
    if init is not None:
        _check_fit(init, samples)
    torch.manual_seed(params.seed)
    if init is None:
        network, architecture = start(params, len(classes))
    else:
        architecture = dict(init.architecture)
        network = make(architecture)
        network.load_state_dict({k: torch.tensor(v) for k, v in init.weights.items()})
    params = by_recipe(params, architecture["network"])
    side = params.crop_size
    pictures = yield from prepare(samples, params, classes, side)
    learn, held = split(pictures, params.validation_share, params.seed)
    loop = MixerLoop(network, params, learn, held, len(classes), side, state_file)
    yield from loop.epochs()
    typical = diameters(pictures, classes)
    scaled = params.diameter > 0 and any(sample.boxes is not None for sample in samples)
    return Checkpoint(
        method="cellmixer",
        architecture=architecture,
        weights={k: v.detach().cpu().numpy().copy() for k, v in network.state_dict().items()},
        classes=classes,
        diameter=params.diameter if scaled else max(typical.values()),
        pixel_size=params.pixel_size or _NOMINAL,
        window=side,
        normalisation=normalisation_of(params),
        card={
            "scale": "cells" if scaled else "pixels",
            "pixel_size_known": params.pixel_size > 0,
            "several": params.overlap_label == "both",
            "diameters": typical,
            **_record(samples, params, loop.state, init),
        },
    )


def split(
    pictures: Sequence[Picture], share: float, seed: int
) -> tuple[list[Picture], list[Picture]]:
    """Hold out a share of each class's groups; a class of one group keeps it.

    A group stays on one side; where pictures of several classes are of one, the class with
    fewest pictures decides.
    """
    held: set[str] = set()
    kept: set[str] = set()
    numbers = [picture.number for picture in pictures]
    for number in sorted(set(numbers), key=numbers.count):
        groups = sorted({picture.group for picture in pictures if picture.number == number})
        free = [group for group in groups if group not in held | kept]
        wanted = round(share * len(groups)) - len(held.intersection(groups))
        order = np.random.default_rng((seed, number)).permutation(free)
        most = max(0, min(wanted, len(groups) - len(held.intersection(groups)) - 1))
        held.update(order[:most].tolist())
        kept.update(order[most:].tolist())
    learn = [picture for picture in pictures if picture.group not in held]
    return learn, [picture for picture in pictures if picture.group in held]


def _check_values(params: CellmixerTrainParams) -> None:
    if -1 < params.cross_entropy_weight < 0:
        raise ValueError(
            f"cross_entropy_weight is {params.cross_entropy_weight:g}; give 0 or more, or -1 for "
            "the network's own"
        )
    if params.min_lambda > params.max_lambda:
        raise ValueError(
            f"lowest_share is {params.min_lambda:g} and highest_share {params.max_lambda:g}; "
            "the first must not exceed the second"
        )


def _check_fit(init: Checkpoint, samples: Sequence[Sample]) -> None:
    """Refuse a checkpoint that training of these samples cannot start from."""
    if init.method != "cellmixer":
        raise ValueError(
            f"{init.name} is a model of {init.method}; start from a model of cellmixer, or train "
            "anew"
        )
    found = {kind for sample in samples for kind in sample.kinds}
    if missing := set(init.classes[1:]) - found:
        raise ValueError(
            f"{init.name} knows {', '.join(init.classes[1:])}, but {', '.join(sorted(missing))} "
            "is not labelled in the samples; add pictures of it, or train anew"
        )


def _as(init: Checkpoint, params: CellmixerTrainParams) -> CellmixerTrainParams:
    """Parameters with what a checkpoint that training starts from has settled."""
    own = {name: value for name, value in init.normalisation.items() if name != "name"}
    return replace(
        params,
        normalisation=init.normalisation["name"],
        diameter=init.diameter if init.card.get("scale") == "cells" else 0.0,
        overlap_label="both" if init.card.get("several") else "second",
        **own,
    )


def _record(
    samples: Sequence[Sample],
    params: CellmixerTrainParams,
    state: TrainingState,
    init: Checkpoint | None,
) -> dict[str, Any]:
    """What a reader of the card must know."""
    sources = sorted({sample.source for sample in samples})
    return {
        "data": {name: sum(s.source == name for s in samples) for name in sources},
        "params": as_dict(params),
        "epochs": state.epoch,
        "best_epoch": state.best_epoch,
        "validation": state.history[state.best_epoch - 1] if state.history else {},
        "parent": {"name": init.name, "sha256": init.sha256} if init else None,
    }
