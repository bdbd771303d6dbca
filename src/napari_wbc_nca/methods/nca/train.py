"""Training of both NCA methods from classes, boxes, points or masks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import ndimage as ndi
from torch import nn

from napari_wbc_nca.cell_types import NONE, TYPES, WBC
from napari_wbc_nca.datasets.masks import read_mask_arrays
from napari_wbc_nca.datasets.samples import Sample, read_rgb, without_cut_cells
from napari_wbc_nca.methods.nca.fit import (
    fit_classifier,
    fit_linear_readout,
    focal_loss,
    readout_loss,
)
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.methods.nca.predict import predict
from napari_wbc_nca.methods.nca.samples import PreparedSample, WindowBatch, WindowSampler, prepare
from napari_wbc_nca.methods.nca.train_crops import (
    PUBLISHED,
    MaxCropTrainer,
    WssCropTrainer,
    fit_published,
)
from napari_wbc_nca.methods.trainer import Trainer, check_classes, start_from
from napari_wbc_nca.models.nca import NCA, Pool
from napari_wbc_nca.ops.metrics import label_iou
from napari_wbc_nca.ops.stain import sample_field
from napari_wbc_nca.progress import Progress, map_progress
from napari_wbc_nca.types import Checkpoint, Device, Image

if TYPE_CHECKING:
    from napari_wbc_nca.methods.nca.params import NcaTrainParams

CANDIDATES = ("grown", "centre")
"""Projections that use the readout, which masks train; the first where none is better."""
_VALIDATION_BATCHES = 4


class Learner(nn.Module):
    """Network whose forward pass returns what the losses need."""

    def __init__(self, network: NCA, checkpointing: bool) -> None:
        super().__init__()
        self.network, self.checkpointing = network, checkpointing

    def forward(
        self, images: torch.Tensor, seed: int, origin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute class logits ``(B, classes)`` and the readout ``(B, h, w, 2)``."""
        state = self.network.rollout(images, seed, origin, checkpointing=self.checkpointing)
        return self.network.classify(state), self.network.readout(state)


class NcaTrainer(Trainer[PreparedSample, WindowBatch]):
    """Training of an automaton on windows; see :class:`~napari_wbc_nca.methods.trainer.Trainer`."""

    compatible = ("nca_wss", "nca_max")
    pool: Pool
    params: NcaTrainParams
    network: NCA
    sampler: WindowSampler

    def __init__(
        self,
        samples: Sequence[Sample],
        params: NcaTrainParams,
        init: Checkpoint | None = None,
        state_file: Path | None = None,
    ) -> None:
        if params.pooling == "parts":
            self.pool = "parts"
        if params.exclude_border_cells:
            samples = [without_cut_cells(sample) for sample in samples]
        self.normalisation: dict[str, Any] = {"name": params.normalisation}
        if init is not None:
            self.normalisation = dict(init.normalisation)
        elif params.normalisation == PUBLISHED:
            pictures = (sample_field(read_rgb(sample)) / 255 for sample in samples)
            self.normalisation = fit_published(pictures)
        super().__init__(samples, params, init, state_file)

    def find_classes(self) -> tuple[str, ...]:
        """List the class names of the samples; known types first, ``none`` last."""
        if not any(name != NONE for sample in self.samples for name in sample.names):
            raise ValueError(
                f"no white blood cell is labelled in {len(self.samples)} pictures; label some "
                "cells, and give each its class"
            )
        if self.init is None:
            return classes_of(self.samples)
        if self.init.classes[-1] != NONE or "centre.weight" not in self.init.weights:
            raise ValueError(
                f"{self.init.name} has no class {NONE!r} at the end or no readout of pixels, as "
                "models that were trained elsewhere; train without a model to start from"
            )
        check_classes(self.init, {name for s in self.samples for name in s.names} - {WBC})
        return self.init.classes

    def build_network(self) -> tuple[dict[str, Any], nn.Module]:
        """Build the automaton; a classifier of features pooled in another way is not taken over."""
        params, init = self.params, self.init
        if init is None:
            sizes = {n: getattr(params, n) for n in ("channels", "hidden", "steps", "fire_rate")}
            architecture = {**sizes, "pool": self.pool, "classes": len(self.classes)}
            network = NCA(**architecture)
            if params.update_init == "zero":
                nn.init.zeros_(network.fc1.weight)
            return architecture, network
        architecture = {**init.architecture, "pool": self.pool}
        network = NCA(**architecture)
        start_from(network, init)
        fits = network.fc2.weight.shape == init.weights["fc2.weight"].shape
        if not (fits or params.epochs or params.classifier_fit_windows):
            raise ValueError(
                f"{init.name} pools its features in another way, so that its classifier has to be "
                "trained, and 0 epochs would not; pool as the model does (pooling 'parts' or "
                "'method'), or set classifier_fit_windows"
            )
        return architecture, network

    def labels(self, sample: Sample) -> Sequence[str]:
        """List the classes of a sample's cells."""
        return sample.names

    def prepare(self, sample: Sample, held: bool) -> list[PreparedSample]:
        """Bring a sample to the model's scale."""
        return [prepare(sample, self.params.diameter, self.normalisation)]

    def set_items(self, learn: list[PreparedSample], held: list[PreparedSample]) -> None:
        """Draw windows of the samples."""
        params = self.params
        fixed = (self.classes, params.window, self.normalisation, params.typed_share)
        self.sampler = WindowSampler(learn, *fixed, True, params.stain_augmentation)
        self.held_sampler = WindowSampler(held, *fixed, augment=False) if held else None

    def module(self) -> nn.Module:
        """Wrap the network, whose losses need both outputs."""
        return Learner(self.network, self.params.gradient_checkpointing)

    def fit(self) -> Generator[Progress, None, None]:
        """Fit the readout first and the classifier last, where the parameters say so."""
        if self.params.readout_fit_windows and not self.state.epoch:
            yield from fit_linear_readout(self.network, self.sampler, self.params)
        yield from super().fit()
        if self.params.classifier_fit_windows:
            yield from fit_classifier(self.network, self.sampler, self.params)

    def losses(self, batch: WindowBatch, seed: int) -> dict[str, torch.Tensor]:
        """Compute the loss, and its parts of the classes and of the pixels."""
        return self._run(batch, seed)[0]

    def _run(self, batch: WindowBatch, seed: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return losses, and class logits ``(B, classes)``."""
        images, targets, allowed = map(
            self.fabric.to_device, (batch.images, batch.targets, batch.allowed)
        )
        logits, readout = self.learner(images, seed, batch.origin)
        class_loss = focal_loss(logits, allowed, self.params.focal_gamma)
        pixel_loss = readout_loss(readout, targets)
        loss = class_loss + self.params.pixel_loss_weight * pixel_loss
        return {"loss": loss, "class_loss": class_loss, "readout_loss": pixel_loss}, logits

    def validate(self) -> dict[str, float]:
        """Measure loss and accuracies, on the same windows each time."""
        if self.held_sampler is None:
            return {}
        random = np.random.default_rng(self.params.seed)
        losses, right, hits = [], [], []
        for number in range(_VALIDATION_BATCHES):
            batch = self.held_sampler.draw(self.params.batch_size, random)
            values, logits = self._run(batch, seed=number)
            losses.append(float(values["loss"]))
            found = logits.argmax(1).cpu()
            single = batch.allowed.sum(1) == 1
            right.append(batch.allowed.gather(1, found[:, None])[:, 0][single].float())
            cell = batch.allowed[:, :-1].any(1)
            hits.append(((found < len(self.classes) - 1) == cell)[batch.allowed.any(1)].float())
        shares = {"accuracy": torch.cat(right), "wbc_accuracy": torch.cat(hits)}
        accuracies = {f"validation_{k}": float(v.mean()) for k, v in shares.items() if len(v)}
        return {"validation_loss": float(np.mean(losses)), **accuracies}

    def make_checkpoint(self) -> Checkpoint:
        """Return the trained model."""
        return Checkpoint(
            method=self.method,
            architecture=self.architecture,
            weights=self.weights(),
            classes=self.classes,
            diameter=self.params.diameter,
            pixel_size=self.params.pixel_size,
            window=self.params.window,
            normalisation=self.normalisation,
            card={**self.card(), "projection": self.params.projection},
        )

    def train(self) -> Generator[Progress, None, Checkpoint]:
        """Train, and choose the projection on the samples held out where that is asked for."""
        trained = yield from super().train()
        if self.params.projection != "best":
            return trained
        held = [sample for sample, out in zip(self.samples, self.held_out, strict=True) if out]
        found = yield from best_projection(trained, held, self.init, self.params.device)
        card = {**trained.card, "projection": found.pop("projection"), "held_out": found}
        return replace(trained, card=card)


class WssTrainer(NcaTrainer):
    """Training of NCA-WSS, which pools a window by the mean."""

    method, pool = "nca_wss", "mean"


class MaxTrainer(NcaTrainer):
    """Training of WBC-NCA, which pools a window by the maximum."""

    method, pool = "nca_max", "max"


def train_wss(
    samples: Sequence[Sample],
    params: NcaTrainParams,
    init: Checkpoint | None = None,
    state_file: Path | None = None,
) -> Generator[Progress, None, Checkpoint]:
    """Train NCA-WSS on windows around cells, or on the classes of whole crops."""
    trainer = WssCropTrainer if params.supervision == "images" else WssTrainer
    return (yield from trainer.run(samples, params, init, state_file))


def train_max(
    samples: Sequence[Sample],
    params: NcaTrainParams,
    init: Checkpoint | None = None,
    state_file: Path | None = None,
) -> Generator[Progress, None, Checkpoint]:
    """Train WBC-NCA on windows around cells, or on the classes of whole crops."""
    trainer = MaxCropTrainer if params.supervision == "images" else MaxTrainer
    return (yield from trainer.run(samples, params, init, state_file))


def classes_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """List the class names in the order of the outputs: types, others by name, ``none`` last."""
    found = {name for sample in samples for name in sample.names} - {NONE, WBC}
    if not found:
        raise ValueError(
            "no cell has a type, only 'wbc' and 'none' were found; label some cells by their type"
        )
    return (*(t for t in TYPES if t in found), *sorted(found - set(TYPES)), NONE)


def best_projection(
    checkpoint: Checkpoint, held: Sequence[Sample], parent: Checkpoint | None, device: Device
) -> Generator[Progress, None, dict[str, Any]]:
    """Choose the ``projection`` with the best masks on samples that were held out.

    The result also holds ``cells``, how many were measured, and ``cell_iou``, the mean IoU by
    projection, and of the ``parent`` that training started from, with the projection of its card.
    Without any mask, it is the first candidate and no cells.
    """
    masked = [sample for sample in held if sample.masks is not None and _white_labels(sample)]
    runs = [(name, checkpoint, name) for name in CANDIDATES]
    if parent is not None:
        runs.append(("parent", parent, "model"))
    scores: dict[str, list[float]] = {name: [] for name, _, _ in runs}
    for number, sample in enumerate(masked):
        progress = Progress(number, len(masked), "Comparing projections")
        for name, model, projection in runs:
            params = NcaParams(locate="points", projection=projection, device=device)  # type: ignore[arg-type]
            scores[name] += yield from _ious(model, sample, params, progress)
    means = {name: float(np.mean(values)) for name, values in scores.items() if values}
    found = max(CANDIDATES, key=lambda name: means.get(name, 0.0))
    return {"projection": found, "cells": len(scores[found]), "cell_iou": means}


def _white_labels(sample: Sample) -> list[int]:
    """Return the labels of the sample's white blood cells."""
    labels = () if sample.masks is None else sample.masks.labels
    return [n for n, name in zip(labels, sample.names, strict=True) if name != NONE]


def _ious(
    checkpoint: Checkpoint, sample: Sample, params: NcaParams, progress: Progress
) -> Generator[Progress, None, list[float]]:
    """Measure the IoU of each mask with the cell segmented from the mask's centroid."""
    rgb = read_rgb(sample)
    assert sample.masks is not None
    cell = read_mask_arrays(sample.masks, rgb.shape).cell
    true = np.where(np.isin(cell, _white_labels(sample)), cell, 0)
    labels = np.unique(true[true > 0])
    points = np.asarray(ndi.center_of_mass(true > 0, true, labels)).reshape(-1, 2)
    steps = predict(Image(rgb, sample.path.stem), checkpoint, params, points)
    found = yield from map_progress(steps, lambda _: progress)
    shared = label_iou(true, np.asarray(found.labels["cell"]))
    return [float(row.max(initial=0.0)) for row in shared]
