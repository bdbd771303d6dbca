"""Parameters that all methods share; free of torch, so that forms and command line load fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_wbc_nca.params import bounded
from napari_wbc_nca.types import ChannelOrder, Device


@dataclass(frozen=True)
class PredictParams:
    """Parameters of running a model, whatever its method."""

    pixel_size: float = bounded(0.0, "Side of a pixel; 0 takes the image's own", 0, 100, "µm")
    diameter: float = bounded(
        0.0, "Diameter of a white blood cell; 0 estimates it", 0, 10_000, "px"
    )
    maps: bool = bounded(False, "Add the maps behind the labels as images")
    channel_order: ChannelOrder = bounded(
        "auto",
        "Order of the colours in the image; 'auto' exchanges red and blue where they are surely "
        "swapped",
        advanced=True,
    )
    device: Device = bounded("auto", "Where the network runs", advanced=True)
    tile: int = bounded(2048, "Side of a tile of the field", 128, 16_384, "px", advanced=True)
    batch_size: int = bounded(
        16, "Windows that go through the network at a time", 2, 1024, advanced=True
    )


@dataclass(frozen=True)
class TrainParams:
    """Parameters of the training loop, whatever the method."""

    recipe: Literal["bundled", "paper"] = bounded(
        "bundled",
        "Where parameters that are not given come from: the defaults here, or the numbers and the "
        "form of data of the method's 'paper'",
    )
    epochs: int = bounded(128, "Maximum number of epochs", 0, 100_000)
    samples_per_epoch: int = bounded(0, "Windows drawn per epoch; 0 takes one a picture", 0)
    batch_size: int = bounded(16, "Windows per optimiser step", 1, 1024)
    learning_rate: float = bounded(1e-3, "Step size of the optimiser", 0, 1)
    learning_rate_decay: float = bounded(1.0, "Factor of the step size, each step", 0.5, 1)
    max_grad_norm: float = bounded(1.0, "Norm at which gradients are clipped; 0 does not", 0)
    validation_share: float = bounded(
        0.1, "Share of the groups (slides, patients) kept for validation", 0, 0.9
    )
    patience: int = bounded(0, "Epochs without improvement before stopping; 0 never stops", 0)
    seed: int = bounded(0, "Seed of all random numbers", 0)
    device: Device = bounded("auto", "Where the network trains")
