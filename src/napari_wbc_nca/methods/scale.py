"""The diameter of a white blood cell in an image: given, computed, or estimated."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.cell_types import CELL_TO_BOX
from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.scale_network import read_scale
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field, Part
    from napari_wbc_nca.methods.params import PredictParams

UNCERTAIN = 0.3
"""Spread above which a scale is uncertain."""
LARGE = 2048
"""Longer side in pixels of an image above which white cells are too few to give the scale."""
FINEST = 12.0
"""Least diameter in image pixels that is searched for."""

MIN_DIAMETER = 2.0
"""Diameter in image pixels below which no cell can be segmented."""
_SIDE = 256  # side of the parts by which a large field is sampled, in model pixels


@dataclass(frozen=True)
class Scale:
    """Diameter of a white blood cell in an image.

    Attributes
    ----------
    diameter
        In image pixels.
    source
        Where it is from.
    spread
        Standard deviation of its logarithm, 0.1 for about 10 %; 0 where it was given.
    """

    diameter: float
    source: str
    spread: float = 0.0

    def record(self) -> dict[str, Any]:
        """Return what the provenance keeps."""
        return {
            "diameter": float(self.diameter),
            "scale": {"source": self.source, "spread": round(self.spread, 3)},
        }

    def notes(self) -> list[str]:
        """Say that the scale is uncertain, and what to do, where it is."""
        if self.spread <= UNCERTAIN:
            return []
        low, high = (self.diameter * np.exp(side * self.spread) for side in (-1, 1))
        return [
            f"it is uncertain how large the cells are, about {low:.0f} to {high:.0f} px: check the "
            "outlines, or give the diameter of a white cell or the size of a pixel"
        ]


def image_scale(
    field: Field,
    network: Any,
    checkpoint: Checkpoint,
    params: PredictParams,
    pixel_size: float | None = None,
    boxes: npt.NDArray[Any] | None = None,
) -> Generator[Progress, None, Scale]:
    """Find the scale of an image by the first source there is.

    These are: the parameters' diameter; the pixel size in µm, of the parameters or the image, where
    the model's own is known; the median of the ``(N, 4)`` boxes; in images of more than `LARGE`
    pixels, where white cells may be few, the shapes of all cells; where these leave it
    uncertain, and in smaller images, the method's own search. A model that was trained on images at
    their own scale takes an image as it is, unless the diameter is given. Cells that are too small
    to be segmented raise a ValueError: enlarging them could take all of the memory.
    """
    if params.diameter:
        return _checked(params.diameter, "the diameter that was given")
    scaled = checkpoint.card.get("scale", "cells") == "cells"
    size = params.pixel_size or pixel_size
    if size and checkpoint.card.get("pixel_size_known", scaled):
        diameter = checkpoint.diameter * checkpoint.pixel_size / size
        return _checked(diameter, f"the pixel size of {size:g} µm")
    if not scaled:
        return Scale(checkpoint.diameter, "the model")
    if boxes is not None and len(boxes):
        sides = np.asarray(boxes, float)[:, 2:] - np.asarray(boxes, float)[:, :2]
        return Scale(CELL_TO_BOX * float(np.median(np.sqrt(sides.prod(1)))), "the boxes")
    spread = 0.0
    if max(field.source_shape) > LARGE:
        diameter, spread = yield from read_scale(field)
        if spread <= UNCERTAIN:
            return Scale(diameter, "the shapes of all cells", spread)
    search = registry.load(registry.get(checkpoint.method).estimate)
    diameter = float((yield from search(field, network, checkpoint, params)))
    return Scale(diameter, "the cells that the model finds", spread)


def _checked(diameter: float, source: str) -> Scale:
    if diameter < MIN_DIAMETER:
        raise ValueError(
            f"a cell is {diameter:.2g} px wide by {source}; expected {MIN_DIAMETER:g} px or more: "
            "give the right size of a pixel in µm, or the diameter of a cell in pixels"
        )
    return Scale(diameter, source)


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
