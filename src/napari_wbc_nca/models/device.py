"""Choose the device that a network runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from napari_wbc_nca.types import Device


def choose_device(device: Device) -> torch.device:
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
