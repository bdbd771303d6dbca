"""From finished cells to a segmentation: instances, and who contributes where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.methods.propagation.instances import CONTRIBUTION
from napari_wbc_nca.methods.result import blank
from napari_wbc_nca.ops.labels import cell_table
from napari_wbc_nca.ops.overlaps import local_slices, mask_box, resolve_overlaps
from napari_wbc_nca.types import Cell, Checkpoint, Image, Segmentation

if TYPE_CHECKING:
    import pandas as pd

    from napari_wbc_nca.methods.propagation.params import PropagationParams

_MAPPED = 20  # cells up to which each gets a map of its own

Key = tuple[tuple[float, float], str]


def key(cell: Cell) -> Key:
    """What a cell is known by: its centre and its kind."""
    return cell.centre, cell.label_class


def collect(
    cells: Sequence[Cell],
    image: Image,
    checkpoint: Checkpoint,
    params: PropagationParams,
    diameter: float | None = None,
    labels: Mapping[Key, int] | None = None,
) -> Segmentation:
    """Labels without overlaps, table and maps of the cells of one image.

    Pixels that two cells claim go to the one of the nearer centroid. Label images are zarr arrays
    in a temporary folder where the image is lazy.

    Parameters
    ----------
    cells
        In any order.
    image, checkpoint, params
        What they were found in, with and by.
    diameter
        Diameter in pixels that was used; kept in the provenance.
    labels
        Integers that some cells have already; the others get the ones above, in raster order.
    """
    settled = resolve_overlaps(cells, image.shape)
    numbers = numbered(settled, labels or {})
    images = {name: blank(image) for name in ("cell", "contribution")}
    highest = blank(image, "float32")
    for cell, number in zip(settled, numbers, strict=True):
        _paint(cell, number, images, highest, params.min_contribution)
    pixel_size = params.pixel_size or image.pixel_size
    found = {} if diameter is None else {"diameter": round(diameter, 2)}
    return Segmentation(
        labels=images,
        cells=_table(settled, numbers, checkpoint, pixel_size),
        maps=_maps(settled, numbers, image) if params.maps else {},
        provenance={**found, "cells": len(settled), "complete": True},
    )


def numbered(cells: Sequence[Cell], labels: Mapping[Key, int]) -> list[int]:
    """Integer of each cell: the one it has already, or the next that is free."""
    following = max(labels.values(), default=0)
    numbers = []
    for cell in cells:
        if key(cell) not in labels:
            following += 1
        numbers.append(labels.get(key(cell), following))
    return numbers


def _paint(cell: Cell, number: int, images: Mapping[str, Any], highest: Any, noise: float) -> None:
    """Write a cell into the label images, and its contribution where it is the highest so far."""
    part = mask_box(cell)
    block = np.asarray(images["cell"][part])
    block[cell.mask[local_slices(cell, part)]] = number
    images["cell"][part] = block
    values = cell.maps[CONTRIBUTION]
    y, x = (slice(at, at + size) for at, size in zip(cell.origin, values.shape, strict=True))
    before = np.asarray(highest[y, x])
    wins = (values > noise) & (values > before)
    owner = np.asarray(images["contribution"][y, x])
    owner[wins] = number
    images["contribution"][y, x] = owner
    highest[y, x] = np.maximum(before, values)


def _table(
    cells: Sequence[Cell], numbers: Sequence[int], checkpoint: Checkpoint, size: float | None
) -> pd.DataFrame:
    frame = cell_table(cells, checkpoint.classes, size)
    frame["label"] = numbers
    frame["likelihood"] = np.array([cell.confidence for cell in cells], np.float64)
    for axis, name in enumerate(("peak_y", "peak_x")):
        frame[name] = np.array([cell.centre[axis] for cell in cells], np.float64)
    return frame.sort_values("label", ignore_index=True)


def _maps(cells: Sequence[Cell], numbers: Sequence[int], image: Image) -> dict[str, Any]:
    """Contribution of each of the first cells, by its label."""
    maps = {}
    for cell, number in list(zip(cells, numbers, strict=True))[:_MAPPED]:
        values = cell.maps[CONTRIBUTION]
        own = maps[f"{CONTRIBUTION} {number}"] = blank(image, "float32")
        y, x = (slice(at, at + size) for at, size in zip(cell.origin, values.shape, strict=True))
        own[y, x] = values
    return maps
