"""Parameters of the NCA methods; free of torch, so that forms and command line load fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_wbc_nca.methods.params import PredictParams, TrainParams
from napari_wbc_nca.params import bounded

Locate = Literal["evidence", "detector", "points", "boxes", "whole"]

ProjectionName = Literal["model", "pca", "evidence", "centre", "grown"]


@dataclass(frozen=True)
class NcaParams(PredictParams):
    """How the NCA methods segment a whole field or a single-cell crop."""

    locate: Locate = bounded("evidence", "How cells are found before they are segmented")
    projection: ProjectionName = bounded(
        "model", "Projection of features to a response map; 'model' takes that of the model's card"
    )
    differential: Literal["model", "five", "fine"] = bounded(
        "five",
        "'five' types, or 'fine' classes with bands, immature cells and erythroblasts, where the "
        "model has a classifier for them; 'model' takes the types of the model itself",
    )
    pca: bool = bounded(
        False,
        "Add the PCA-Otsu mask of each window as labels, as the NCA-WSS paper makes it; models "
        "trained by the paper's recipe always do",
    )
    tta_rotations: int = bounded(
        4, "Rotations of each cell by 90° whose types are averaged", 1, 4, advanced=True
    )
    seed: int = bounded(0, "Seed of the firing cells", 0, advanced=True)
    agreement_seeds: int = bounded(
        0,
        "Additional seeds to classify cells of two nearly equal types by, to rate the doubt",
        0,
        16,
        advanced=True,
    )
    fire_rate: float = bounded(0.5, "Share of cells updated a step", 0.01, 1, advanced=True)


@dataclass(frozen=True)
class NcaTrainParams(TrainParams):
    """How a network of `nca_wss` is trained; the paper's size by default."""

    # A fit standardises features over windows, so a batch needs two.
    batch_size: int = bounded(32, "Windows per optimiser step", 2, 1024)
    learning_rate: float = 1e-4
    learning_rate_decay: float = 0.9999
    channels: int = bounded(32, "Channels of the state", 4, 512)
    hidden: int = bounded(32, "Width of the update's hidden layer", 4, 1024)
    steps: int = bounded(32, "Steps of a rollout", 1, 256)
    supervision: Literal["cells", "images"] = bounded(
        "cells",
        "'cells' learns from windows in fields and crops, from their pixels too, and a class "
        "*none*; 'images' learns from the class of each whole crop alone, rotated and flipped, as "
        "the papers",
    )
    update_init: Literal["small", "zero"] = bounded(
        "small", "Initial weights of the update's last layer: drawn 'small', or 'zero' as published"
    )
    pooling: Literal["method", "parts"] = bounded(
        "method",
        "'method' pools as its paper does; 'parts' pools cell, nucleus and cytoplasm apart",
    )
    fire_rate: float = bounded(0.5, "Share of cells updated a step", 0.01, 1)
    window: int = bounded(64, "Side of a window", 16, 512, "model px")
    diameter: float = bounded(
        32.0,
        "Diameter of a typical cell; of 'images' it is 0.55 of the window",
        4,
        512,
        "model px",
    )
    pixel_size: float = bounded(0.4, "Side of a model pixel", 0.01, 10, "µm")
    normalisation: str = bounded(
        "density",
        "Name of the stain normalisation; 'published' takes means and deviations of the data",
    )
    projection: Literal["pca", "evidence", "centre", "grown", "best"] = bounded(
        "grown", "Projection the model uses by default; 'best' on masks held out for validation"
    )
    typed_share: float = bounded(0.4, "Share of windows that show a cell of known type", 0, 1)
    focal_gamma: float = bounded(2.0, "Exponent of the focal loss; 0 is cross-entropy", 0, 10)
    pixel_loss_weight: float = bounded(
        1.0, "Weight of the loss of the readout of cell and nucleus", 0, 100
    )
    readout_fit_windows: int = bounded(
        0, "Windows that the readout of pixels is fitted to first; 0 does not", 0
    )
    stain_augmentation: float = bounded(
        1.0, "Strength of the stain augmentation; small for one laboratory", 0, 1
    )
    exclude_border_cells: bool = bounded(False, "Learn nothing from cells that the border cuts")
    classifier_fit_windows: int = bounded(
        0, "Windows that the classifier is fitted to at the end; 0 does not", 0
    )
    gradient_checkpointing: bool = bounded(
        False, "Recompute states in the backward pass to save memory"
    )


@dataclass(frozen=True)
class NcaMaxTrainParams(NcaTrainParams):
    """How a network of `nca_max` is trained; the paper's size by default."""

    epochs: int = 32
    batch_size: int = 16
    learning_rate: float = 4e-4
    channels: int = 128
    hidden: int = 128
    steps: int = 64
    focal_gamma: float = 0.0
    gradient_checkpointing: bool = True
