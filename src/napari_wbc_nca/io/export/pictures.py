"""Pictures that go with labels: 8-bit RGB, which every trainer reads."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io.pixels import contrast, to_rgb

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.io.export.items import Item

_LEVEL = 1
"""Of PNG's compression: of photographs, higher ones save a tenth and take three times as long."""
GREY = 114
"""Brightness of what nobody reviewed, in pictures for trainers that have no word for ignoring."""


def rgb(item: Item, *, hide: bool = False) -> npt.NDArray[np.uint8]:
    """Colours of an item: ``(Y, X, 3)`` uint8, alike whatever the depth of its image.

    Parameters
    ----------
    item
        With pixels.
    hide
        Whether ignored pixels become :data:`GREY`, so that no cell there is taken for
        background.
    """
    pixels = item.pixels
    if len(pixels.shape) == 2 or pixels.shape[-1] == 1:
        plane = np.asarray(pixels).reshape(item.shape)
        pixels = np.repeat(plane[..., None], 3, axis=-1)
    if pixels.dtype == np.uint8 and pixels.shape[-1] == 3:
        colours = np.array(pixels)
    else:
        colours = np.round(np.asarray(to_rgb(pixels, contrast(pixels)))).astype(np.uint8)
    if hide and item.ignore is not None:
        colours[item.ignore] = GREY
    return colours


def write_png(path: Path, pixels: npt.NDArray[Any]) -> None:
    """Write a PNG of uint8 pixels, losslessly."""
    from PIL import Image

    # By way of memory: Pillow's own writing does not say why it failed.
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=_LEVEL)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
