"""Training that both NCA methods share: weak labels or masks in, checkpoint out."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from napari_wbc_nca.datasets.readers import NONE, TYPES, WBC, Sample
from napari_wbc_nca.datasets.samples import without_cut_cells
from napari_wbc_nca.methods.nca.losses import centre_loss, focal_loss
from napari_wbc_nca.methods.nca.projection_selection import best_projection
from napari_wbc_nca.methods.nca.readout import fit_readout, refit
from napari_wbc_nca.methods.nca.samples import Prepared, prepare
from napari_wbc_nca.methods.nca.windows import Windows
from napari_wbc_nca.methods.trainer import Trainer
from napari_wbc_nca.models.build import weight_shapes
from napari_wbc_nca.models.nca import NCA, Pool
from napari_wbc_nca.params import as_dict, check
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    from napari_wbc_nca.methods.nca.params import NcaTrainParams
    from napari_wbc_nca.methods.nca.windows import Batch
    from napari_wbc_nca.methods.trainer import TrainingState


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


class NcaLoop(Trainer):
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
        As in :class:`~napari_wbc_nca.methods.trainer.Trainer`.
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
        super().__init__(
            Learner(network, params.gradient_checkpointing),
            params,
            state_file,
            params.max_grad_norm,
        )
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
        class_loss = focal_loss(logits, allowed, self.params.focal_gamma)
        pixel_loss = centre_loss(readout, targets)
        loss = class_loss + self.params.pixel_loss_weight * pixel_loss
        return {"loss": loss, "class_loss": class_loss, "centre_loss": pixel_loss, "logits": logits}

    def _batches(self, windows: Windows) -> Iterator[Batch]:
        """Batches of an epoch; the next is drawn while the last is learnt from."""
        wanted = self.params.samples_per_epoch or len(windows.samples)
        random = np.random.default_rng((self.params.seed, self.state.epoch))
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(windows.draw, self.params.batch_size, random)
            for _ in range(max(1, wanted // self.params.batch_size)):
                batch = following.result()
                following = pool.submit(windows.draw, self.params.batch_size, random)
                yield batch

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Loss and accuracies on the same windows each time; empty where none are held out."""
        if self.held is None:
            return {}
        random = np.random.default_rng(self.params.seed)
        losses, right, hits = [], [], []
        for number in range(_VALIDATION_BATCHES):
            batch = self.held.draw(self.params.batch_size, random)
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
    if not params.epochs and init is None:
        raise ValueError("0 epochs train nothing; give a model to start from, or some epochs")
    if init is not None:
        _check_fit(init, samples)
    if params.exclude_border_cells:
        samples = [without_cut_cells(sample) for sample in samples]
    classes = classes_of(samples) if init is None else init.classes
    normalisation = {"name": params.normalisation} if init is None else dict(init.normalisation)
    architecture = _architecture(params, pool, classes, init)
    weight_shapes("nca_wss", architecture, len(classes))
    prepared = yield from _prepare(samples, params, normalisation)
    kept, held = split(prepared, params.validation_share, params.seed)
    torch.manual_seed(params.seed)
    network = NCA(**architecture)
    if init is not None:
        _start_from(network, init)
        _check_kept(network, init, params)
    draw = partial(
        Windows,
        classes=classes,
        side=params.window,
        normalisation=normalisation,
        typed_share=params.typed_share,
        stain=params.stain_augmentation,
    )
    learn, validate = draw(kept), draw(held, vary=False) if held else None
    loop = NcaLoop(network, params, learn, validate, state_file)
    if params.readout_fit_windows and not loop.state.epoch:
        yield from fit_readout(network, learn, params)
    yield from loop.epochs()
    if params.classifier_fit_windows:
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
        card=_card(samples, params, loop.state, init),
    )
    if params.projection == "best":
        unseen = [samples[n] for n in _numbers(prepared, held)]
        found = yield from best_projection(trained, unseen, init, params.device)
        trained = replace(
            trained, card={**trained.card, "projection": found.pop("projection"), "held_out": found}
        )
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


def _check_kept(network: NCA, init: Checkpoint, params: NcaTrainParams) -> None:
    """Refuse to keep a classifier that neither came with `init` nor would be trained."""
    fits = network.fc2.weight.shape == init.weights["fc2.weight"].shape
    if not (fits or params.epochs or params.classifier_fit_windows):
        raise ValueError(
            f"{init.name} pools its features in another way, so that its classifier starts anew, "
            "and 0 epochs would leave it so; pool as the model does (pooling 'parts' or "
            "'method'), or refit"
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
    samples: Sequence[Sample], params: NcaTrainParams, state: TrainingState, init: Checkpoint | None
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
