"""Parameters of `cellmixer`; free of torch, so that forms and command line load fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from napari_wbc_nca.methods.params import PredictParams, TrainParams
from napari_wbc_nca.ops.foreground_params import ForegroundParams
from napari_wbc_nca.params import bounded

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


def _recipes(name: str) -> str:
    """List what a parameter is left to, for its help."""
    return f"{RECIPES['dinov2'][name]:g} for DINOv2, {RECIPES['unet'][name]:g} for the U-Net"


@dataclass(frozen=True)
class CellmixerParams(PredictParams):
    """How each pixel of a field gets a class."""

    overlap: float = bounded(0.5, "Share of a window that the next one sees too", 0, 0.9)
    min_area: float = bounded(0.05, "Minimum area of a cell, as a share of a typical one's", 0, 1)
    fill_holes: bool = bounded(True, "Fill the holes of cells")


@dataclass(frozen=True)
class CellmixerTrainParams(TrainParams, ForegroundParams):
    """How a network is trained from homogeneous populations; the foreground's fields come first."""

    epochs: int = 40
    samples_per_epoch: int = 512
    learning_rate: float = bounded(
        0.0, f"Step size at the start; 0 takes {_recipes('learning_rate')}", 0, 1
    )
    learning_rate_decay: float = bounded(
        0.0, f"Factor of the step size, each step; 0 takes {_recipes('learning_rate_decay')}", 0, 1
    )
    populations: str = bounded(
        "", "Classes to learn, joined by commas; all that are labelled where empty"
    )
    mixed_share: float = bounded(
        1.0, "Share of crops that are mixtures of two; 0 is the baseline", 0, 1
    )
    same_class_share: float = bounded(0.25, "Share of mixtures that are of one class", 0, 1)
    min_lambda: float = bounded(0.5, "Minimum share λ of the first picture in a mixture", 0, 1)
    max_lambda: float = bounded(0.5, "Maximum share λ of the first picture in a mixture", 0, 1)
    rescale: bool = bounded(True, "Bring the background of a mixture back to a deviation of 1")
    overlap_label: Literal["second", "both"] = bounded(
        "second", "Where cells overlap: the class of the 'second' picture, or 'both' classes"
    )
    normalisation: Literal["background", "absorptance", "density", "density_even", "standard"] = (
        bounded(
            "background",
            "'background': mean and deviation of the background; else a stain normalisation",
        )
    )
    network: Literal["auto", "unet", "dinov2"] = bounded(
        "auto",
        "'auto' takes DINOv2 where an encoder is given, or the default one lies on this "
        "machine; else the U-Net",
    )
    encoder: str = bounded(
        "facebook/dinov2-small", "Folder of DINOv2's weights, or their name on the Hugging Face hub"
    )
    widths: str = bounded(
        "16-32-64-128", "Channels of the U-Net's levels, from fine to coarse, joined by '-'"
    )
    crop_size: int = bounded(
        0, f"Side of a crop; 0 takes {_recipes('crop_size')}", 0, unit="model px"
    )
    diameter: float = bounded(
        0.0,
        "Diameter of a white blood cell, to which fields with boxes are brought; 0 keeps the "
        "pictures' own scale",
        0,
        1024,
        "model px",
    )
    pixel_size: float = bounded(0.0, "Side of a model pixel; 0 where it is unknown", 0, 100, "µm")
    optimiser: Literal["auto", "adam", "sgd"] = bounded(
        "auto", "'sgd' with momentum 0.9; 'auto' takes it for DINOv2, as the paper, else Adam"
    )
    tversky_alpha: float = bounded(0.5, "Weight α of false positives in the Tversky loss", 0, 10)
    tversky_beta: float = bounded(0.5, "Weight β of false negatives in the Tversky loss", 0, 10)
    cross_entropy_weight: float = bounded(
        -1.0,
        f"Weight of the cross-entropy beside it; -1 takes {_recipes('cross_entropy_weight')}",
        -1,
        10,
    )
    scale_augmentation: float = bounded(0.0, "Maximum change of size, as a share", 0, 0.9)
    quarter_turns: bool = bounded(True, "Turn crops by multiples of 90° too, beside flips")
    contrast: float = bounded(0.3, "Maximum change of contrast, as a share", 0, 0.9)
    brightness: float = bounded(0.1, "Maximum change of brightness", 0, 2, "of the cells' contrast")
    tint: float = bounded(0.0, "Maximum change of each colour by itself, as a share", 0, 0.9)
    blur: float = bounded(1.0, "Maximum Gaussian blur", 0, 20, "model px")
    noise: float = bounded(0.05, "Standard deviation of the noise", 0, 2, "of the cells' contrast")
    workers: int = bounded(0, "Processes that mix; 0 mixes in this one", 0, 64)


def by_recipe(params: CellmixerTrainParams, network: Network) -> CellmixerTrainParams:
    """Complete the parameters of a training by the recipe of its network.

    Examples
    --------
    >>> made = by_recipe(CellmixerTrainParams(crop_size=70), "dinov2")
    >>> made.network, made.crop_size, made.optimiser
    ('dinov2', 70, 'sgd')
    """
    recipe = RECIPES[network]
    left = [name for name in recipe if getattr(params, name) == getattr(CellmixerTrainParams, name)]
    return replace(params, network=network, **{name: recipe[name] for name in left})
