"""Regions that were reviewed in full, from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_wbc_nca.formats.geometry import polygons_of
from napari_wbc_nca.formats.items import ExportError
from napari_wbc_nca.formats.qupath import END, features
from napari_wbc_nca.io import images
from napari_wbc_nca.ops.outlines import Polygon, fill_polygons

if TYPE_CHECKING:
    import numpy.typing as npt


def read(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """``(Y, X)`` pixels of reviewed regions.

    Parameters
    ----------
    path
        GeoJSON of polygons in pixels, or an image that is 0 where nobody reviewed.
    shape
        Of the labels.

    Raises
    ------
    ExportError
        When it cannot be read, or has another size.
    """
    if path.suffix.lower() in (END, ".json"):
        shapes = [polygons_of(some.get("geometry"), str(path)) for some in features(path)]
        return cover([polygon for some in shapes for polygon in some], shape)
    mask = np.asarray(images.read(path).pixels)
    if mask.ndim == 3:
        mask = mask.max(axis=-1)
    if mask.shape != shape:
        raise ExportError(
            f"{path} is {mask.shape[0]} × {mask.shape[1]} pixels and the labels are "
            f"{shape[0]} × {shape[1]}; draw the regions on the same image"
        )
    return np.asarray(mask > 0)


def cover(polygons: Sequence[Polygon], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Pixels that lie in any of `polygons`."""
    return fill_polygons(polygons, [1] * len(polygons), shape) > 0
