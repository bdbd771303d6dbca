"""A field as the network sees it: at the model's scale, stain-normalised, read in parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_wbc_nca.ops import stain
from napari_wbc_nca.ops.tiling import resample, resampled_shape

Part = tuple[range, range]

FINE = 2
"""Fine pixels per model pixel: weak labels become regions, and responses masks, at that scale."""


_SATURATION = 2.0


def shown(values: torch.Tensor, normalisation: Mapping[str, Any]) -> torch.Tensor:
    r"""What the network is shown of normalised, and in training varied, pixels.

    For ``absorptance`` the optical density saturates, :math:`1 - e^{-2d}`, the share of light
    that twice the stain would absorb: pale and dark stains come closer to each other. All other
    normalisations are shown as they are.
    """
    if normalisation["name"] == "absorptance":
        return 1 - torch.exp(-_SATURATION * values)
    return values


class Field:
    """A field at the model's scale.

    Parameters
    ----------
    rgb
        ``(Y, X, 3)`` in 0–255; NumPy, dask or zarr.
    factor
        Image pixels per model pixel.
    normalisation
        Of the checkpoint; fitted to a sample of the whole field.
    sample
        See :func:`napari_wbc_nca.ops.stain.sample_field`; read from the field where None.

    Attributes
    ----------
    shape
        Height and width in model pixels.
    """

    def __init__(
        self,
        rgb: Any,
        factor: float,
        normalisation: Mapping[str, Any],
        sample: npt.NDArray[Any] | None = None,
    ) -> None:
        self.rgb, self.factor, self.normalisation = rgb, factor, normalisation
        self.source_shape = (int(rgb.shape[0]), int(rgb.shape[1]))
        height, width = resampled_shape(self.source_shape, factor)
        self.shape = (max(height, 2), max(width, 2))
        self._sample = stain.sample_field(rgb) if sample is None else sample
        self._normalise = stain.fit_normalisation(normalisation, self._sample)

    def rescaled(self, factor: float) -> Field:
        """The same field with `factor` image pixels per model pixel; its sample is kept."""
        return Field(self.rgb, factor, self.normalisation, self._sample)

    def finer(self) -> Field:
        """Optical density of the same field with `FINE` pixels per model pixel."""
        return Field(self.rgb, self.factor / FINE, {"name": "density"}, self._sample)

    def read(self, part: Part) -> torch.Tensor:
        """``(3, h, w)`` float32 of some rows and columns."""
        colours = resample(self._source, self.source_shape, self.factor, *part)
        normalised = self._normalise(colours, (part[0].start, part[1].start), self.shape)
        pixels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(normalised, -1, 0)))
        return shown(pixels, self.normalisation)

    def window(self, centre: tuple[float, float], side: int) -> Part:
        """Rows and columns of a window around `centre`, moved inside the field where it fits."""
        rows, columns = (
            _span(middle, side, size) for middle, size in zip(centre, self.shape, strict=True)
        )
        return rows, columns

    def box(self, part: Part) -> Part:
        """Image pixels that `part` covers."""
        rows, columns = (
            range(int(span.start * self.factor), min(size, round(span.stop * self.factor)))
            for span, size in zip(part, self.source_shape, strict=True)
        )
        return rows, columns

    def to_image(self, centre: tuple[float, float]) -> tuple[float, float]:
        """A position in model pixels as one in image pixels."""
        return (centre[0] + 0.5) * self.factor - 0.5, (centre[1] + 0.5) * self.factor - 0.5

    def from_image(self, centre: tuple[float, float]) -> tuple[float, float]:
        """A position in image pixels as one in model pixels."""
        return (centre[0] + 0.5) / self.factor - 0.5, (centre[1] + 0.5) / self.factor - 0.5

    def interpolate(
        self, values: npt.NDArray[Any], part: Part, factor: float, wanted: Part
    ) -> npt.NDArray[np.float32]:
        """A map of `part`, at other pixels of the field.

        Parameters
        ----------
        values
            ``(len(rows), len(columns))`` of `part`.
        part
            Rows and columns of this view.
        factor
            Image pixels per wanted pixel; 1 for the image's own.
        wanted
            Rows and columns of the wanted pixels.
        """
        return resample(
            lambda y, x: values[y, x, None],
            (len(part[0]), len(part[1])),
            factor / self.factor,
            *wanted,
            origin=(part[0].start, part[1].start),
        )[..., 0]

    def _source(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        return np.asarray(self.rgb[rows, columns])


def finer_part(part: Part, shape: tuple[int, int]) -> Part:
    """Rows and columns of a finer view of `shape` that the model pixels of `part` cover."""
    rows, columns = (
        range(FINE * span.start, min(FINE * span.stop, size))
        for span, size in zip(part, shape, strict=True)
    )
    return rows, columns


def _span(middle: float, side: int, size: int) -> range:
    start = max(0, min(round(middle - side / 2), size - side))
    return range(start, min(start + side, size))
