"""Centroids before any cell is cut: the likelihood once, its peaks by whatever is asked for."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_wbc_nca.io.images import in_colours
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.methods.propagation.detect import kinds_of, likelihood, view_of
from napari_wbc_nca.methods.propagation.network import least_of, load
from napari_wbc_nca.methods.propagation.scale import image_diameter
from napari_wbc_nca.ops.centroids import find_peaks
from napari_wbc_nca.ops.tiling import tiles
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.propagation.params import PropagationParams
    from napari_wbc_nca.types import Checkpoint, Image


@dataclass(frozen=True, eq=False)
class Response:
    """What a detector answers to a field.

    Attributes
    ----------
    values
        ``(kinds, h, w)`` likelihood in model pixels.
    factor
        Image pixels per model pixel.
    diameter
        Of a white blood cell in image pixels, as it was used.
    checkpoint
        The detector.
    """

    values: npt.NDArray[np.float32]
    factor: float
    diameter: float
    checkpoint: Checkpoint


def respond(
    image: Image, checkpoint: Checkpoint, params: PropagationParams
) -> Generator[Progress, None, Response]:
    """Likelihood of a whole field, tile by tile.

    Raises
    ------
    ValueError
        For an image that cannot be used, saying what to do.
    """
    image = in_colours(image)
    network, rgb = load(checkpoint, params.device), to_rgb(image.pixels)
    diameter = yield from image_diameter(image, rgb, network, checkpoint, params)
    view = view_of(rgb, diameter / checkpoint.diameter, checkpoint.normalisation)
    values = np.empty((len(checkpoint.classes), *view.shape), np.float32)
    parts = list(tiles(view.shape, max(network.stride, round(params.tile / view.factor)), 0))
    for number, tile in enumerate(parts):
        yield Progress(number, len(parts), "Looking for cells")
        rows, columns = (range(span.start, span.stop) for span in tile.core)
        values[:, *tile.core] = likelihood(network, view, (rows, columns))
    return Response(values, view.factor, diameter, checkpoint)


def centroids(response: Response, params: PropagationParams) -> pd.DataFrame:
    """Centroids ``y``, ``x`` in image pixels with ``class`` and ``likelihood``.

    They are those that prediction finds by the same parameters.
    """
    rows: list[tuple[Any, ...]] = []
    for kind in kinds_of(response.checkpoint, params):
        values = response.values[response.checkpoint.classes.index(kind)]
        least = params.min_likelihood or least_of(response.checkpoint, kind)
        for y, x in find_peaks(values, least, params.min_distance).tolist():
            place = ((at + 0.5) * response.factor - 0.5 for at in (y, x))
            rows.append((*place, kind, float(values[y, x])))
    return pd.DataFrame(rows, columns=["y", "x", "class", "likelihood"])
