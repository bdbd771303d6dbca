"""Parameters of `propagation`; free of torch, so that forms and command line load fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from napari_wbc_nca.methods.params import Epochs, MaxGradNorm, PredictParams, TrainParams
from napari_wbc_nca.params import Bounds

Saliency = Literal["model", "stain", "inverse", "generic"]


@dataclass(frozen=True)
class PropagationParams(PredictParams):
    """How cells are detected, and how each is cut out of its surroundings."""

    locate: Annotated[
        Literal["detector", "points", "boxes"],
        Bounds("Where the cells are: peaks of the likelihood, or prompts"),
    ] = "detector"
    kinds: Annotated[
        str, Bounds("Detected kinds to segment, joined by commas; 'all' takes every one")
    ] = "all"
    min_likelihood: Annotated[
        float, Bounds("Least likelihood of a cell; 0 takes the model's own", low=0, high=1)
    ] = 0.0
    min_distance: Annotated[
        float, Bounds("Least distance of two cells of a kind", "model px", low=0, high=512)
    ] = 2.0
    region: Annotated[
        Literal["gaussian", "component"],
        Bounds(
            "Pixels a cell's signal starts from: nearest to its peak, as in the published code, or "
            "connected to it, as in the paper",
            advanced=True,
        ),
    ] = "gaussian"
    signal: Annotated[
        Literal["likelihood", "one"],
        Bounds("What is sent back from there: the likelihood, or 1", advanced=True),
    ] = "likelihood"
    derivative: Annotated[
        bool, Bounds("Send the signal back through the sigmoid, too", advanced=True)
    ] = False
    saliency: Annotated[
        Saliency, Bounds("Map that separates a cell from the background; 'model' takes the model's")
    ] = "model"
    graph_cut_energy: Annotated[
        Literal["model", "colour", "smooth", "code", "paper"],
        Bounds(
            "Seeds and costs of the graph cut: of the published code, of the paper, the paper's "
            "with smoothed seeds on stained matter, or by the cell's colours against the other "
            "cells'; 'model' takes what suits the model",
            advanced=True,
        ),
    ] = "model"
    min_contribution: Annotated[
        float, Bounds("Contribution below which it is none", low=0, high=1, advanced=True)
    ] = 0.01
    foreground_seed: Annotated[
        float,
        Bounds("Own contribution above which a pixel is the cell's", low=0, high=1, advanced=True),
    ] = 0.001
    background_seed: Annotated[
        float,
        Bounds("Others' contribution above which it is not", low=0, high=1, advanced=True),
    ] = 0.01


@dataclass(frozen=True)
class PropagationTrainParams(TrainParams):
    """How a detector is trained from centroids."""

    epochs: Epochs = 500
    max_grad_norm: MaxGradNorm = 0.0
    widths: Annotated[
        str,
        Bounds("Channels of the encoder's levels, joined by '-'; the paper's: 64-128-256-512-512"),
    ] = "16-32-64-128"
    colour: Annotated[
        Literal["rgb", "grey"], Bounds("Input of the network: colours or brightness")
    ] = "rgb"
    normalisation: Annotated[
        Literal["absorptance", "density", "density_even", "standard", "maximum"],
        Bounds("Name of the stain normalisation; 'maximum' for phase contrast"),
    ] = "absorptance"
    diameter: Annotated[
        float, Bounds("Diameter of a typical cell; 0 keeps the pictures' scale", "model px", low=0)
    ] = 48.0
    pixel_size: Annotated[float, Bounds("Side of a model pixel", "µm", low=0.01, high=10)] = 0.27
    sigma: Annotated[float, Bounds("σ of a centroid's Gaussian", "model px", low=0.5, high=128)] = (
        5.0
    )
    patch_size: Annotated[
        int, Bounds("Side of a patch, a multiple of 16", "model px", low=32, high=2048)
    ] = 320
    max_scale_factor: Annotated[
        float, Bounds("Greatest factor by which patches are scaled", low=1, high=4)
    ] = 1.8
    match_distance: Annotated[
        float,
        Bounds("Distance up to which a peak is a centroid's, in validation", "model px", low=0),
    ] = 10.0
