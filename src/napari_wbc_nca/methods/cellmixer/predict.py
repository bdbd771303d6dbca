"""Prediction of `cellmixer`: a class for each pixel, and connected cells."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io.images import in_colours
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.methods.cellmixer.field import ReferencedField
from napari_wbc_nca.methods.cellmixer.network import load
from napari_wbc_nca.methods.cellmixer.pieces import PLAIN, Pieces, connect, paint
from napari_wbc_nca.methods.cellmixer.scale import image_diameter
from napari_wbc_nca.methods.cellmixer.sliding_window import class_maps
from napari_wbc_nca.methods.result import blank
from napari_wbc_nca.ops.labels import cell_table
from napari_wbc_nca.ops.tiling import tiles
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Cell, Segmentation

if TYPE_CHECKING:
    from napari_wbc_nca.methods.cellmixer.params import CellmixerParams
    from napari_wbc_nca.types import Checkpoint, Image

_REPORTED = 64  # cells in one progress


def predict(
    image: Image,
    checkpoint: Checkpoint,
    params: CellmixerParams,
    points: Any = None,
    boxes: Any = None,
) -> Generator[Progress, None, Segmentation]:
    """Give each pixel of an image a class, and number the connected cells.

    Parameters
    ----------
    image
        A field, with colours or without.
    checkpoint
        Of `cellmixer`.
    params
        How; see :class:`~napari_wbc_nca.methods.cellmixer.params.CellmixerParams`.
    points, boxes
        Not used: all of the field is looked at.

    Yields
    ------
    Progress
        After each batch of windows and each tile, then with the cells.

    Returns
    -------
    Segmentation
        Labels ``class``, which is 1 + the number of the class among those that are not the
        background, and ``cell``; maps ``probability CLASS``.

    Raises
    ------
    ValueError
        For an image that cannot be used, saying what to do.
    """
    image = in_colours(image)
    rgb, network = to_rgb(image.pixels), load(checkpoint, params.device)
    diameter = yield from image_diameter(rgb, image.pixel_size, network, checkpoint, params)
    field = ReferencedField(rgb, diameter / checkpoint.diameter, checkpoint.normalisation)
    lazy = not isinstance(image.pixels, np.ndarray)
    maps = yield from class_maps(network, field, checkpoint, params, lazy)
    top, plain = np.zeros(field.shape, np.uint8), np.zeros(field.shape, bool)
    for tile in tiles(field.shape, params.tile, 0):
        values = [np.asarray(own[tile.core]) for own in maps]
        top[tile.core], plain[tile.core] = np.argmax(values, axis=0), values[0] >= PLAIN
    pieces = connect(top, plain, checkpoint.classes, checkpoint.card["diameters"], params)
    labels = {name: blank(image) for name in ("cell", "class")}
    wanted = checkpoint.classes if params.maps else ()
    shown = {f"probability {name}": blank(image, "float32") for name in wanted}
    parts = [tile.core for tile in tiles(image.shape, params.tile, 0)]
    for done, part in enumerate(parts, start=1):
        labels["class"][part], labels["cell"][part], found = paint(maps, pieces, field.factor, part)
        for own, values in zip(shown.values(), found, strict=False):
            own[part] = values
        yield Progress(done, len(parts), "Drawing the cells")
    cells: dict[int, Cell] = {}
    for label, cell in _cells(pieces, maps, labels["cell"], field.factor, checkpoint.classes):
        cells[label] = cell
        if len(cells) % _REPORTED == 0:
            latest = tuple(cells.values())[-_REPORTED:]
            yield Progress(label, len(pieces.numbers), "Measuring the cells", latest)
    rows = cell_table(
        list(cells.values()), checkpoint.classes[1:], params.pixel_size or image.pixel_size
    )
    return Segmentation(
        labels=labels,
        cells=rows.assign(label=np.fromiter(cells, np.int64, len(cells))),
        maps=shown,
        provenance={"diameter": round(diameter, 2), "cells": len(cells), "complete": True},
    )


def _cells(
    pieces: Pieces, maps: Sequence[Any], labels: Any, factor: float, names: Sequence[str]
) -> Iterator[tuple[int, Cell]]:
    """Number and cell of each piece that has a pixel in the image."""
    for label, (number, box) in enumerate(zip(pieces.numbers, pieces.boxes, strict=True), start=1):
        part = tuple(
            slice(max(0, int((s.start - 1) * factor)), min(size, int((s.stop + 1) * factor) + 1))
            for s, size in zip(box, labels.shape, strict=True)
        )
        mask = np.asarray(labels[part]) == label
        if not mask.any():
            continue
        inside = pieces.labels[box] == label
        means = [float(np.asarray(own[box])[inside].mean()) for own in maps]
        rows, columns = np.nonzero(mask)
        yield (
            label,
            Cell(
                centre=(part[0].start + float(rows.mean()), part[1].start + float(columns.mean())),
                origin=(part[0].start, part[1].start),
                mask=mask,
                nucleus=np.zeros_like(mask),
                response=mask.astype(np.float32),
                label_class=names[number],
                probabilities=dict(zip(names[1:], means[1:], strict=True)),
                confidence=means[number],
            ),
        )
