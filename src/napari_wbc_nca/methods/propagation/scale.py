"""How large a white blood cell is in an image: given, computed, or estimated."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.methods.propagation.network import scaled_by_cells
from napari_wbc_nca.types import Checkpoint, Image, Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.propagation.params import PropagationParams
    from napari_wbc_nca.models.unet import UNet


def image_diameter(
    image: Image,
    rgb: Any,
    network: UNet,
    checkpoint: Checkpoint,
    params: PropagationParams,
    boxes: Any = None,
) -> Generator[Progress, None, float]:
    """Diameter as given, else by the pixel size, else that of the detector's own pixels."""
    yield Progress(0, 1, "Estimating the scale")
    if params.diameter:
        return params.diameter
    size = params.pixel_size or image.pixel_size
    if size and scaled_by_cells(checkpoint):
        return checkpoint.diameter * checkpoint.pixel_size / size
    return checkpoint.diameter
