"""From a checkpoint to a detector that runs, and what its card says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from napari_wbc_nca.models.build import build_network, load_network

if TYPE_CHECKING:
    from napari_wbc_nca.models.unet import UNet
    from napari_wbc_nca.types import Checkpoint, Device

PUBLISHED_MIN_LIKELIHOOD = 125 / 255
"""Likelihood above which the published code takes a peak for a cell."""


def build(architecture: Mapping[str, Any]) -> UNet:
    """Build the network of an architecture as a card keeps it."""
    return cast("UNet", build_network("propagation", architecture, architecture["outputs"]))


def load(checkpoint: Checkpoint, device: Device = "auto") -> UNet:
    """Load the network of a checkpoint; see :func:`~napari_wbc_nca.models.build.load_network`."""
    return cast("UNet", load_network(checkpoint, device))


def card(
    sigma: float, least: Mapping[str, float], scaled: bool, width: float = 1.0
) -> dict[str, Any]:
    """What prediction must know of a detector.

    Parameters
    ----------
    sigma
        σ of its Gaussians in model pixels.
    least
        For each kind the likelihood above which a peak is a cell.
    scaled
        Whether its pictures were brought to one size of cells; otherwise a model pixel is a
        pixel, unless the user knows better.
    width
        How wide its peaks typically are at its own scale, relative to σ.
    """
    return {
        "sigma": sigma,
        "apart": sigma,
        "width": width,
        "least": dict(least),
        "scale": "cells" if scaled else "pixels",
    }


def sigma_of(checkpoint: Checkpoint) -> float:
    """σ in model pixels of a detector's Gaussians."""
    return float(checkpoint.card["sigma"])


def min_distance_of(checkpoint: Checkpoint) -> float:
    """Least distance in model pixels of two peaks of a kind; that of the published code else."""
    return float(checkpoint.card.get("apart", 2.0))


def width_of(checkpoint: Checkpoint) -> float:
    """How wide a detector's peaks typically are at its own scale, relative to σ."""
    return float(checkpoint.card.get("width", 1.0))


def min_likelihood_of(checkpoint: Checkpoint, kind: str) -> float:
    """Likelihood above which a peak of a kind is a cell."""
    return float(checkpoint.card["least"][kind])


def scaled_by_cells(checkpoint: Checkpoint) -> bool:
    """Whether a detector saw all pictures at one size of cells."""
    return bool(checkpoint.card["scale"] == "cells")
