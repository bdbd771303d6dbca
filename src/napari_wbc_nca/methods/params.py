"""Parameters that all methods share; free of torch, so that forms and command line load fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from napari_wbc_nca.params import Bounds
from napari_wbc_nca.types import Device


@dataclass(frozen=True)
class PredictParams:
    """Parameters of running a model, whatever its method."""

    pixel_size: Annotated[
        float, Bounds("Side of a pixel; 0 takes the image's own", "µm", low=0, high=100)
    ] = 0.0
    diameter: Annotated[
        float, Bounds("Diameter of a white blood cell; 0 estimates it", "px", low=0, high=10_000)
    ] = 0.0
    maps: Annotated[bool, Bounds("Add the maps behind the labels as images")] = False
    device: Annotated[Device, Bounds("Where the network runs", advanced=True)] = "auto"
    tile: Annotated[
        int, Bounds("Side of a tile of the field", "px", low=128, high=16_384, advanced=True)
    ] = 2048
    batch_size: Annotated[
        int,
        Bounds("Windows that go through the network at a time", low=2, high=1024, advanced=True),
    ] = 16


Epochs = Annotated[int, Bounds("Epochs at most", low=0, high=100_000)]
SamplesPerEpoch = Annotated[int, Bounds("Windows drawn per epoch; 0 takes one a picture", low=0)]
BatchSize = Annotated[int, Bounds("Windows per optimiser step", low=1, high=1024)]
LearningRate = Annotated[float, Bounds("Step size of the optimiser", low=0, high=1)]
LearningRateDecay = Annotated[float, Bounds("Factor of the step size, each step", low=0.5, high=1)]
MaxGradNorm = Annotated[float, Bounds("Norm at which gradients are clipped; 0 does not", low=0)]


@dataclass(frozen=True)
class TrainParams:
    """Parameters of the training loop, whatever the method.

    A method overrides a default by the field's alias, such as ``epochs: Epochs = 500``.
    """

    epochs: Epochs = 128
    samples_per_epoch: SamplesPerEpoch = 0
    batch_size: BatchSize = 16
    learning_rate: LearningRate = 1e-3
    learning_rate_decay: LearningRateDecay = 1.0
    max_grad_norm: MaxGradNorm = 1.0
    validation_share: Annotated[
        float,
        Bounds("Share of the groups (slides, patients) kept for validation", low=0, high=0.9),
    ] = 0.1
    patience: Annotated[
        int, Bounds("Epochs without improvement before stopping; 0 never stops", low=0)
    ] = 0
    seed: Annotated[int, Bounds("Seed of everything random", low=0)] = 0
    device: Annotated[Device, Bounds("Where the network trains")] = "auto"
