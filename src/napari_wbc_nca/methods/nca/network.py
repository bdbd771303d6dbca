"""From a checkpoint to a network that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_wbc_nca.models.device import choose_device
from napari_wbc_nca.models.nca import NCA

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint, Device


def build(checkpoint: Checkpoint, device: Device = "auto") -> NCA:
    """Network of a checkpoint, ready for inference.

    Raises
    ------
    ValueError
        When `device` is not there.
    """
    network = NCA(**checkpoint.architecture)
    network.load_state_dict({k: torch.tensor(v) for k, v in checkpoint.weights.items()})
    return network.eval().requires_grad_(False).to(choose_device(device))
