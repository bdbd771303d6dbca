"""Parameters of `cellmixer`; free of torch, so that forms and command line load fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from napari_wbc_nca.methods.params import Epochs, PredictParams, SamplesPerEpoch, TrainParams
from napari_wbc_nca.ops.foreground_params import ForegroundParams
from napari_wbc_nca.params import Bounds

Network = Literal["unet", "dinov2"]
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "unet": {
        "crop_size": 128,
        "optimiser": "adam",
        "learning_rate": 3e-3,
        "learning_rate_decay": 0.998,
        "cross_entropy_weight": 0.5,
    },
    "dinov2": {
        "crop_size": 518,
        "optimiser": "sgd",
        "learning_rate": 1e-3,
        "learning_rate_decay": 1.0,
        "cross_entropy_weight": 0.0,
    },
}
"""Network to its training parameters where they are left open; DINOv2's are the paper's."""
_OPEN: Mapping[str, Any] = {
    "crop_size": 0,
    "optimiser": "auto",
    "learning_rate": 0.0,
    "learning_rate_decay": 0.0,
    "cross_entropy_weight": -1.0,
}
"""Value of a parameter that leaves it to the recipe."""


def _recipes(name: str) -> str:
    """What a parameter is left to, for its help."""
    return f"{RECIPES['dinov2'][name]:g} for DINOv2, {RECIPES['unet'][name]:g} for the U-Net"


@dataclass(frozen=True)
class CellmixerParams(PredictParams):
    """How each pixel of a field gets a class."""

    overlap: Annotated[
        float, Bounds("Share of a window that the next one sees too", low=0, high=0.9)
    ] = 0.5
    min_area: Annotated[
        float, Bounds("Least area of a cell, as a share of a typical one's", low=0, high=1)
    ] = 0.05
    fill_holes: Annotated[bool, Bounds("Fill the holes of cells")] = True


@dataclass(frozen=True)
class CellmixerTrainParams(TrainParams, ForegroundParams):
    """How a network is trained from homogeneous populations; the foreground's fields come first."""

    epochs: Epochs = 40
    samples_per_epoch: SamplesPerEpoch = 512
    learning_rate: Annotated[
        float,
        Bounds(f"Step size at the start; 0 takes {_recipes('learning_rate')}", low=0, high=1),
    ] = _OPEN["learning_rate"]
    learning_rate_decay: Annotated[
        float,
        Bounds(
            f"Factor of the step size, each step; 0 takes {_recipes('learning_rate_decay')}",
            low=0,
            high=1,
        ),
    ] = _OPEN["learning_rate_decay"]
    populations: Annotated[
        str, Bounds("Classes to learn, joined by commas; all that are labelled where empty")
    ] = ""
    mixed_share: Annotated[
        float, Bounds("Share of crops that are mixtures of two; 0 is the baseline", low=0, high=1)
    ] = 1.0
    same_class_share: Annotated[
        float, Bounds("Share of mixtures that are of one class", low=0, high=1)
    ] = 0.25
    min_lambda: Annotated[
        float, Bounds("Least share λ of the first picture in a mixture", low=0, high=1)
    ] = 0.5
    max_lambda: Annotated[
        float, Bounds("Greatest share λ of the first picture in a mixture", low=0, high=1)
    ] = 0.5
    rescale: Annotated[
        bool, Bounds("Bring the background of a mixture back to a deviation of 1")
    ] = True
    overlap_label: Annotated[
        Literal["second", "both"],
        Bounds("Where cells overlap: the class of the 'second' picture, or 'both' classes"),
    ] = "second"
    normalisation: Annotated[
        Literal["background", "absorptance", "density", "density_even", "standard"],
        Bounds("'background': mean and deviation of the background; else a stain normalisation"),
    ] = "background"
    network: Annotated[
        Literal["auto", "unet", "dinov2"],
        Bounds(
            "'auto' takes DINOv2 where an encoder is given, or the default one lies on this "
            "machine; else the U-Net"
        ),
    ] = "auto"
    encoder: Annotated[
        str, Bounds("Folder of DINOv2's weights, or their name on the Hugging Face hub")
    ] = "facebook/dinov2-small"
    widths: Annotated[
        str, Bounds("Channels of the U-Net's levels, from fine to coarse, joined by '-'")
    ] = "16-32-64-128"
    crop_size: Annotated[
        int,
        Bounds(f"Side of a crop; 0 takes {_recipes('crop_size')}", "model px", low=0),
    ] = _OPEN["crop_size"]
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
    optimiser: Annotated[
        Literal["auto", "adam", "sgd"],
        Bounds("'sgd' with momentum 0.9; 'auto' takes it for DINOv2, as the paper, else Adam"),
    ] = _OPEN["optimiser"]
    tversky_alpha: Annotated[
        float, Bounds("Weight α of false positives in the Tversky loss", low=0, high=10)
    ] = 0.5
    tversky_beta: Annotated[
        float, Bounds("Weight β of false negatives in the Tversky loss", low=0, high=10)
    ] = 0.5
    cross_entropy_weight: Annotated[
        float,
        Bounds(
            f"Weight of the cross-entropy beside it; -1 takes {_recipes('cross_entropy_weight')}",
            low=-1,
            high=10,
        ),
    ] = _OPEN["cross_entropy_weight"]
    scale_augmentation: Annotated[
        float, Bounds("Greatest change of size, as a share", low=0, high=0.9)
    ] = 0.0
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
    workers: Annotated[int, Bounds("Processes that mix; 0 mixes in this one", low=0, high=64)] = 0


def by_recipe(params: CellmixerTrainParams, network: Network) -> CellmixerTrainParams:
    """Parameters of the network that trains, what was left open as in its recipe.

    Examples
    --------
    >>> made = by_recipe(CellmixerTrainParams(crop_size=70), "dinov2")
    >>> made.network, made.crop_size, made.optimiser
    ('dinov2', 70, 'sgd')
    """
    left = [name for name, value in _OPEN.items() if getattr(params, name) == value]
    return replace(params, network=network, **{name: RECIPES[network][name] for name in left})
