"""From a checkpoint to a network that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_wbc_nca.models.nca import NCA

if TYPE_CHECKING:
    from napari_wbc_nca.methods.params import Device
    from napari_wbc_nca.types import Checkpoint


def build(checkpoint: Checkpoint, device: Device = "auto") -> NCA:
    """Network of a checkpoint, ready for inference.

    Raises
    ------
    ValueError
        When `device` is not there.
    """
    network = NCA(**checkpoint.architecture)
    network.load_state_dict({k: torch.tensor(v) for k, v in checkpoint.weights.items()})
    return network.eval().requires_grad_(False).to(choose(device))


def choose(device: Device) -> torch.device:
    """Device of that name; ``auto`` takes an accelerator where there is one.

    Raises
    ------
    ValueError
        When it is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}
    if device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    if not there[device]:
        found = ", ".join(name for name, is_there in there.items() if is_there)
        raise ValueError(f"device {device!r} is not there, only {found}; choose one, or 'auto'")
    return torch.device(device)
