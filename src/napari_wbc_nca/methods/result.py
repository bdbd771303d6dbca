"""From finished cells to a segmentation."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.ops.labels import cell_table, write_labels
from napari_wbc_nca.ops.overlaps import local_slices, mask_box, resolve_overlaps
from napari_wbc_nca.types import Cell, Checkpoint, Image, Segmentation

if TYPE_CHECKING:
    from napari_wbc_nca.methods.params import PredictParams

_CHUNK = 1024
_MAPPED = 20  # cells up to which each gets maps of its own


def collect(
    cells: Sequence[Cell],
    image: Image,
    checkpoint: Checkpoint,
    params: PredictParams,
    diameter: float | None = None,
) -> Segmentation:
    """Labels without overlaps, table and maps of the cells of one image.

    Label images are zarr arrays in a temporary folder where the image is lazy.

    Parameters
    ----------
    cells
        In any order.
    image, checkpoint, params
        What they were found in, with and by.
    diameter
        Diameter in pixels that was used; kept in the provenance.
    """
    settled = resolve_overlaps(cells, image.shape)
    labels = {name: blank(image) for name in ("cell", "nucleus")}
    write_labels(settled, labels["cell"], labels["nucleus"])
    pixel_size = params.pixel_size or image.pixel_size
    found = {} if diameter is None else {"diameter": float(diameter)}
    return Segmentation(
        labels=labels,
        cells=cell_table(settled, checkpoint.classes, pixel_size),
        maps=_maps(settled, image) if params.maps else {},
        provenance={**found, "cells": len(settled), "complete": True},
    )


def blank(image: Image, dtype: str = "uint32") -> Any:
    """Zeros as large as an image: NumPy for NumPy, zarr in a temporary folder where it is lazy."""
    if isinstance(image.pixels, np.ndarray):
        return np.zeros(image.shape, dtype)
    import zarr

    folder = tempfile.mkdtemp(prefix="wbc-labels-")
    chunks = (min(_CHUNK, image.shape[0]), min(_CHUNK, image.shape[1]))
    array = zarr.create_array(folder, shape=image.shape, chunks=chunks, dtype=dtype)
    weakref.finalize(array, shutil.rmtree, folder, ignore_errors=True)
    return array


def _maps(cells: Sequence[Cell], image: Image) -> Mapping[str, Any]:
    """The response of all cells in one map, and each cell's own maps by its label."""
    maps = {"response": blank(image, "float32")}
    for cell in cells:
        part = mask_box(cell)
        response = cell.response[local_slices(cell, part)]
        maps["response"][part] = np.maximum(np.asarray(maps["response"][part]), response)
    for label, cell in enumerate(cells[:_MAPPED], start=1):
        part = mask_box(cell)
        for name, values in cell.maps.items():
            own = maps[f"cell {label} {name}"] = blank(image, "float32")
            own[part] = values[local_slices(cell, part)]
    return maps
