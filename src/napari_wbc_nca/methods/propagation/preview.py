"""Preview of the centroids: the likelihood map once, its peaks by changing parameters."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_wbc_nca.methods.field import as_part, open_field
from napari_wbc_nca.methods.propagation.detect import (
    field_tiles,
    likelihood,
    load_detector,
    min_likelihood_of,
    selected_kinds,
)
from napari_wbc_nca.methods.scale import image_diameter
from napari_wbc_nca.ops.centroids import find_peaks
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.propagation.params import PropagationParams
    from napari_wbc_nca.types import Checkpoint, Image


@dataclass(frozen=True, eq=False)
class LikelihoodMap:
    """Likelihood of each kind in a field.

    Attributes
    ----------
    values
        ``(kinds, h, w)`` in model pixels.
    factor
        Image pixels per model pixel.
    diameter
        Of a white blood cell in image pixels, as it was used.
    """

    values: npt.NDArray[np.float32]
    factor: float
    diameter: float
    checkpoint: Checkpoint


def map_likelihood(
    image: Image, checkpoint: Checkpoint, params: PropagationParams
) -> Generator[Progress, None, LikelihoodMap]:
    """Compute the likelihood of a whole field, tile by tile; as prediction does."""
    image, field = open_field(image, checkpoint)
    network = load_detector(checkpoint, params.device)
    diameter = yield from image_diameter(field, network, checkpoint, params, image.pixel_size)
    view = field.rescaled(diameter / checkpoint.diameter)
    values = np.empty((len(checkpoint.classes), *view.shape), np.float32)
    parts = field_tiles(network, view, params)
    for number, tile in enumerate(parts):
        yield Progress(number, len(parts), "Finding cells")
        values[:, *tile.core] = likelihood(network, view, as_part(tile.core))
    return LikelihoodMap(values, view.factor, diameter, checkpoint)


def centroids(likelihood_map: LikelihoodMap, params: PropagationParams) -> pd.DataFrame:
    """Find the peaks: ``y``, ``x`` in image pixels, ``class`` and ``likelihood``.

    They are those that prediction finds by the same parameters.
    """
    rows: list[tuple[Any, ...]] = []
    for kind in selected_kinds(likelihood_map.checkpoint, params):
        values = likelihood_map.values[likelihood_map.checkpoint.classes.index(kind)]
        least = params.min_likelihood or min_likelihood_of(likelihood_map.checkpoint, kind)
        for y, x in find_peaks(values, least, params.min_distance).tolist():
            place = ((at + 0.5) * likelihood_map.factor - 0.5 for at in (y, x))
            rows.append((*place, kind, float(values[y, x])))
    return pd.DataFrame(rows, columns=["y", "x", "class", "likelihood"])
