"""Parameters of `propagation`; free of torch, so that forms and command line load fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_wbc_nca.methods.params import PredictParams, TrainParams
from napari_wbc_nca.params import bounded

Saliency = Literal["model", "stain", "inverse", "generic"]


@dataclass(frozen=True)
class PropagationParams(PredictParams):
    """How cells are detected, and how each is cut out of its surroundings."""

    locate: Literal["detector", "points", "boxes"] = bounded(
        "detector", "Where the cells are: peaks of the likelihood, or prompts"
    )
    kinds: str = bounded(
        "all", "Detected kinds to segment, joined by commas; 'all' takes every one"
    )
    min_likelihood: float = bounded(
        0.0, "Minimum likelihood of a cell; 0 takes the model's own", 0, 1
    )
    min_distance: float = bounded(
        2.0, "Minimum distance of two cells of a kind", 0, 512, "model px"
    )
    region: Literal["gaussian", "component"] = bounded(
        "gaussian",
        "Pixels a cell's signal starts from: nearest to its peak, as in the published code, or the "
        "'component' of the likelihood above its threshold, as in the paper",
        advanced=True,
    )
    signal: Literal["likelihood", "one"] = bounded(
        "likelihood", "Backward signal in the region: the likelihood, or 1", advanced=True
    )
    derivative: bool = bounded(
        False, "Include the derivative of the sigmoid in the backward signal", advanced=True
    )
    saliency: Saliency = bounded(
        "model", "Map that separates a cell from the background; 'model' takes the model's"
    )
    graph_cut_energy: Literal["model", "colour", "smooth", "code", "paper"] = bounded(
        "model",
        "Seeds and costs of the graph cut: of the published code, of the paper, the paper's "
        "with smoothed seeds on stained matter, or by the cell's colours against the other "
        "cells'; 'model' takes what suits the model",
        advanced=True,
    )
    contribution_scale: Literal["relative", "raw"] = bounded(
        "relative",
        "Scale in which cells are compared at a pixel: each relative to its own largest "
        "contribution, or 'raw', the maximum projection of the paper's equation 4",
        advanced=True,
    )
    min_contribution: float = bounded(
        0.01, "Contribution below which it is none", 0, 1, advanced=True
    )
    foreground_seed: float = bounded(
        0.001, "Own contribution above which a pixel is the cell's", 0, 1, advanced=True
    )
    background_seed: float = bounded(
        0.01, "Others' contribution above which it is not", 0, 1, advanced=True
    )


@dataclass(frozen=True)
class PropagationTrainParams(TrainParams):
    """How a detector is trained from centroids."""

    epochs: int = 500
    max_grad_norm: float = 0.0
    widths: str = bounded(
        "16-32-64-128",
        "Channels of the encoder's levels, joined by '-'; the paper's: 64-128-256-512-512",
    )
    colour: Literal["rgb", "grey"] = bounded("rgb", "Input of the network: colours or brightness")
    normalisation: Literal["absorptance", "density", "density_even", "standard", "maximum"] = (
        bounded("absorptance", "Name of the stain normalisation; 'maximum' for phase contrast")
    )
    diameter: float = bounded(
        48.0, "Diameter of a typical cell; 0 keeps the pictures' scale", 0, unit="model px"
    )
    pixel_size: float = bounded(0.27, "Side of a model pixel", 0.01, 10, "µm")
    sigma: float = bounded(5.0, "σ of a centroid's Gaussian", 0.5, 128, "model px")
    patch_size: int = bounded(320, "Side of a patch, a multiple of 16", 32, 2048, "model px")
    augmentation: Literal["full", "rotations"] = bounded(
        "full",
        "How patches are varied: in stain, focus, noise, flips and quarter turns, or by quarter "
        "turns alone, as in the paper",
    )
    max_scale_factor: float = bounded(1.8, "Maximum factor by which patches are scaled", 1, 4)
    match_distance: float = bounded(
        10.0, "Distance up to which a peak is a centroid's, in validation", 0, unit="model px"
    )
