"""Parameters of `cellmixer`; free of torch, so that forms and command line load fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_wbc_nca.methods.params import Device, PredictParams
from napari_wbc_nca.ops.foreground_params import ForegroundParams
from napari_wbc_nca.params import Bounds


@dataclass(frozen=True)
class CellmixerParams(PredictParams):
    """How each pixel of a field gets a class."""

    overlap: Annotated[
        float, Bounds("Share of a window that the next one sees too", low=0, high=0.9)
    ] = 0.5
    least_area: Annotated[
        float, Bounds("Least area of a cell, as a share of a typical one's", low=0, high=1)
    ] = 0.05
    holes: Annotated[bool, Bounds("Fill the holes of cells")] = True


@dataclass(frozen=True)
class CellmixerTrainParams(ForegroundParams):
    """How a network is trained from homogeneous populations; the foreground's fields come first."""

    populations: Annotated[
        str, Bounds("Classes to learn, joined by commas; all that are labelled where empty")
    ] = ""
    mixed: Annotated[
        float, Bounds("Share of crops that are mixtures of two; 0 is the baseline", low=0, high=1)
    ] = 1.0
    within: Annotated[float, Bounds("Share of mixtures that are of one class", low=0, high=1)] = (
        0.25
    )
    lowest_share: Annotated[
        float, Bounds("Least share λ of the first picture in a mixture", low=0, high=1)
    ] = 0.5
    highest_share: Annotated[
        float, Bounds("Greatest share λ of the first picture in a mixture", low=0, high=1)
    ] = 0.5
    rescale: Annotated[
        bool, Bounds("Bring the background of a mixture back to a deviation of 1")
    ] = True
    overlaps: Annotated[
        Literal["second", "both"],
        Bounds("Where cells overlap: the class of the 'second' picture, or 'both' classes"),
    ] = "second"
    normalisation: Annotated[
        Literal["background", "absorptance", "density", "density_even", "standard"],
        Bounds("'background': mean and deviation of the background; else a stain normalisation"),
    ] = "background"
    network: Annotated[
        Literal["auto", "unet", "dinov2"],
        Bounds("'auto' takes DINOv2 where its weights lie on this machine, else the U-Net"),
    ] = "auto"
    encoder: Annotated[
        str, Bounds("Folder of DINOv2's weights, or their name on the Hugging Face hub")
    ] = "facebook/dinov2-small"
    widths: Annotated[
        str, Bounds("Channels of the U-Net's levels, from fine to coarse, joined by '-'")
    ] = "16-32-64-128"
    crop: Annotated[
        int,
        Bounds("Side of a crop; 0 takes 518 for DINOv2, 128 for the U-Net", "model px", low=0),
    ] = 0
    diameter: Annotated[
        float,
        Bounds(
            "Diameter of a white blood cell, to which fields with boxes are brought; 0 keeps the "
            "pictures' own scale",
            "model px",
            low=0,
            high=1024,
        ),
    ] = 0.0
    pixel_size: Annotated[
        float, Bounds("Side of a model pixel; 0 where it is unknown", "µm", low=0, high=100)
    ] = 0.0
    epochs: Annotated[int, Bounds("Epochs at most", low=1, high=100_000)] = 40
    samples_per_epoch: Annotated[
        int, Bounds("Crops drawn an epoch; 0 takes one a picture", low=0)
    ] = 512
    batch: Annotated[int, Bounds("Crops a step", low=1, high=1024)] = 16
    optimiser: Annotated[
        Literal["adam", "sgd"], Bounds("'sgd' with momentum 0.9 is the paper's")
    ] = "adam"
    learning_rate: Annotated[float, Bounds("Step size at the start", low=0, high=1)] = 3e-3
    decay: Annotated[float, Bounds("Factor of the step size, each step", low=0.5, high=1)] = 0.998
    false_positives: Annotated[
        float, Bounds("Weight α of false positives in the Tversky loss", low=0, high=10)
    ] = 0.5
    false_negatives: Annotated[
        float, Bounds("Weight β of false negatives in the Tversky loss", low=0, high=10)
    ] = 0.5
    cross_entropy: Annotated[
        float, Bounds("Weight of the cross-entropy beside it; 0 in the paper", low=0, high=10)
    ] = 0.5
    zoom: Annotated[float, Bounds("Greatest change of size, as a share", low=0, high=0.9)] = 0.0
    contrast: Annotated[
        float, Bounds("Greatest change of contrast, as a share", low=0, high=0.9)
    ] = 0.3
    brightness: Annotated[
        float, Bounds("Greatest change of brightness", "of the cells' contrast", low=0, high=2)
    ] = 0.1
    tint: Annotated[
        float, Bounds("Greatest change of each colour by itself, as a share", low=0, high=0.9)
    ] = 0.0
    blur: Annotated[float, Bounds("Greatest Gaussian blur", "model px", low=0, high=20)] = 1.0
    noise: Annotated[
        float, Bounds("Standard deviation of the noise", "of the cells' contrast", low=0, high=2)
    ] = 0.05
    clip: Annotated[float, Bounds("Norm at which gradients are clipped; 0 does not", low=0)] = 1.0
    validation: Annotated[
        float, Bounds("Share of each class's pictures kept for validation", low=0, high=0.9)
    ] = 0.1
    patience: Annotated[
        int, Bounds("Epochs without improvement before stopping; 0 never stops", low=0)
    ] = 0
    workers: Annotated[int, Bounds("Processes that mix; 0 mixes in this one", low=0, high=64)] = 0
    seed: Annotated[int, Bounds("Seed of everything random", low=0)] = 0
    device: Annotated[Device, Bounds("Where the network trains")] = "auto"
