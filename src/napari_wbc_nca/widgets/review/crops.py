"""Crops of cells at one physical scale, read when they are shown."""

from __future__ import annotations

from ast import literal_eval
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPainter, QPixmap

from napari_wbc_nca.io.images import prepare
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.ops.crops import crop_side, crop_window, overlap
from napari_wbc_nca.widgets.planes import OURS, Index
from napari_wbc_nca.widgets.review.model import plane_of

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Labels

    from napari_wbc_nca.widgets.planes import ImagePlanes

_KEPT = 2000
"""Crops that stay in memory."""


class CropSource:
    """Crops of the cells of a Labels layer, out of the image it was made from.

    All show a square of the same side, so that cells can be compared by size: `table` has a row a
    cell by label, with its box.
    """

    def __init__(self, source: ImagePlanes, layer: Labels, table: pd.DataFrame) -> None:
        self._source, self._layer = source, layer
        self.side = crop_side(table)
        self._images: dict[Index, Any] = {}
        self._pixmaps: OrderedDict[tuple[tuple[int, ...], int, int], QPixmap] = OrderedDict()
        self._outlined: set[tuple[tuple[int, ...], int, int]] = set()

    def pixmap(self, label: int, row: pd.Series, size: int, outline: bool = False) -> QPixmap:
        """Crop of a cell, `size` screen pixels wide, with its outline where that is wanted."""
        sides = (int(row[f"box_{side}"]) for side in ("y0", "x0", "y1", "x1"))
        box = (*plane_of(self._layer, row), *sides)
        key = (box, size, label if outline else 0)
        if key not in self._pixmaps:
            pixels = self.crop(row)
            if outline:
                pixels = _outlined(pixels, self.mask(label, row))
                self._outlined.add(key)
            self._pixmaps[key] = _pixmap(pixels, size)
            if len(self._pixmaps) > _KEPT:
                self._pixmaps.popitem(last=False)
        self._pixmaps.move_to_end(key)
        return self._pixmaps[key]

    def forget_outlines(self, labels: object = None) -> None:
        """Draw outlines again when they are shown next, and crops of boxes that have changed."""
        for key in self._outlined:
            self._pixmaps.pop(key, None)
        self._outlined.clear()

    def crop(self, row: pd.Series) -> npt.NDArray[np.uint8]:
        """Return ``(side, side, 3)`` colours around a cell; white beyond the image."""
        index, where, target = self._place(row)
        at = image_index(self._layer, index)
        if at not in self._images:
            self._images[at] = prepare(self._source.image(at))
        image = self._images[at]
        out = np.full((self.side, self.side, 3), 255, np.uint8)
        out[target] = np.asarray(to_rgb(image.pixels[where], image.contrast)).round()
        return out

    def mask(self, label: int, row: pd.Series) -> npt.NDArray[np.bool_]:
        """Return ``(side, side)`` pixels of a cell in its crop."""
        index, where, target = self._place(row)
        out = np.zeros((self.side, self.side), bool)
        out[target] = np.asarray(self._layer.data[(*index, *where)]) == label
        return out

    def _place(self, row: pd.Series) -> tuple[Index, tuple[slice, slice], tuple[slice, slice]]:
        """Return the plane of a cell, its part of the plane, and where that lies in the crop."""
        shape = self._layer.data.shape[-2:]
        where, target = overlap(shape, crop_window(row, self.side), self.side)
        return plane_of(self._layer, row), where, target


def image_index(layer: Labels, index: Index) -> Index:
    """Return the plane of the image that a plane of its Labels layer was made from.

    They differ where one plane of a stack was segmented, and the layer holds it alone.
    """
    planes = layer.metadata.get(OURS, {}).get("planes", ())
    if index and not any(index) and len(planes) == 1:
        return tuple(int(at) for at in literal_eval(planes[0]))
    return index


def _outlined(pixels: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Return the pixels with the border of a mask drawn in white on black."""
    from scipy import ndimage as ndi

    outside = ndi.binary_dilation(mask) & ~mask
    halo = ndi.binary_dilation(outside) & ~mask & ~outside
    out = pixels.copy()
    out[halo] = 0
    out[outside] = 255
    return out


def _pixmap(pixels: npt.NDArray[np.uint8], size: int) -> QPixmap:
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels)
    image = QImage(data.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    if max(height, width) > 2 * size:  # a painter would leave out pixels
        smooth = Qt.TransformationMode.SmoothTransformation
        return QPixmap.fromImage(
            image.scaled(size, size, Qt.AspectRatioMode.KeepAspectRatio, smooth)
        )
    scaled = QPixmap(size, size)
    painter = QPainter(scaled)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.drawImage(scaled.rect(), image)
    painter.end()
    return scaled
