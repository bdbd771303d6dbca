"""Colours of an image before a method reads them: red and blue exchanged where they are swapped."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_wbc_nca.io.images import prepare
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.ops.channel_order import PIXELS, RecognisedOrder, recognise_channel_order
from napari_wbc_nca.ops.stain import sample_field

if TYPE_CHECKING:
    from napari_wbc_nca.methods.params import PredictParams
    from napari_wbc_nca.types import Checkpoint, Image

SWAPPED = (
    "red and blue are swapped in this image and were exchanged back; if that is wrong, choose the "
    "channel order RGB"
)
"""Note on an image whose channel order was recognised as BGR."""
UNCERTAIN = (
    "red and blue may be swapped in this image; it was read as it is. If red cells look blue, "
    "choose the channel order BGR"
)
"""Note on an image that was not turned though much speaks for it."""
_NOTES = {"bgr": [SWAPPED], "uncertain": [UNCERTAIN]}


def correct_channel_order(
    image: Image, checkpoint: Checkpoint, params: PredictParams
) -> tuple[Image, str, list[str]]:
    """Return the checked image in red, green, blue, the order in its file, and notes on it.

    The order is ``"rgb"`` or ``"bgr"``: that of the parameters or, where they say ``"auto"``, what
    the background and the stain show. Images without colours, and those of models of unstained
    cells, stay as they are. An image that cannot be used raises an ImageError.
    """
    image = prepare(image)
    order, notes = str(params.channel_order), list[str]()
    channels = image.pixels.shape[-1]
    if channels < 3 or (order == "auto" and not _stained(checkpoint)):
        order = "rgb"
    elif order == "auto":
        found = _recognised(image)
        order, notes = ("bgr" if found == "bgr" else "rgb"), _NOTES.get(found, [])
    if order == "bgr":
        image = replace(image, pixels=image.pixels[..., [2, 1, 0, *range(3, channels)]])
    return image, order, notes


def _recognised(image: Image) -> RecognisedOrder:
    """Recognise the order by a sample of the image."""
    sample = np.asarray(to_rgb(sample_field(image.pixels, PIXELS), image.contrast))
    return recognise_channel_order(sample)


def _stained(checkpoint: Checkpoint) -> bool:
    """Return whether a model is one of stained cells at a known scale."""
    scale, name = checkpoint.card.get("scale", "cells"), checkpoint.normalisation.get("name")
    return bool(scale == "cells" and name != "maximum")
