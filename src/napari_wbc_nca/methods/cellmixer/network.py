"""The networks of `cellmixer` behind one interface: an image in, a logit a class and pixel out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams
from napari_wbc_nca.models import segmenter
from napari_wbc_nca.models.build import build_network, load_network

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint, Device


def start(params: CellmixerTrainParams, outputs: int) -> tuple[nn.Module, dict[str, Any]]:
    """Network to be trained, and the architecture that a card keeps.

    Raises
    ------
    ValueError
        When DINOv2, or an encoder other than the default, is asked for and not there, saying what
        to do.
    """
    if params.network != "unet":
        wanted = params.network == "dinov2" or params.encoder != CellmixerTrainParams.encoder
        try:
            encoder = segmenter.pretrained(params.encoder, download=wanted)
        except ValueError:
            if wanted:
                raise
        else:
            sizes = segmenter.sizes_of(encoder)
            architecture = {"network": "dinov2", "outputs": outputs, "layers": 2, **sizes}
            return segmenter.Segmenter(encoder, outputs), architecture
    architecture = {
        "network": "unet",
        "channels_in": 3,
        "outputs": outputs,
        "widths": params.widths,
        "align_corners": False,
    }
    return make(architecture), architecture


def make(architecture: Mapping[str, Any]) -> nn.Module:
    """Build the network of an architecture: ``(B, 3, h, w)`` to ``(B, outputs, h, w)``."""
    return build_network("cellmixer", architecture, architecture.get("outputs", 0))


def load(checkpoint: Checkpoint, device: Device = "auto") -> nn.Module:
    """Load the network of a checkpoint; see :func:`~napari_wbc_nca.models.build.load_network`."""
    return load_network(checkpoint, device)


def probabilities(logits: torch.Tensor, several: bool) -> torch.Tensor:
    """Probability of each class ``(B, classes, h, w)``.

    `several` classes may be at one pixel, or just one.
    """
    return torch.sigmoid(logits) if several else torch.softmax(logits, 1)
