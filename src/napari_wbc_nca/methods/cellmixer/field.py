"""A field as the network of `cellmixer` sees it: at its scale, referred to the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.methods.field import Field, Part
from napari_wbc_nca.ops.foreground import foreground
from napari_wbc_nca.ops.foreground_params import ForegroundParams
from napari_wbc_nca.ops.mixing import Pixels, Statistics, background_statistics, standardise
from napari_wbc_nca.params import fields

BACKGROUND = "background"
"""Name of the paper's normalisation; also that of the first class."""
_BRIGHTNESS = {"name": "published", "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
"""The stain normalisation that leaves brightness, in 0–1."""
_NORMAL, _LEAST = 1.4826, 1e-3  # deviation over median distance; smallest deviation
_SIDE = 512
"""Side in model pixels up to which all of a field is looked at for its background."""


class ReferencedField:
    """A field at the model's scale.

    Parameters
    ----------
    rgb
        ``(Y, X, 3)`` in 0–255; NumPy, dask or zarr.
    factor
        Image pixels per model pixel.
    normalisation
        Of the checkpoint: ``background`` with the foreground's parameters, or that of a stain.

    Attributes
    ----------
    view
        The field before it is referred to its background.
    statistics
        Of the background, from a sample of the whole field; None where a stain normalisation
        has brought it to 0 already.
    """

    def __init__(self, rgb: Any, factor: float, normalisation: Mapping[str, Any]) -> None:
        own = normalisation["name"] == BACKGROUND
        self.view = Field(rgb, factor, _BRIGHTNESS if own else normalisation)
        self.factor, self.shape = factor, self.view.shape
        self.statistics = self._background(foreground_of(normalisation)) if own else None

    def read(self, part: Part) -> Pixels:
        """``(3, h, w)`` float32 of some rows and columns."""
        pixels = self.view.read(part).numpy()
        return pixels if self.statistics is None else standardise(pixels, self.statistics)

    def _background(self, params: ForegroundParams) -> Statistics:
        """Mean over the parts that are looked at; they do not depend on any tile.

        Where the foreground leaves nothing, as on an empty field, whose noise it takes for cells,
        most of the field is taken for background.
        """
        parts = [self.view.read(part).numpy() for part in _parts(self.shape)]
        masks = [foreground(as_picture(pixels), params).astype(np.uint8) for pixels in parts]
        known = map(background_statistics, parts, masks)
        found = [statistics for statistics in known if statistics is not None]
        if not found:
            found = [_of_most(pixels) for pixels in parts]
        mean, std = (np.mean(values, 0) for values in zip(*found, strict=True))
        return Statistics(mean, std)


def _of_most(pixels: Pixels) -> Statistics:
    """Median, and the deviation that the median distance from it would have in normal noise."""
    middle = np.median(pixels, axis=(1, 2))
    spread = np.median(np.abs(pixels - middle[:, None, None]), axis=(1, 2))
    return Statistics(middle, np.maximum(_NORMAL * spread, _LEAST))


def foreground_of(values: Mapping[str, Any]) -> ForegroundParams:
    """Parameters of the foreground among those of a checkpoint, at their defaults where missing."""
    names = [field.name for field in fields(ForegroundParams)]
    return ForegroundParams(**{name: values[name] for name in names if name in values})


def _parts(shape: tuple[int, int]) -> list[Part]:
    """All of a small field, else nine parts spread evenly."""
    spans = [
        [range(size)]
        if size <= 2 * _SIDE
        else [range(start, start + _SIDE) for start in (0, (size - _SIDE) // 2, size - _SIDE)]
        for size in shape
    ]
    return [(rows, columns) for rows in spans[0] for columns in spans[1]]


def whole(shape: tuple[int, int]) -> Part:
    """All rows and columns of a field."""
    return range(shape[0]), range(shape[1])


def as_picture(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``(h, w, 3)`` of ``(3, h, w)``."""
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
