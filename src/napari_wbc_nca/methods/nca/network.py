"""Load the network of a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from napari_wbc_nca.models.build import load_network

if TYPE_CHECKING:
    from napari_wbc_nca.models.nca import NCA
    from napari_wbc_nca.types import Checkpoint, Device


def build(checkpoint: Checkpoint, device: Device = "auto") -> NCA:
    """Load the network of a checkpoint; see :func:`~napari_wbc_nca.models.build.load_network`."""
    return cast("NCA", load_network(checkpoint, device))
