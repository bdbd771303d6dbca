"""Training that both NCA methods share: weak labels or masks in, checkpoint out."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import nn

from napari_wbc_nca.io.datasets import NONE, TYPES, WBC, Sample
from napari_wbc_nca.io.samples import without_cut
from napari_wbc_nca.methods.choice import best_projection
from napari_wbc_nca.methods.losses import centre_loss, focal_loss
from napari_wbc_nca.methods.network import choose
from napari_wbc_nca.methods.readout import fit_readout
from napari_wbc_nca.methods.refit import refit
from napari_wbc_nca.methods.weak import Prepared, prepare
from napari_wbc_nca.methods.windows import Batch, Windows
from napari_wbc_nca.models.nca import NCA, Pool
from napari_wbc_nca.params import as_dict, check
from napari_wbc_nca.types import Checkpoint, Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.params import NcaTrainParams

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


@dataclass
class State:
    """Where a training stands; what a resumed one starts from."""

    epoch: int = 0
    best_loss: float = float("inf")
    best_epoch: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


def train(
    method: str,
    pool: Pool,
    samples: Sequence[Sample],
    params: NcaTrainParams,
    init: Checkpoint | None = None,
    state_file: Path | None = None,
) -> Generator[Progress, None, Checkpoint]:
    """Train a network from weak labels, and from masks where there are any.

    Parameters
    ----------
    method, pool
        Name of the method in the registry, and how its network pools.
    samples
        Pictures with classes, boxes, points or masks.
    params
        Size of the network and everything about its training.
    init
        Checkpoint to start from; its classes, architecture and normalisation are kept.
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
    _check_cells(samples)
    if init is not None:
        _check_fit(init, samples)
    if params.whole_cells:
        samples = [without_cut(sample) for sample in samples]
    classes = classes_of(samples) if init is None else init.classes
    normalisation = {"name": params.normalisation} if init is None else dict(init.normalisation)
    architecture = _architecture(params, pool, classes, init)
    prepared = yield from _prepare(samples, params, normalisation)
    kept, held = split(prepared, params.validation, params.seed)
    torch.manual_seed(params.seed)
    network = NCA(**architecture)
    if init is not None:
        _start_from(network, init)
    run = _Run(Learner(network, params.checkpointing), params, state_file)
    draw = partial(
        Windows,
        classes=classes,
        side=params.window,
        normalisation=normalisation,
        typed_share=params.typed_share,
        stain=params.stain,
    )
    learn, validate = draw(kept), draw(held, vary=False) if held else None
    if params.readout and not run.state.epoch:
        yield from fit_readout(run.network, learn, params)
    yield from run.epochs(learn, validate)
    network.load_state_dict(run.state.best_weights)
    if params.refit:
        yield from refit(network, learn, params)
    trained = Checkpoint(
        method=method,
        architecture=architecture,
        weights={k: v.detach().cpu().numpy().copy() for k, v in network.state_dict().items()},
        classes=classes,
        diameter=params.diameter,
        pixel_size=params.pixel_size,
        window=params.window,
        normalisation=normalisation,
        card=_card(samples, params, run.state, init),
    )
    if params.projection == "best":
        unseen = [samples[n] for n in _numbers(prepared, held)]
        found = yield from best_projection(trained, unseen, init, params.device)
        trained = replace(
            trained, card={**trained.card, "projection": found.pop("projection"), "held_out": found}
        )
    run.remove_state()
    return trained


def _numbers(prepared: Sequence[Prepared], some: Sequence[Prepared]) -> list[int]:
    """Positions of `some` of the samples among all."""
    wanted = {id(sample) for sample in some}
    return [number for number, sample in enumerate(prepared) if id(sample) in wanted]


def _check_cells(samples: Sequence[Sample]) -> None:
    """Refuse samples that show no white blood cell at all."""
    if not any(name != NONE for sample in samples for name in sample.names):
        raise ValueError(
            f"no white blood cell is labelled in {len(samples)} pictures; label some cells, and "
            "give each its class"
        )


def classes_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Class names in the order of the outputs: known types, others by name, ``none`` last.

    Raises
    ------
    ValueError
        When no cell has a type.
    """
    found = {name for sample in samples for name in sample.names} - {NONE, WBC}
    if not found:
        raise ValueError(
            "no cell has a type, only 'wbc' and 'none' were found; label some cells by their type"
        )
    return (*(t for t in TYPES if t in found), *sorted(found - set(TYPES)), NONE)


def _check_fit(init: Checkpoint, samples: Sequence[Sample]) -> None:
    """Refuse a checkpoint that training of these samples cannot start from."""
    if init.classes[-1] != NONE or "centre.weight" not in init.weights:
        raise ValueError(
            f"{init.name} has no class {NONE!r} at the end or no readout of pixels, as models "
            "that were trained elsewhere; train anew, without a model to start from"
        )
    found = {name for sample in samples for name in sample.names} - {WBC, *init.classes}
    if found:
        raise ValueError(
            f"the samples have classes that {init.name} does not know: "
            f"{', '.join(sorted(found))}; it knows {', '.join(init.classes)}. Leave them out, or "
            "train anew"
        )


def split(
    prepared: Sequence[Prepared], share: float, seed: int
) -> tuple[list[Prepared], list[Prepared]]:
    """Keep whole groups apart for validation, and every class among those trained on.

    Groups are taken at random until `share` of the samples is held out; a group without which
    some class had lost more than half of its cells is not taken.
    """
    counts: dict[str, dict[str, int]] = {}
    sizes: dict[str, int] = {}
    for sample in prepared:
        key = f"{sample.source}/{sample.group}"
        sizes[key] = sizes.get(key, 0) + 1
        for place in sample.places:
            by_name = counts.setdefault(key, {})
            by_name[place.name] = by_name.get(place.name, 0) + 1
    left = {n: sum(c.get(n, 0) for c in counts.values()) for c in counts.values() for n in c}
    half = {name: total / 2 for name, total in left.items()}
    held: set[str] = set()
    for key in np.random.default_rng(seed).permutation(sorted(sizes)):
        taken = counts.get(key, {})
        room = share * len(prepared) - sum(sizes[name] for name in held)
        if sizes[key] <= room and all(left[n] - c >= half[n] for n, c in taken.items()):
            held.add(key)
            left.update({name: left[name] - count for name, count in taken.items()})
    groups = [f"{sample.source}/{sample.group}" for sample in prepared]
    kept = [s for s, g in zip(prepared, groups, strict=True) if g not in held]
    return kept, [s for s, g in zip(prepared, groups, strict=True) if g in held]


def _prepare(
    samples: Sequence[Sample], params: NcaTrainParams, normalisation: dict[str, Any]
) -> Generator[Progress, None, list[Prepared]]:
    prepared = []
    for index, sample in enumerate(samples):
        prepared.append(prepare(sample, index, params.diameter, normalisation))
        yield Progress(index + 1, len(samples), "Reading weak labels")
    return prepared


def _architecture(
    params: NcaTrainParams, pool: Pool, classes: Sequence[str], init: Checkpoint | None
) -> dict[str, Any]:
    """Size of the network: that of `init` where there is one; pooled as the parameters say."""
    pool = "parts" if params.pooling == "parts" else pool
    if init is not None:
        return {**init.architecture, "pool": pool}
    names = ("channels", "hidden", "steps", "fire_rate")
    own = {name: getattr(params, name) for name in names}
    return {**own, "pool": pool, "classes": len(classes)}


def _start_from(network: NCA, init: Checkpoint) -> None:
    """Weights of `init` wherever they fit; a classifier of other features starts anew."""
    own = network.state_dict()
    fitting = {
        name: torch.tensor(value)
        for name, value in init.weights.items()
        if own[name].shape == value.shape
    }
    network.load_state_dict({**own, **fitting})


def _card(
    samples: Sequence[Sample], params: NcaTrainParams, state: State, init: Checkpoint | None
) -> dict[str, Any]:
    sources = sorted({sample.source for sample in samples})
    return {
        "data": {name: sum(s.source == name for s in samples) for name in sources},
        "params": as_dict(params),
        "projection": params.projection,
        "epochs": state.epoch,
        "best_epoch": state.best_epoch,
        "validation": state.history[state.best_epoch - 1] if state.history else {},
        "parent": {"name": init.name, "sha256": init.sha256} if init else None,
    }


class _Run:
    """One training: network, optimiser, and where they stand."""

    def __init__(self, learner: Learner, params: NcaTrainParams, state_file: Path | None) -> None:
        self.params, self.state_file, self.state = params, state_file, State()
        self.fabric = Fabric(accelerator=choose(params.device).type, devices=1)
        adam = torch.optim.Adam(learner.parameters(), params.learning_rate, betas=(0.9, 0.999))
        self.learner, self.adam = self.fabric.setup(learner, adam)
        self.network = learner.network
        self.decay = torch.optim.lr_scheduler.ExponentialLR(adam, params.decay)
        if state_file is not None and state_file.exists():
            self._restore(state_file)

    def epochs(self, learn: Windows, validate: Windows | None) -> Generator[Progress, None, None]:
        """Train until the last epoch, or until validation has not improved for long."""
        params, state = self.params, self.state
        while state.epoch < params.epochs:
            if params.patience and state.epoch - state.best_epoch >= params.patience:
                break
            values = yield from self._epoch(learn)
            if validate is not None:
                values |= self._validate(validate)
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

    def remove_state(self) -> None:
        """Remove the file to go on from, when all is done."""
        if self.state_file is not None:
            self.state_file.unlink(missing_ok=True)

    def _epoch(self, learn: Windows) -> Generator[Progress, None, dict[str, float]]:
        self.learner.train()
        total, count = {"loss": 0.0, "class_loss": 0.0, "centre_loss": 0.0}, 0
        for number, batch in enumerate(self._batches(learn)):
            values = self._losses(batch, seed=self.state.epoch * 100_003 + number)
            self.adam.zero_grad()
            self.fabric.backward(values["loss"])
            if self.params.clip:
                nn.utils.clip_grad_norm_(self.network.parameters(), self.params.clip)
            self.adam.step()
            self.decay.step()
            total = {name: total[name] + float(values[name].detach()) for name in total}
            count += 1
            yield Progress(self.state.epoch, self.params.epochs, f"Training, batch {count}")
        return {name: value / max(count, 1) for name, value in total.items()}

    def _losses(self, batch: Batch, seed: int) -> dict[str, torch.Tensor]:
        images, targets, allowed = map(
            self.fabric.to_device, (batch.images, batch.targets, batch.allowed)
        )
        # Far apart, so that no two windows of a batch share their draws.
        origin = torch.arange(len(images))[:, None] * torch.tensor([4096, 0])
        logits, readout = self.learner(images, seed, origin)
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
    def _validate(self, windows: Windows) -> dict[str, float]:
        """Losses and accuracies on the same windows each time."""
        self.learner.eval()
        random = np.random.default_rng(self.params.seed)
        losses, right, hits = [], [], []
        for number in range(_VALIDATION_BATCHES):
            batch = windows.draw(self.params.batch, random)
            values = self._losses(batch, seed=number)
            losses.append(float(values["loss"]))
            found = values["logits"].argmax(1).cpu()
            single = batch.allowed.sum(1) == 1
            right.append(batch.allowed.gather(1, found[:, None])[:, 0][single].float())
            cell = batch.allowed[:, :-1].any(1)
            hits.append(((found < len(windows.classes) - 1) == cell)[batch.allowed.any(1)].float())
        shares = {"accuracy": torch.cat(right), "wbc_accuracy": torch.cat(hits)}
        accuracies = {f"validation_{k}": float(v.mean()) for k, v in shares.items() if len(v)}
        return {"validation_loss": float(np.mean(losses)), **accuracies}

    def _save(self) -> None:
        if self.state_file is None:
            return
        partial = self.state_file.with_name(self.state_file.name + ".part")
        try:
            torch.save(
                {
                    "state": vars(self.state),
                    "network": self.network.state_dict(),
                    "adam": self.adam.state_dict(),
                    "decay": self.decay.state_dict(),
                    "params": as_dict(self.params),
                },
                partial,
            )
            os.replace(partial, self.state_file)
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise

    def _restore(self, path: Path) -> None:
        saved = torch.load(path, weights_only=True, map_location=self.fabric.device)
        changed = [k for k, v in as_dict(self.params).items() if saved["params"].get(k) != v]
        if set(changed) - {"epochs", "patience", "device"}:
            raise ValueError(
                f"{path} was written with other values of {', '.join(changed)}; resume with "
                "the same parameters, or remove the file to start anew"
            )
        self.state = State(**saved["state"])
        self.network.load_state_dict(saved["network"])
        self.adam.load_state_dict(saved["adam"])
        self.decay.load_state_dict(saved["decay"])
