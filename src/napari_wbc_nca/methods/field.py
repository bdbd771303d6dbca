"""A field at a model's scale, normalised as its network needs it, and read in parts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_wbc_nca.io.images import prepare, require_colours
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.methods import registry
from napari_wbc_nca.ops import stain
from napari_wbc_nca.ops.foreground import foreground
from napari_wbc_nca.ops.foreground_params import ForegroundParams
from napari_wbc_nca.ops.mixing import Pixels, Statistics, background_statistics, standardise
from napari_wbc_nca.ops.tiling import resample, resampled_shape
from napari_wbc_nca.params import fields
from napari_wbc_nca.types import Checkpoint, Image

Part = tuple[range, range]
"""Rows and columns."""
Centre = tuple[float, float]
"""Position y, x; the middle of the first pixel is (0, 0)."""
Slices = tuple[slice, slice]

FINE = 2
"""Fine pixels per model pixel: boxes become regions, and responses masks, at that scale."""
BY_BACKGROUND = "background"
"""CellMixer's normalisation by the statistics of the background."""
BRIGHTNESS = {"name": "published", "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
"""Normalisation that leaves brightness, in 0–1."""
DENSITY = {"name": "density"}
"""Normalisation to optical density against the fitted background."""

_SATURATION = 2.0
_NORMAL, _MIN_DEVIATION = 1.4826, 1e-3  # deviation over median distance; smallest deviation
_SIDE = 512  # model pixels up to twice which all of a field counts for its background


def open_field(image: Image, checkpoint: Checkpoint) -> tuple[Image, Field]:
    """Check an image, and make the field at its scale, normalised as a checkpoint's network needs.

    An image that cannot be used raises an ImageError, which says what to do.
    """
    image = prepare(image)
    if registry.get(checkpoint.method).colours:
        require_colours(image)
    return image, Field(to_rgb(image), 1, checkpoint.normalisation)


def saturate(values: torch.Tensor, normalisation: Mapping[str, Any]) -> torch.Tensor:
    r"""Saturate normalised pixels where the normalisation asks for it.

    For ``absorptance`` the optical density saturates, :math:`1 - e^{-2d}`, the share of light
    that twice the stain would absorb: pale and dark stains come closer to each other. Pixels of
    all other normalisations stay as they are. Training varies stains before this step.
    """
    if normalisation["name"] == "absorptance":
        return 1 - torch.exp(-_SATURATION * values)
    return values


class Field:
    """A field at one scale, in one normalisation.

    Parameters
    ----------
    rgb
        ``(Y, X, 3)`` in 0–255; NumPy, dask or zarr.
    factor
        Image pixels per model pixel.
    normalisation
        Of the checkpoint. Stains are fitted to a sample of the whole field; ``maximum`` divides
        by the field's largest value, ``background`` takes the background's mean and deviation
        at this scale.
    sample
        See :func:`napari_wbc_nca.ops.stain.sample_field`; read from the field where None.

    Its ``shape`` is height and width in model pixels, ``source_shape`` in the image's.
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
        self.sample = stain.sample_field(rgb) if sample is None else sample
        if normalisation["name"] == "maximum" and "maximum" not in normalisation:
            self.normalisation = {**normalisation, "maximum": float(np.asarray(rgb.max()))}

    def rescaled(self, factor: float, normalisation: Mapping[str, Any] | None = None) -> Field:
        """Return the field at `factor` image pixels per model pixel, with the same sample."""
        return Field(self.rgb, factor, normalisation or self.normalisation, self.sample)

    def fine_density(self) -> Field:
        """Return the optical density of the field at `FINE` pixels per model pixel.

        It is restored as that of the field, except that dark stains stay as they are.
        """
        usual = {k: v for k, v in self.normalisation.items() if k in stain.USUAL}
        if usual:
            usual["dark"] = (np.inf, 1.0)
        return self.rescaled(self.factor / FINE, {**DENSITY, **usual})

    @property
    def restored(self) -> bool:
        """Whether colours were so unusual that they are restored."""
        return getattr(self._normalise, "restoring", None) is not None

    def read(self, part: Part) -> torch.Tensor:
        """Read the pixels of `part` as the network needs them: ``(3, h, w)`` float32."""
        pixels = self._read(part)
        if self._statistics is not None:
            pixels = standardise(pixels, self._statistics)
        return saturate(torch.from_numpy(pixels), self.normalisation)

    def read_pixels(self, part: Part) -> npt.NDArray[np.float32]:
        """Read `part` with its channels last: ``(h, w, 3)`` float32."""
        return self.read(part).numpy().transpose(1, 2, 0)

    def normalised_sample(self) -> npt.NDArray[np.float32]:
        """Return the sample of the field, normalised: ``(h, w, 3)`` float32."""
        return self._normalise(self.sample, (0, 0), self.sample.shape[:2])

    def window(self, centre: Centre, side: int) -> Part:
        """Return the window of `side` around `centre`, moved inside the field where it fits."""
        rows, columns = (
            _span(middle, side, size) for middle, size in zip(centre, self.shape, strict=True)
        )
        return rows, columns

    @property
    def whole(self) -> Part:
        """All rows and columns."""
        return range(self.shape[0]), range(self.shape[1])

    def image_part(self, part: Part) -> Part:
        """Return the image pixels that `part` covers."""
        rows, columns = (
            range(int(span.start * self.factor), min(size, round(span.stop * self.factor)))
            for span, size in zip(part, self.source_shape, strict=True)
        )
        return rows, columns

    def to_image(self, centre: Centre) -> Centre:
        """Convert a position in model pixels to image pixels."""
        return (centre[0] + 0.5) * self.factor - 0.5, (centre[1] + 0.5) * self.factor - 0.5

    def from_image(self, centre: Centre) -> Centre:
        """Convert a position in image pixels to model pixels."""
        return (centre[0] + 0.5) / self.factor - 0.5, (centre[1] + 0.5) / self.factor - 0.5

    def interpolate(
        self, values: npt.NDArray[Any], part: Part, factor: float, target: Part
    ) -> npt.NDArray[np.float32]:
        """Interpolate a map of `part` of this field at the pixels `target` of another scale.

        There, `factor` image pixels are a pixel; 1 for the image's own.
        """
        return resample(
            lambda y, x: values[y, x, None],
            (len(part[0]), len(part[1])),
            factor / self.factor,
            *target,
            origin=(part[0].start, part[1].start),
        )[..., 0]

    def enlarge(self, values: npt.NDArray[Any], part: Part, target: Part) -> npt.NDArray[Any]:
        """Repeat the values of a map of `part` at the image pixels `target`, at its resolution."""
        rows, columns = (
            (((np.asarray(pixels) + 0.5) / self.factor).astype(int) - span.start).clip(
                0, len(span) - 1
            )
            for span, pixels in zip(part, target, strict=True)
        )
        return np.asarray(values[np.ix_(rows, columns)])

    def sample_labels(self, labels: npt.NDArray[Any], part: Part) -> npt.NDArray[Any]:
        """Sample a label image ``(Y, X)`` of the source at the pixels of `part`: the nearest."""
        rows, columns = (
            ((np.asarray(span) + 0.5) * self.factor).astype(int).clip(0, size - 1)
            for span, size in zip(part, labels.shape, strict=True)
        )
        return np.asarray(labels[np.ix_(rows, columns)])

    @cached_property
    def _normalise(self) -> stain.Normalise:
        own = self.normalisation["name"] == BY_BACKGROUND
        return stain.fit_normalisation(BRIGHTNESS if own else self.normalisation, self.sample)

    @cached_property
    def _statistics(self) -> Statistics | None:
        """Mean and deviation of the background, over parts that do not depend on any tile."""
        if self.normalisation["name"] != BY_BACKGROUND:
            return None
        names = [field.name for field in fields(ForegroundParams)]
        params = ForegroundParams(
            **{name: self.normalisation[name] for name in names if name in self.normalisation}
        )
        parts = [self._read(part) for part in _background_parts(self.shape)]
        last = (np.ascontiguousarray(np.moveaxis(pixels, 0, -1)) for pixels in parts)
        masks = [foreground(pixels, params).astype(np.uint8) for pixels in last]
        known = map(background_statistics, parts, masks)
        found = [statistics for statistics in known if statistics is not None]
        if not found:  # an empty field, whose noise the foreground takes for cells
            found = [_robust_statistics(pixels) for pixels in parts]
        mean, std = (np.mean(values, 0) for values in zip(*found, strict=True))
        return Statistics(mean, std)

    def _read(self, part: Part) -> Pixels:
        colours = resample(self._source, self.source_shape, self.factor, *part)
        normalised = self._normalise(colours, (part[0].start, part[1].start), self.shape)
        return np.ascontiguousarray(np.moveaxis(normalised, -1, 0))

    def _source(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        return np.asarray(self.rgb[rows, columns])


def fine_part(part: Part, shape: tuple[int, int]) -> Part:
    """Return the pixels of a fine field of `shape` that the model pixels of `part` cover."""
    rows, columns = (
        range(FINE * span.start, min(FINE * span.stop, size))
        for span, size in zip(part, shape, strict=True)
    )
    return rows, columns


def as_part(slices: Slices) -> Part:
    """Convert slices to rows and columns."""
    return range(slices[0].start, slices[0].stop), range(slices[1].start, slices[1].stop)


def as_slices(part: Part, outer: Part | None = None) -> Slices:
    """Convert rows and columns to slices of the field, or of the part `outer` of it."""
    y, x = (0, 0) if outer is None else (outer[0].start, outer[1].start)
    rows, columns = part
    return slice(rows.start - y, rows.stop - y), slice(columns.start - x, columns.stop - x)


def box_slices(box: Any, shape: tuple[int, ...]) -> Slices:
    """Return the pixels of a field of `shape` that a box y0, x0, y1, x1 touches."""
    rows, columns = (
        slice(max(0, int(np.floor(low))), max(0, min(size, int(np.ceil(high)))))
        for low, high, size in zip(box[:2], box[2:], shape, strict=True)
    )
    return rows, columns


def _span(middle: float, side: int, size: int) -> range:
    start = max(0, min(round(middle - side / 2), size - side))
    return range(start, min(start + side, size))


def _robust_statistics(pixels: Pixels) -> Statistics:
    """Compute the median, and the standard deviation by the median distance from it."""
    middle = np.median(pixels, axis=(1, 2))
    spread = np.median(np.abs(pixels - middle[:, None, None]), axis=(1, 2))
    return Statistics(middle, np.maximum(_NORMAL * spread, _MIN_DEVIATION))


def _background_parts(shape: tuple[int, int]) -> list[Part]:
    """Sample all of a small field, else nine parts spread evenly."""
    spans = [
        [range(size)]
        if size <= 2 * _SIDE
        else [range(start, start + _SIDE) for start in (0, (size - _SIDE) // 2, size - _SIDE)]
        for size in shape
    ]
    return [(rows, columns) for rows in spans[0] for columns in spans[1]]
