"""The diameter of a white blood cell in an image: given, computed, or estimated."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.cell_types import CELL_TO_BOX
from napari_wbc_nca.methods import registry
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field, Part
    from napari_wbc_nca.methods.params import PredictParams

FINEST = 12.0
"""Least diameter in image pixels that is searched for."""

MIN_DIAMETER = 2.0
"""Diameter in image pixels below which no cell can be segmented."""
_SIDE = 256  # side of the parts by which a large field is sampled, in model pixels


def image_diameter(
    field: Field,
    network: Any,
    checkpoint: Checkpoint,
    params: PredictParams,
    pixel_size: float | None = None,
    boxes: npt.NDArray[Any] | None = None,
) -> Generator[Progress, None, float]:
    """Return the diameter of a cell in image pixels by the first source there is.

    These are: the parameters' diameter; the pixel size in µm, of the parameters or the image, where
    the model's own is known; the median of the ``(N, 4)`` boxes; the method's estimate from the
    field, at the image's own scale. A model that was trained on images at their own scale takes an
    image as it is, unless the diameter is given. Cells that are too small to be segmented raise a
    ValueError: enlarging them could take all of the memory.
    """
    if params.diameter:
        return _checked_diameter(params.diameter, "the diameter that was given")
    scaled = checkpoint.card.get("scale", "cells") == "cells"
    size = params.pixel_size or pixel_size
    if size and checkpoint.card.get("pixel_size_known", scaled):
        diameter = checkpoint.diameter * checkpoint.pixel_size / size
        return _checked_diameter(diameter, f"the pixel size of {size:g} µm")
    if not scaled:
        return checkpoint.diameter
    if boxes is not None and len(boxes):
        sides = np.asarray(boxes, float)[:, 2:] - np.asarray(boxes, float)[:, :2]
        return CELL_TO_BOX * float(np.median(np.sqrt(sides.prod(1))))
    estimate = registry.load(registry.get(checkpoint.method).estimate)
    return float((yield from estimate(field, network, checkpoint, params)))


def _checked_diameter(diameter: float, source: str) -> float:
    if diameter < MIN_DIAMETER:
        raise ValueError(
            f"a cell is {diameter:.2g} px wide by {source}; expected {MIN_DIAMETER:g} px or more: "
            "give the right size of a pixel in µm, or the diameter of a cell in pixels"
        )
    return diameter


def weighted_median(values: npt.NDArray[Any], weights: npt.NDArray[Any]) -> float:
    """Return the weighted median, one of `values`."""
    return float(np.quantile(values, 0.5, weights=weights, method="inverted_cdf"))


def sample_parts(shape: tuple[int, int]) -> list[Part]:
    """Return the whole of a small field, else nine parts spread evenly over it."""
    if max(shape) <= 3 * _SIDE:
        return [(range(shape[0]), range(shape[1]))]
    spans = [sorted({max(0, round(f * (size - _SIDE))) for f in (0.0, 0.5, 1.0)}) for size in shape]
    return [
        (range(y, min(y + _SIDE, shape[0])), range(x, min(x + _SIDE, shape[1])))
        for y in spans[0]
        for x in spans[1]
    ]
