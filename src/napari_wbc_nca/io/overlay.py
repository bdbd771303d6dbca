"""Draw a segmentation: outlines in the colours of the classes, over the image."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.cell_types import colours, rgb
from napari_wbc_nca.io.pixels import channels_last, contrast, to_rgb

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from PIL.Image import Image as Picture

    from napari_wbc_nca.types import Image, Segmentation

LARGEST = 4096
"""Side in pixels of the largest picture; of a larger field every n-th pixel is shown."""
_BRIGHT = "#ffffff"
_DARK = "#000000"


def draw(image: Image, segmentation: Segmentation) -> Picture:
    """Draw outlines of cells and nuclei, with the label and class of each cell.

    Parameters
    ----------
    image
        As read, or prepared.
    segmentation
        Of that image.
    """
    from PIL import Image as Pictures

    step = max(1, ceil(max(segmentation.labels["cell"].shape) / LARGEST))
    array = channels_last(image.pixels)
    shown = np.asarray(to_rgb(array[::step, ::step], image.contrast or contrast(array)))
    canvas = np.round(shown).astype(np.uint8)
    thickness = max(1, round(max(canvas.shape) / 400))
    names = colours(sorted(set(segmentation.cells["class"])))
    lookup = _lookup(segmentation.cells, names)
    for name, width in (("nucleus", max(1, thickness // 2)), ("cell", thickness)):
        if name not in segmentation.labels:
            continue
        labels = np.asarray(segmentation.labels[name][::step, ::step])
        edge = outline(labels, width)
        canvas[edge] = lookup[np.minimum(labels[edge], len(lookup) - 1)]
    picture = Pictures.fromarray(canvas)
    _annotate(picture, segmentation.cells, names, step)
    return picture


def outline(labels: npt.NDArray[Any], thickness: int) -> npt.NDArray[np.bool_]:
    """Find the pixels of a label image that lie within `thickness` of another label, or of none."""
    from scipy.ndimage import maximum_filter, minimum_filter

    size = 2 * thickness + 1
    edge = minimum_filter(labels, size) != maximum_filter(labels, size)
    return np.asarray(edge & (labels > 0))


def _lookup(cells: pd.DataFrame, names: dict[str, str]) -> npt.NDArray[np.uint8]:
    """Return the colour of each label; labels without a row, such as the last, are white."""
    table = np.full((int(cells["label"].max() if len(cells) else 0) + 2, 3), 255, np.uint8)
    for label, name in zip(cells["label"], cells["class"], strict=True):
        table[label] = rgb(names[name])
    return table


def _annotate(picture: Picture, cells: pd.DataFrame, names: dict[str, str], step: int) -> None:
    """Write label and class above each cell, inside the picture, on whatever is there."""
    from PIL import ImageDraw, ImageFont

    size = max(12, round(max(picture.size) / 40))
    font = ImageFont.load_default(size)
    pen = ImageDraw.Draw(picture)
    rows = cells[["label", "class", "box_y0", "box_x0", "box_y1"]].itertuples(index=False)
    for label, name, top, left, bottom in rows:
        text = f"{label} {name}"
        _, _, right, height = pen.textbbox((0, 0), text, font=font, stroke_width=2)
        above = top / step - height - 2
        y = above if above >= 0 else min(bottom / step + 2, picture.height - height)
        x = max(0, min(left / step, picture.width - right))
        # Letters in the class's colour, edged so that they stand out from any stain.
        light = sum(rgb(names[name])) > 330
        pen.text(
            (x, y),
            text,
            names[name],
            font=font,
            stroke_width=max(1, size // 8),
            stroke_fill=_DARK if light else _BRIGHT,
        )
