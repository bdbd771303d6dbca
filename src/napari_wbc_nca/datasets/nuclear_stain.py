"""Samples known by centroids alone: points that were clicked, or nuclei in a stained channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.cell_types import canonical
from napari_wbc_nca.datasets.label_files import CELL
from napari_wbc_nca.datasets.samples import LabelError, Sample, picture_size
from napari_wbc_nca.io.images import read
from napari_wbc_nca.io.pixels import ImageError
from napari_wbc_nca.ops.centroids import detect_blobs

if TYPE_CHECKING:
    import numpy.typing as npt

STAIN = "_stain"
"""What follows a picture's stem in the name of the image of its stained nuclei."""
_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")


def points_sample(
    pixels: npt.NDArray[Any],
    points: npt.ArrayLike,
    kinds: Sequence[str] = (),
    diameter: float = 0.0,
    name: str = "points",
) -> Sample:
    """Sample of a picture in memory and the centres that were clicked in it.

    Parameters
    ----------
    pixels
        ``(Y, X, 3)`` or ``(Y, X)`` uint8.
    points
        ``(N, 2)`` y, x in pixels, as a napari Points layer has them.
    kinds
        Name of each; all are ``cell`` where none are given.
    diameter
        Of a typical white blood cell in pixels; 0 where it is not known.
    name
        Of the picture.

    Raises
    ------
    LabelError
        When a point is not finite or lies outside, or the names are not as many.
    """
    places = np.asarray(points, np.float32).reshape(-1, 2)
    names = tuple(kind.strip().lower() for kind in kinds) or (CELL,) * len(places)
    if len(names) != len(places):
        raise LabelError(f"{name}: {len(names)} kinds for {len(places)} points; name each, or none")
    shape = np.asarray(pixels.shape[:2])
    # Written so that NaN is outside.
    outside = ~((places >= -0.5) & (places <= shape - 0.5)).all(1)
    if outside.any():
        raise LabelError(
            f"{name}: {int(outside.sum())} of {len(places)} points lie outside the picture of "
            f"{tuple(shape.tolist())} (height, width) pixels; move or remove them"
        )
    colours = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
    boxes = np.hstack([places, places]).clip(0)
    return Sample(
        Path(name),
        boxes,
        tuple(map(canonical, names)),
        source=name,
        kinds=names,
        pixels=colours,
        diameter=diameter,
    )


def stain_file(picture: Path) -> Path | None:
    """Image of the stained nuclei beside a picture; None where there is none."""
    files = (picture.with_name(f"{picture.stem}{STAIN}{suffix}") for suffix in _SUFFIXES)
    return next((file for file in files if file.exists()), None)


def stain_sample(picture: Path) -> Sample:
    """Sample of a picture whose cells are the blobs in the stained channel beside it.

    Raises
    ------
    LabelError
        When there is no such channel, it cannot be read, or is not of the picture's size.
    """
    file = stain_file(picture)
    if file is None:
        raise LabelError(
            f"{picture} has no stained channel beside it; expected {picture.stem}{STAIN}.tif"
        )
    try:
        values = np.asarray(read(file).pixels, np.float32)
    except (ImageError, OSError) as error:
        raise LabelError(f"{file} cannot be read: {error}") from error
    plane = values if values.ndim == 2 else values[..., :3].mean(-1)
    if plane.shape != (size := picture_size(picture)):
        raise LabelError(
            f"{file} has {plane.shape} (height, width) pixels, but {picture.name} has {size}"
        )
    centres = detect_blobs(plane).astype(np.float32)
    return Sample(picture, np.hstack([centres, centres]), (CELL,) * len(centres))
