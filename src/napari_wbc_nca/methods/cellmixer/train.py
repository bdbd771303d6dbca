"""Training of `cellmixer` from homogeneous populations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.losses.tversky import TverskyLoss
from torch import nn
from torch.utils.data import DataLoader

from napari_wbc_nca.methods.cellmixer.mixtures import MixtureDataset
from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams, by_recipe
from napari_wbc_nca.methods.cellmixer.predict import probabilities
from napari_wbc_nca.methods.cellmixer.samples import (
    HomogeneousPicture,
    HomogeneousSampler,
    classes_of,
    normalisation_of,
)
from napari_wbc_nca.methods.cellmixer.scale import diameters
from napari_wbc_nca.methods.trainer import Trainer, start_from
from napari_wbc_nca.models import segmenter
from napari_wbc_nca.models.build import build_network
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    from napari_wbc_nca.datasets.samples import Sample

MixtureBatch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

_VALIDATION_BATCHES = 4
_MOMENTUM = 0.9
_NOMINAL_PIXEL_SIZE = 1.0  # µm, written where it is unknown


class CellmixerTrainer(Trainer[HomogeneousPicture, MixtureBatch]):
    """Training of a network that gives each pixel a class, on mixtures of homogeneous pictures.

    *CellMixer: Annotation-free Semantic Cell Segmentation of Heterogeneous Cell Populations*.
    Samples are pictures of one class each, or fields with boxes or masks, of which
    :mod:`napari_wbc_nca.methods.cellmixer.crops` makes such pictures.
    """

    method = "cellmixer"
    compatible = ("cellmixer",)
    params: CellmixerTrainParams

    def __init__(
        self,
        samples: Sequence[Sample],
        params: CellmixerTrainParams,
        init: Checkpoint | None = None,
        state_file: Path | None = None,
    ) -> None:
        _check_values(params)
        super().__init__(samples, params, init, state_file)
        self.samples = [s for s in samples if s.boxes is not None or s.kinds[0] in self.classes]
        self.remark = f" ({self.params.network})"
        side = self.params.crop_size
        self.homogeneous = HomogeneousSampler(self.samples, self.params, self.classes, side)

    def find_classes(self) -> tuple[str, ...]:
        """List the classes of the samples, or of the model to start from, background first."""
        if self.init is None:
            return classes_of(self.samples, self.params.populations)
        known = self.init.classes[1:]
        found = {kind for sample in self.samples for kind in sample.kinds}
        if missing := set(known) - found:
            raise ValueError(
                f"{self.init.name} knows {', '.join(known)}, but {', '.join(sorted(missing))} is "
                "not labelled in the samples; add pictures of it, or train without a model to "
                "start from"
            )
        return self.init.classes

    def inherit(self, init: Checkpoint) -> CellmixerTrainParams:
        """Replace the parameters that `init` decides."""
        own = {name: value for name, value in init.normalisation.items() if name != "name"}
        return replace(
            self.params,
            normalisation=init.normalisation["name"],
            diameter=init.diameter if init.card.get("scale") == "cells" else 0.0,
            overlap_label="both" if init.card.get("several") else "second",
            **own,
        )

    def build_network(self) -> tuple[dict[str, Any], nn.Module]:
        """Build the network, and complete the parameters by its recipe."""
        if self.init is None:
            network, architecture = start(self.params, len(self.classes))
        else:
            architecture = dict(self.init.architecture)
            network = build_network("cellmixer", architecture, len(self.classes))
            start_from(network, self.init)
        self.params = by_recipe(self.params, architecture["network"])
        return architecture, network

    def labels(self, sample: Sample) -> Sequence[str]:
        """List the classes of a sample's cells."""
        return sample.kinds

    def prepare(self, sample: Sample, held: bool) -> list[HomogeneousPicture]:
        """Make the homogeneous pictures of a sample."""
        return self.homogeneous.pictures(sample)

    def set_items(self, learn: list[HomogeneousPicture], held: list[HomogeneousPicture]) -> None:
        """Mix the pictures."""
        self.homogeneous.check_classes(learn)
        self.typical = diameters([*learn, *held], self.classes)
        self.count = self.params.samples_per_epoch or len(learn)
        size = (len(self.classes), self.params.crop_size, self.params)
        self.mixtures = MixtureDataset(learn, *size)
        self.held_mixtures = MixtureDataset(held, *size, augment=False) if held else None

    def optimiser(self, module: nn.Module) -> torch.optim.Optimizer:
        """Make the optimiser: Adam, or stochastic gradient descent with momentum."""
        if self.params.optimiser == "sgd":
            rate = self.params.learning_rate
            return torch.optim.SGD(module.parameters(), rate, momentum=_MOMENTUM)
        return super().optimiser(module)

    def batches(self) -> Iterator[MixtureBatch]:
        """Yield the batches of one epoch; each epoch mixes other numbers."""
        batches = max(self.count // self.params.batch_size, 1)
        first = self.state.epoch * self.count
        return self._load(self.mixtures, first, batches, self.params.workers)

    def _load(
        self, mixtures: MixtureDataset, first: int, batches: int, workers: int = 0
    ) -> Iterator[MixtureBatch]:
        """Return the batches of the mixtures from number `first` on."""
        size = self.params.batch_size
        numbers = range(first, first + batches * size)
        for batch in DataLoader(mixtures, size, sampler=numbers, num_workers=workers):
            move = self.fabric.to_device
            yield move(batch[0]), move(batch[1]), move(batch[2])

    def losses(self, batch: MixtureBatch, seed: int) -> dict[str, torch.Tensor]:
        """Compute Tversky loss, cross-entropy, and their weighted sum."""
        image, present, known = batch
        return losses(self.learner(image), present, known, self.params)

    def validate(self) -> dict[str, float]:
        """Measure loss and mean IoU of the cells' classes on mixtures of the pictures held out."""
        if self.held_mixtures is None:
            return {}
        shared = joined = torch.zeros(())
        found = []
        for image, present, known in self._load(self.held_mixtures, 0, _VALIDATION_BATCHES):
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

    def make_checkpoint(self) -> Checkpoint:
        """Return the trained model, with the typical diameter of each class."""
        params = self.params
        boxed = any(sample.boxes is not None for sample in self.samples)
        scaled = params.diameter > 0 and boxed
        return Checkpoint(
            method=self.method,
            architecture=self.architecture,
            weights=self.weights(),
            classes=self.classes,
            diameter=params.diameter if scaled else max(self.typical.values()),
            pixel_size=params.pixel_size or _NOMINAL_PIXEL_SIZE,
            window=params.crop_size,
            normalisation=normalisation_of(params),
            card={
                "scale": "cells" if scaled else "pixels",
                "pixel_size_known": params.pixel_size > 0,
                "several": params.overlap_label == "both",
                "diameters": self.typical,
                **self.card(),
            },
        )


train = CellmixerTrainer.run


def losses(
    logits: torch.Tensor, present: torch.Tensor, known: torch.Tensor, params: CellmixerTrainParams
) -> dict[str, torch.Tensor]:
    r"""Compute Tversky loss, cross-entropy, and their weighted sum ``loss``.

    .. math:: 1 - \frac{TP}{TP + \alpha FP + \beta FN}

    for each class over the known pixels of the batch, then averaged over classes; Salehi et al.,
    *Tversky loss function for image segmentation using 3D fully convolutional deep networks*
    (2017). `logits` and `present`, 1 where a pixel shows the class, are ``(B, classes, h, w)``;
    `known` is ``(B, h, w)``, 0 where a pixel is left out.
    """
    several = params.overlap_label == "both"
    weight = known[:, None].to(logits.dtype)
    target = present.to(logits.dtype)
    tversky = TverskyLoss(alpha=params.tversky_alpha, beta=params.tversky_beta, batch=True)(
        probabilities(logits, several) * weight, target * weight
    )
    if several:
        each = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(1)
    else:
        each = F.cross_entropy(logits, target, reduction="none")
    entropy = (each * weight[:, 0]).sum() / weight.sum().clamp(min=1)
    return {
        "loss": tversky + params.cross_entropy_weight * entropy,
        "tversky_loss": tversky,
        "cross_entropy": entropy,
    }


def _check_values(params: CellmixerTrainParams) -> None:
    if -1 < params.cross_entropy_weight < 0:
        raise ValueError(
            f"cross_entropy_weight is {params.cross_entropy_weight:g}; give 0 or more, or -1 for "
            "the network's own"
        )
    if params.min_lambda > params.max_lambda:
        raise ValueError(
            f"min_lambda is {params.min_lambda:g} and max_lambda {params.max_lambda:g}; the first "
            "must not exceed the second"
        )


def start(params: CellmixerTrainParams, outputs: int) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network to be trained, and its architecture as a card keeps it.

    Raises a ValueError, which says what to do, when DINOv2 or an encoder other than the default is
    asked for and not there.
    """
    if params.network != "unet":
        wanted = params.network == "dinov2" or params.encoder != CellmixerTrainParams.encoder
        try:
            encoder = segmenter.pretrained(params.encoder, download=wanted)
        except ValueError:
            if wanted:
                raise
        else:
            sizes = segmenter.sizes_of(encoder)
            architecture = {"network": "dinov2", "outputs": outputs, "layers": 2, **sizes}
            return segmenter.Segmenter(encoder, outputs), architecture
    architecture = {
        "network": "unet",
        "channels_in": 3,
        "outputs": outputs,
        "widths": params.widths,
        "align_corners": False,
    }
    return build_network("cellmixer", architecture, outputs), architecture
