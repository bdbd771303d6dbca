"""Parameters of the NCA methods; free of torch, so that forms and command line load fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_wbc_nca.methods.params import (
    Epochs,
    LearningRate,
    LearningRateDecay,
    PredictParams,
    TrainParams,
)
from napari_wbc_nca.params import Bounds

Locate = Literal["evidence", "detector", "points", "boxes", "whole"]

ProjectionName = Literal["model", "pca", "evidence", "centre", "grown"]

Channels = Annotated[int, Bounds("Channels of the state", low=4, high=512)]
Hidden = Annotated[int, Bounds("Width of the update's hidden layer", low=4, high=1024)]
Steps = Annotated[int, Bounds("Steps of a rollout", low=1, high=256)]
# A fit standardises features over windows, so a batch needs two.
NcaBatchSize = Annotated[int, Bounds("Windows per optimiser step", low=2, high=1024)]
FocalGamma = Annotated[
    float, Bounds("Exponent of the focal loss; 0 is cross-entropy", low=0, high=10)
]
Checkpointing = Annotated[bool, Bounds("Recompute states in the backward pass to save memory")]


@dataclass(frozen=True)
class NcaParams(PredictParams):
    """How the NCA methods segment a whole field or a single-cell crop."""

    locate: Annotated[Locate, Bounds("How cells are found before they are segmented")] = "evidence"
    projection: Annotated[
        ProjectionName,
        Bounds("How the features become the response map; 'model' is the model's own choice"),
    ] = "model"
    tta_rotations: Annotated[
        int,
        Bounds(
            "Looks at each cell, turned by 90° each, whose types are averaged",
            low=1,
            high=4,
            advanced=True,
        ),
    ] = 4
    seed: Annotated[int, Bounds("Seed of the firing cells", low=0, advanced=True)] = 0
    fire_rate: Annotated[
        float, Bounds("Share of cells updated a step", low=0.01, high=1, advanced=True)
    ] = 0.5


@dataclass(frozen=True)
class NcaTrainParams(TrainParams):
    """How a network of `nca_wss` is trained; the paper's size by default."""

    batch_size: NcaBatchSize = 32
    learning_rate: LearningRate = 1e-4
    learning_rate_decay: LearningRateDecay = 0.9999
    channels: Channels = 32
    hidden: Hidden = 32
    steps: Steps = 32
    pooling: Annotated[
        Literal["method", "parts"],
        Bounds("'method' pools as its paper does; 'parts' pools cell, nucleus and cytoplasm apart"),
    ] = "method"
    fire_rate: Annotated[float, Bounds("Share of cells updated a step", low=0.01, high=1)] = 0.5
    window: Annotated[int, Bounds("Side of a window", "model px", low=16, high=512)] = 64
    diameter: Annotated[
        float, Bounds("Diameter of a typical cell", "model px", low=4, high=512)
    ] = 32.0
    pixel_size: Annotated[float, Bounds("Side of a model pixel", "µm", low=0.01, high=10)] = 0.4
    normalisation: Annotated[str, Bounds("Name of the stain normalisation")] = "density"
    projection: Annotated[
        Literal["pca", "evidence", "centre", "grown", "best"],
        Bounds("Projection the model uses by default; 'best' on masks held out for validation"),
    ] = "grown"
    typed_share: Annotated[
        float, Bounds("Share of windows that show a cell of known type", low=0, high=1)
    ] = 0.4
    focal_gamma: FocalGamma = 2.0
    pixel_loss_weight: Annotated[
        float, Bounds("Weight of the loss of the readout of cell and nucleus", low=0, high=100)
    ] = 1.0
    readout_fit_windows: Annotated[
        int, Bounds("Windows that the readout of pixels is fitted to first; 0 does not", low=0)
    ] = 0
    stain_augmentation: Annotated[
        float, Bounds("How far stains are varied; little for one laboratory", low=0, high=1)
    ] = 1.0
    exclude_border_cells: Annotated[
        bool, Bounds("Learn nothing from cells that the border cuts")
    ] = False
    classifier_fit_windows: Annotated[
        int, Bounds("Windows that the classifier is fitted to at the end; 0 does not", low=0)
    ] = 0
    gradient_checkpointing: Checkpointing = False


@dataclass(frozen=True)
class NcaMaxTrainParams(NcaTrainParams):
    """How a network of `nca_max` is trained; the paper's size by default."""

    epochs: Epochs = 32
    batch_size: NcaBatchSize = 16
    learning_rate: LearningRate = 4e-4
    channels: Channels = 128
    hidden: Hidden = 128
    steps: Steps = 64
    focal_gamma: FocalGamma = 0.0
    gradient_checkpointing: Checkpointing = True
