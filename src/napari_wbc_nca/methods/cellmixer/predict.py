"""Prediction of `cellmixer`: a class for each pixel, and connected cells."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from napari_wbc_nca.methods.cellmixer.connected_cells import (
    PLAIN,
    ConnectedCells,
    connect_pixels,
    paint_tile,
)
from napari_wbc_nca.methods.field import as_slices, open_field
from napari_wbc_nca.methods.result import blank, zeros
from napari_wbc_nca.methods.scale import image_scale
from napari_wbc_nca.models.build import load_network
from napari_wbc_nca.ops.labels import cell_table
from napari_wbc_nca.ops.tiling import tiles
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Cell, Image, Segmentation

if TYPE_CHECKING:
    from torch import nn

    from napari_wbc_nca.methods.cellmixer.params import CellmixerParams
    from napari_wbc_nca.methods.field import Field
    from napari_wbc_nca.types import Checkpoint


Weights = npt.NDArray[np.float32]

_UNET_SIDE = 256
"""A U-Net sees windows of any side; larger ones have less border."""


def class_maps(
    network: nn.Module, field: Field, checkpoint: Checkpoint, params: CellmixerParams, lazy: bool
) -> Generator[Progress, None, list[Any]]:
    """Compute ``(Y, X)`` float32 probabilities of each class, at each pixel of a field.

    `field` is at the model's scale; `network` maps ``(B, 3, h, w)`` to logits
    ``(B, classes, h, w)``. Maps are NumPy, or zarr on disk where `lazy`.
    """
    maps = [zeros(field.shape, "float32", lazy) for _ in checkpoint.classes]
    side = checkpoint.window
    if checkpoint.architecture["network"] == "unet":
        side = max(side, _UNET_SIDE)
    rows, columns = (window_spans(size, side, params.overlap) for size in field.shape)
    places = [(y, x) for y in range(len(rows)) for x in range(len(columns))]
    down, across = (
        blending_weights(found, size)
        for found, size in zip((rows, columns), field.shape, strict=True)
    )
    several = bool(checkpoint.card.get("several"))
    for start in range(0, len(places), params.batch_size):
        batch = places[start : start + params.batch_size]
        found = _run(network, field, [(rows[y], columns[x]) for y, x in batch], several)
        for (y, x), values in zip(batch, found, strict=True):
            part = as_slices((rows[y], columns[x]))
            share = down[y][:, None] * across[x]
            for own, value in zip(maps, values, strict=True):
                own[part] = np.asarray(own[part]) + share * value
        yield Progress(start + len(batch), len(places), "Classifying the field")
    return maps


def window_spans(size: int, side: int, overlap: float) -> list[range]:
    """Cover `size` pixels by windows of `side`, each sharing `overlap` with the one before.

    Examples
    --------
    >>> window_spans(10, 4, 0.5)
    [range(0, 4), range(2, 6), range(4, 8), range(6, 10)]
    """
    if size <= side:
        return [range(size)]
    step = max(1, round(side * (1 - overlap)))
    starts = [*range(0, size - side, step), size - side]
    return [range(start, start + side) for start in starts]


def blending_weights(found: Sequence[range], size: int) -> list[Weights]:
    """Compute each window's share at its pixels; the shares of all windows sum to 1."""
    total = np.zeros(size)
    shapes = []
    for span in found:
        index = np.arange(len(span))
        shapes.append(np.minimum(index, index[::-1]) + 1.0)
        total[span.start : span.stop] += shapes[-1]
    return [
        np.asarray(shape / total[span.start : span.stop], np.float32)
        for span, shape in zip(found, shapes, strict=True)
    ]


@torch.inference_mode()
def _run(
    network: nn.Module, field: Field, parts: Sequence[tuple[range, range]], several: bool
) -> npt.NDArray[np.float32]:
    """Compute the probabilities ``(B, classes, h, w)`` of some windows."""
    device = next(network.parameters()).device
    images = torch.stack([field.read(part) for part in parts]).to(device)
    return np.asarray(probabilities(network(images), several).float().cpu().numpy())


def probabilities(logits: torch.Tensor, several: bool) -> torch.Tensor:
    """Compute ``(B, classes, h, w)`` probabilities; `several` classes may be at one pixel."""
    return torch.sigmoid(logits) if several else torch.softmax(logits, 1)


_REPORTED = 64  # cells in one progress
_DRAWN = 1024  # side of the tiles in which labels are drawn, in image pixels
_CLUMP = 2.5  # typical cells whose area a region has at least that is a clump of several
_CLUMPED = 0.2  # share of a class's area in clumps from which on its regions are not counted


def predict(
    image: Image,
    checkpoint: Checkpoint,
    params: CellmixerParams,
    points: Any = None,
    boxes: Any = None,
) -> Generator[Progress, None, Segmentation]:
    """Classify each pixel of an image, and label the connected cells.

    `points` and `boxes` are not used: the whole field is classified. Labels are ``class``, which is
    1 + the number of the class among those that are not the background, and ``cell``; maps are
    ``probability CLASS``. The provenance names in ``regions`` the classes of which touching cells
    are not separated; ``cells`` counts the others. Progress comes after each batch of windows and
    each tile, then with the cells. An image that cannot be used raises a ValueError, which says
    what to do.
    """
    image, field = open_field(image, checkpoint)
    network = load_network(checkpoint, params.device)
    scale = yield from image_scale(field, network, checkpoint, params, image.pixel_size)
    view = field.rescaled(scale.diameter / checkpoint.diameter)
    lazy = not isinstance(image.pixels, np.ndarray)
    maps = yield from class_maps(network, view, checkpoint, params, lazy)
    connected = _connect(maps, view.shape, checkpoint, params)
    labels, shown = yield from _draw(maps, connected, view.factor, image, checkpoint, params)
    cells: dict[int, Cell] = {}
    for label, cell in _cells(connected, maps, labels["cell"], view.factor, checkpoint.classes):
        cells[label] = cell
        if len(cells) % _REPORTED == 0:
            latest = tuple(cells.values())[-_REPORTED:]
            yield Progress(label, len(connected.numbers), "Measuring the cells", latest)
    size = params.pixel_size or image.pixel_size
    rows = cell_table(list(cells.values()), checkpoint.classes[1:], size)
    found: dict[str, Any] = {**scale.record(), "cells": len(cells), "complete": True}
    notes = scale.notes()
    if regions := clumped_regions(connected, checkpoint):
        found["cells"] -= sum(region["regions"] for region in regions.values())
        notes += [
            f"{name}: {region['regions']} connected regions, {region['area_share']:.0%} of the "
            "image; touching cells are not separated, so this is no cell count"
            for name, region in regions.items()
        ]
        found["regions"] = regions
    if notes:
        found["notes"] = notes
    return Segmentation(
        labels=labels,
        cells=rows.assign(label=np.fromiter(cells, np.int64, len(cells))),
        maps=shown,
        provenance=found,
    )


def clumped_regions(
    connected: ConnectedCells, checkpoint: Checkpoint
) -> dict[str, dict[str, float]]:
    """Describe the classes whose connected regions hold several touching cells.

    Such a class has `_CLUMPED` or more of its area in clumps; its number of ``regions`` is no cell
    count, and ``area_share`` is its share of the image.
    """
    areas = np.bincount(connected.labels.ravel(), minlength=len(connected.numbers) + 1)[1:]
    numbers, found = np.asarray(connected.numbers), {}
    for number, name in enumerate(checkpoint.classes[1:], start=1):
        own = areas[numbers == number]
        single = np.pi / 4 * checkpoint.card["diameters"].get(name, 0.0) ** 2
        clumps = own[own > _CLUMP * single]
        if single and clumps.sum() >= _CLUMPED * max(own.sum(), 1):
            share = float(own.sum() / connected.labels.size)
            found[name] = {"regions": len(own), "area_share": round(share, 4)}
    return found


def _connect(
    maps: Sequence[Any], shape: tuple[int, int], checkpoint: Checkpoint, params: CellmixerParams
) -> ConnectedCells:
    """Connect the pixels of each class, which is the likeliest at each model pixel."""
    top, plain = np.zeros(shape, np.uint8), np.zeros(shape, bool)
    for tile in tiles(shape, params.tile, 0):
        values = [np.asarray(own[tile.core]) for own in maps]
        top[tile.core], plain[tile.core] = np.argmax(values, axis=0), values[0] >= PLAIN
    return connect_pixels(top, plain, checkpoint.classes, checkpoint.card["diameters"], params)


def _draw(
    maps: Sequence[Any],
    connected: ConnectedCells,
    factor: float,
    image: Image,
    checkpoint: Checkpoint,
    params: CellmixerParams,
) -> Generator[Progress, None, tuple[dict[str, Any], dict[str, Any]]]:
    """Draw cells, classes and, where they are wanted, probabilities at the image's pixels."""
    labels = {name: blank(image) for name in ("cell", "class")}
    wanted = checkpoint.classes if params.maps else ()
    shown = {f"probability {name}": blank(image, "float32") for name in wanted}
    parts = [tile.core for tile in tiles(image.shape, min(params.tile, _DRAWN), 0)]
    for done, part in enumerate(parts, start=1):
        painted = paint_tile(maps, connected, factor, part)
        labels["class"][part], labels["cell"][part], found = painted
        for own, values in zip(shown.values(), found, strict=False):
            own[part] = values
        yield Progress(done, len(parts), "Drawing the cells")
    return labels, shown


def _cells(
    connected: ConnectedCells, maps: Sequence[Any], labels: Any, factor: float, names: Sequence[str]
) -> Iterator[tuple[int, Cell]]:
    """Label and cell of each region that has a pixel in the image."""
    for label, (number, box) in enumerate(
        zip(connected.numbers, connected.boxes, strict=True), start=1
    ):
        part = tuple(
            slice(max(0, int((s.start - 1) * factor)), min(size, int((s.stop + 1) * factor) + 1))
            for s, size in zip(box, labels.shape, strict=True)
        )
        mask = np.asarray(labels[part]) == label
        if not mask.any():
            continue
        inside = connected.labels[box] == label
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
