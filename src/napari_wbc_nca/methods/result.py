"""A segmentation from finished cells: label images, table, maps and notes."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.methods import registry
from napari_wbc_nca.ops.labels import cell_table
from napari_wbc_nca.ops.overlaps import local_slices, mask_box, resolve_overlaps
from napari_wbc_nca.types import Candidate, Cell, Checkpoint, Image, Segmentation

if TYPE_CHECKING:
    import pandas as pd

    from napari_wbc_nca.methods.params import PredictParams
    from napari_wbc_nca.methods.scale import Scale

CONTRIBUTION = "contribution"
"""Name of a cell's map of what its pixels contribute, where no other cell's contribute more."""
PCA = "pca"
"""Name of a window's plain mask by the first component of its features (NCA-WSS)."""

_CHUNK = 1024
_MAPPED = 20  # cells up to which each gets separate maps

CellKey = tuple[tuple[float, float], str]


def cell_key(cell: Cell) -> CellKey:
    """Return what identifies a cell in a field: its centre and its class."""
    return cell.centre, cell.label_class


def collect(
    cells: Sequence[Cell],
    image: Image,
    checkpoint: Checkpoint,
    params: PredictParams,
    scale: Scale | None = None,
    labels: Mapping[CellKey, int] | None = None,
    notes: Sequence[str] = (),
    candidates: Iterable[Candidate] = (),
) -> Segmentation:
    """Resolve overlaps and make the labels, table and maps of one image from cells in any order.

    `labels` are integers that some cells have already; the others get the ones above, in raster
    order. The provenance keeps the scale that was used, the notes for the user, and as
    ``likely_missed`` those `candidates` that lie on no cell, of near ones the best.
    """
    disjoint = resolve_overlaps(cells, image.shape)
    numbers = assign_labels(disjoint, labels or {})
    names = registry.get(checkpoint.method).labels
    if getattr(params, PCA, False):
        names = (*names, PCA)
    images = {name: blank(image) for name in names}
    highest = blank(image, "float32") if CONTRIBUTION in images else None
    for cell, number in zip(disjoint, numbers, strict=True):
        _paint(cell, number, images, checkpoint.classes)
        if PCA in cell.maps:
            _paint_pca(cell, number, images[PCA])
        if highest is not None:
            noise = getattr(params, "min_contribution", 0.0)
            _paint_contribution(cell, number, images[CONTRIBUTION], highest, noise)
    frame = _table(disjoint, numbers, checkpoint, params.pixel_size or image.pixel_size)
    found = {} if scale is None else scale.record()
    if notes := [*notes, *([] if scale is None else scale.notes())]:
        found["notes"] = notes
    if missed := _apart(candidates, images["cell"], found.get("diameter", 0.0)):
        found |= {"likely_missed": [asdict(candidate) for candidate in missed]}
    return Segmentation(
        labels=images,
        cells=frame,
        maps=_maps(disjoint, numbers, image, highest is None) if params.maps else {},
        provenance={**found, "cells": len(disjoint), "complete": True},
    )


def _apart(candidates: Iterable[Candidate], labels: Any, diameter: float) -> list[Candidate]:
    """Select candidates on no cell, each more than half a diameter from better ones."""
    kept: list[Candidate] = []
    for one in sorted(candidates, key=lambda c: (-c.score, c.y, c.x)):
        y, x = (
            min(max(round(at), 0), n - 1)
            for at, n in zip((one.y, one.x), labels.shape, strict=True)
        )
        near = any(np.hypot(one.y - c.y, one.x - c.x) <= diameter / 2 for c in kept)
        if not near and not int(labels[y, x]):
            kept.append(one)
    return kept


def assign_labels(cells: Sequence[Cell], labels: Mapping[CellKey, int]) -> list[int]:
    """Return the integer of each cell: the one it has already, or the next that is free."""
    free = count(max(labels.values(), default=0) + 1)
    return [labels[k] if (k := cell_key(cell)) in labels else next(free) for cell in cells]


def blank(image: Image, dtype: str = "uint32") -> Any:
    """Return zeros as large as an image, on disk where it is lazy; see :func:`zeros`."""
    return zeros(image.shape, dtype, not isinstance(image.pixels, np.ndarray))


def zeros(shape: tuple[int, int], dtype: str, lazy: bool) -> Any:
    """Return zeros: NumPy, or zarr in a temporary folder where `lazy`."""
    if not lazy:
        return np.zeros(shape, dtype)
    import zarr

    folder = tempfile.mkdtemp(prefix="wbc-labels-")
    chunks = (min(_CHUNK, shape[0]), min(_CHUNK, shape[1]))
    array = zarr.create_array(folder, shape=shape, chunks=chunks, dtype=dtype)
    weakref.finalize(array, shutil.rmtree, folder, ignore_errors=True)
    return array


def _paint(cell: Cell, number: int, images: Mapping[str, Any], classes: Sequence[str]) -> None:
    """Write a cell's mask, nucleus and class into those label images that there are."""
    part = mask_box(cell)
    inside = local_slices(cell, part)
    for name, mask, value in (
        ("cell", cell.mask, number),
        ("nucleus", cell.nucleus, number),
        ("class", cell.mask, classes.index(cell.label_class)),
    ):
        if name in images:
            block = np.asarray(images[name][part])
            block[mask[inside]] = value
            images[name][part] = block


def _paint_contribution(cell: Cell, number: int, owner: Any, highest: Any, noise: float) -> None:
    """Give a cell the pixels where its contribution is the highest so far."""
    part, values = _extent(cell), cell.maps[CONTRIBUTION]
    before, block = np.asarray(highest[part]), np.asarray(owner[part])
    block[(values > noise) & (values > before)] = number
    owner[part] = block
    highest[part] = np.maximum(before, values)


def _paint_pca(cell: Cell, number: int, owner: Any) -> None:
    """Give a cell the pixels of its window's plain mask; windows share none."""
    part = _extent(cell)
    block = np.asarray(owner[part])
    block[cell.maps[PCA] > 0] = number
    owner[part] = block


def _extent(cell: Cell) -> tuple[slice, slice]:
    """Return the rows and columns of the image that a cell's arrays span."""
    y, x = (slice(at, at + size) for at, size in zip(cell.origin, cell.mask.shape, strict=True))
    return y, x


def _table(
    cells: Sequence[Cell], numbers: Sequence[int], checkpoint: Checkpoint, size: float | None
) -> pd.DataFrame:
    method = registry.get(checkpoint.method)
    frame = cell_table(cells, checkpoint.classes[method.background :], size)
    frame["label"] = np.asarray(numbers, np.int64)
    if CONTRIBUTION in method.labels:
        frame["likelihood"] = np.array([cell.confidence for cell in cells], np.float64)
        for axis, name in enumerate(("peak_y", "peak_x")):
            frame[name] = np.array([cell.centre[axis] for cell in cells], np.float64)
    return frame.sort_values("label", ignore_index=True)


def _maps(
    cells: Sequence[Cell], numbers: Sequence[int], image: Image, with_response: bool
) -> dict[str, Any]:
    """Draw the response of all cells where it is wanted, and maps of the first cells."""
    maps = {"response": blank(image, "float32")} if with_response else {}
    for cell in cells if with_response else ():
        part = mask_box(cell)
        response = cell.response[local_slices(cell, part)]
        maps["response"][part] = np.maximum(np.asarray(maps["response"][part]), response)
    for cell, number in list(zip(cells, numbers, strict=True))[:_MAPPED]:
        for name, values in cell.maps.items():
            if name == PCA:
                continue
            if name == CONTRIBUTION:
                title, part = f"{name} {number}", _extent(cell)
            else:
                title, part = f"cell {number} {name}", mask_box(cell)
            own = maps[title] = blank(image, "float32")
            own[part] = values[local_slices(cell, part)]
    return maps
