"""A field as the network sees it: at the model's scale, stain-normalised, read in parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_wbc_nca.ops import stain
from napari_wbc_nca.ops.resample import resample, resampled_shape

Part = tuple[range, range]


class View:
    """A field at the model's scale.

    Parameters
    ----------
    rgb
        ``(Y, X, 3)`` in 0–255; NumPy, dask or zarr.
    factor
        Image pixels per model pixel.
    normalisation
        Of the checkpoint; fitted here, once, to a sample of the whole field.

    Attributes
    ----------
    shape
        Height and width in model pixels.
    """

    def __init__(self, rgb: Any, factor: float, normalisation: Mapping[str, Any]) -> None:
        self.rgb, self.factor = rgb, factor
        self.source_shape = (int(rgb.shape[0]), int(rgb.shape[1]))
        height, width = resampled_shape(self.source_shape, factor)
        self.shape = (max(height, 2), max(width, 2))
        sample = stain.sample(rgb)
        self._normalise = stain.fit(normalisation, sample)
        self._light = stain.background(sample)

    def read(self, part: Part) -> torch.Tensor:
        """``(3, h, w)`` float32 of some rows and columns."""
        pixels = resample(self._source, self.source_shape, self.factor, *part)
        normalised = self._normalise(pixels, (part[0].start, part[1].start), self.shape)
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(normalised, -1, 0)))

    def window(self, centre: tuple[float, float], side: int) -> Part:
        """Rows and columns of a window around `centre`, moved inside the field where it fits."""
        rows, columns = (
            _span(middle, side, size) for middle, size in zip(centre, self.shape, strict=True)
        )
        return rows, columns

    def box(self, part: Part) -> tuple[slice, slice]:
        """Image pixels that the model pixels of `part` cover."""
        rows, columns = (
            slice(int(span.start * self.factor), min(size, round(span.stop * self.factor)))
            for span, size in zip(part, self.source_shape, strict=True)
        )
        return rows, columns

    def to_image(self, centre: tuple[float, float]) -> tuple[float, float]:
        """A position in model pixels as one in image pixels."""
        return (centre[0] + 0.5) * self.factor - 0.5, (centre[1] + 0.5) * self.factor - 0.5

    def density(self, box: tuple[slice, slice]) -> npt.NDArray[np.float32]:
        """``(h, w, 3)`` optical density of image pixels, whatever the network is shown."""
        return self._light(self._source(*box), (box[0].start, box[1].start), self.source_shape)

    def enlarge(self, response: npt.NDArray[Any], part: Part) -> npt.NDArray[np.float32]:
        """A map of the model pixels in `part`, linearly interpolated at the image's pixels."""
        rows, columns = self.box(part)
        return resample(
            lambda y, x: response[y, x, None],
            (len(part[0]), len(part[1])),
            1 / self.factor,
            range(rows.start, rows.stop),
            range(columns.start, columns.stop),
            origin=(part[0].start, part[1].start),
        )[..., 0]

    def _source(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        return np.asarray(self.rgb[rows, columns])


def _span(middle: float, side: int, size: int) -> range:
    start = max(0, min(round(middle - side / 2), size - side))
    return range(start, min(start + side, size))
