"""Colours of an image before a method reads them: red and blue exchanged where they are swapped."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_wbc_nca.io.images import prepare
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.ops.channel_order import PIXELS, recognise_channel_order
from napari_wbc_nca.ops.stain import sample_field

if TYPE_CHECKING:
    from napari_wbc_nca.methods.params import PredictParams
    from napari_wbc_nca.types import Checkpoint, Image

SWAPPED = (
    "red and blue are swapped in this image and were exchanged back; if that is wrong, choose the "
    "channel order RGB"
)
"""Note on an image whose channel order was recognised as BGR."""


def correct_channel_order(
    image: Image, checkpoint: Checkpoint, params: PredictParams
) -> tuple[Image, str]:
    """Return the checked image in red, green, blue, and the order that its file has them in.

    The order is ``"rgb"`` or ``"bgr"``: that of the parameters or, where they say ``"auto"``, what
    the background and the stain show. Images without colours, and those of models of unstained
    cells, stay as they are. An image that cannot be used raises an ImageError.
    """
    image = prepare(image)
    order = params.channel_order
    if image.pixels.shape[-1] < 3:
        order = "rgb"
    elif order == "auto":
        order = _recognised(image) if _stained(checkpoint) else "rgb"
    if order == "bgr":
        exchanged = [2, 1, 0, *range(3, image.pixels.shape[-1])]
        image = replace(image, pixels=image.pixels[..., exchanged])
    return image, order


def channel_order_notes(order: str, params: PredictParams) -> list[str]:
    """Say that red and blue were exchanged, unless the parameters asked for it."""
    return [SWAPPED] if order == "bgr" and params.channel_order == "auto" else []


def _recognised(image: Image) -> str:
    """Recognise the order by a sample; RGB where it is uncertain."""
    sample = np.asarray(to_rgb(sample_field(image.pixels, PIXELS), image.contrast))
    return "bgr" if recognise_channel_order(sample) == "bgr" else "rgb"


def _stained(checkpoint: Checkpoint) -> bool:
    """Whether a model is one of stained cells at a known scale."""
    return (
        checkpoint.card.get("scale", "cells") == "cells"
        and checkpoint.normalisation["name"] != "maximum"
    )
