"""Prediction: centroids, contributions, instances."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io.images import in_colours
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.methods.prompts import Places, given
from napari_wbc_nca.methods.propagation.cells import Found, Maker
from napari_wbc_nca.methods.propagation.contribution import Centroid
from napari_wbc_nca.methods.propagation.detect import detect, kinds_of, likelihood, view_of
from napari_wbc_nca.methods.propagation.network import load
from napari_wbc_nca.methods.propagation.result import collect, key
from napari_wbc_nca.methods.propagation.scale import image_diameter
from napari_wbc_nca.methods.result import blank
from napari_wbc_nca.ops.tiling import Tile, tiles
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Segmentation

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field
    from napari_wbc_nca.methods.propagation.params import PropagationParams
    from napari_wbc_nca.models.unet import UNet
    from napari_wbc_nca.types import Checkpoint, Image


def predict(
    image: Image,
    checkpoint: Checkpoint,
    params: PropagationParams,
    points: Places | None = None,
    boxes: Places | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Find the cells of one image and cut each out of its surroundings.

    Parameters
    ----------
    image
        A field; colours, or brightness for a detector of one channel.
    checkpoint
        Of a detector.
    params
        How; see :class:`~napari_wbc_nca.methods.propagation.params.PropagationParams`.
    points
        ``(N, 2)`` y, x in pixels, for ``locate="points"``. Several in one pixel are one cell.
    boxes
        ``(N, 4)`` y0, x0, y1, x1 in pixels, for ``locate="boxes"``.

    Yields
    ------
    Progress
        After each tile or batch, with the cells finished since the last.

    Returns
    -------
    Segmentation
        Labels ``cell`` and ``contribution``; the table also has the ``likelihood`` at each
        centroid, ``peak_y`` and ``peak_x``. Of an image in memory, `kept` is what
        :func:`~napari_wbc_nca.methods.propagation.update.update` needs.

    Raises
    ------
    ValueError
        For an image, points or boxes that cannot be used, saying what to do.
    """
    image = in_colours(image)
    places = None
    if params.locate != "detector":
        places = given(params.locate, points, boxes, image.shape)
    wanted = kinds_of(checkpoint, params)
    network = load(checkpoint, params.device)
    rgb = to_rgb(image.pixels)
    diameter = yield from image_diameter(image, rgb, network, checkpoint, params, boxes)
    view = view_of(rgb, diameter / checkpoint.diameter, checkpoint.normalisation)
    if places is None:
        peaks = yield from detect(network, view, checkpoint, replace(params, kinds="all"))
        centroids = [Centroid(peak.y, peak.x, peak.kind) for peak in peaks]
    else:
        kinds = [checkpoint.classes.index(kind) for kind in wanted]
        centroids = yield from named(places, network, view, kinds, params)
    found = Found(diameter, dict(enumerate(unique(centroids))))
    asked = {n for n, c in found.centroids.items() if checkpoint.classes[c.kind] in wanted}
    in_memory = isinstance(image.pixels, np.ndarray)
    maker = Maker(view, network, checkpoint, params, keep=in_memory)
    near = maker.near(found.centroids)
    yield from maker.make(found, asked.union(*(near[n] for n in asked)), asked)
    result = finished(found, image, checkpoint, params)
    if params.maps:
        maps = yield from likelihood_maps(network, view, checkpoint, image, params)
        result = replace(result, maps={**maps, **result.maps})
    return replace(result, kept=found) if in_memory else result


def named(
    places: Places,
    network: UNet,
    view: Field,
    kinds: Sequence[int],
    params: PropagationParams,
) -> Generator[Progress, None, list[Centroid]]:
    """Centroids at `places` of the image, each of the one of `kinds` that is likeliest there."""
    moved = np.clip((places + 0.5) / view.factor - 0.5, 0, np.subtract(view.shape, 1))
    pixels = np.rint(moved).astype(int)
    chosen = np.full(len(moved), kinds[0])
    for tile in tiles_of(network, view, params) if len(kinds) > 1 else ():
        low, high = ([getattr(span, end) for span in tile.core] for end in ("start", "stop"))
        own = np.flatnonzero(((pixels >= low) & (pixels < high)).all(1))
        if own.size:
            yield Progress(int(own[0]), len(moved), "Looking at the centroids")
            first, last = pixels[own].min(0), pixels[own].max(0) + 1
            part = (range(first[0], last[0]), range(first[1], last[1]))
            values = likelihood(network, view, part)[kinds]
            chosen[own] = np.asarray(kinds)[values[:, *(pixels[own] - first).T].argmax(0)]
    rows = zip(moved.tolist(), chosen.tolist(), strict=True)
    return [Centroid(y, x, kind) for (y, x), kind in rows]


def tiles_of(network: UNet, view: Field, params: PropagationParams) -> list[Tile]:
    """Tiles of a field, with what interpolation needs around them."""
    return list(tiles(view.shape, max(network.stride, round(params.tile / view.factor)), 2))


def unique(centroids: Iterable[Centroid]) -> list[Centroid]:
    """Centroids in raster order, only the first of those of one kind in one pixel."""
    ordered = sorted(centroids, key=lambda c: (c.y, c.x, c.kind))
    first: dict[tuple[int, int, int], Centroid] = {}
    for centroid in ordered:
        first.setdefault((*centroid.pixel, centroid.kind), centroid)
    return list(first.values())


def finished(
    found: Found, image: Image, checkpoint: Checkpoint, params: PropagationParams
) -> Segmentation:
    """Segmentation of the cells that were cut; `found` learns their labels."""
    cells = {n: cell for n, cell in found.cells.items() if cell is not None}
    numbers = {key(cell): n for n, cell in cells.items()}
    known = {key(cell): found.labels[n] for n, cell in cells.items() if n in found.labels}
    result = collect([*cells.values()], image, checkpoint, params, found.diameter, known)
    rows = result.cells[["peak_y", "peak_x", "class", "label"]].itertuples(index=False)
    found.labels = {numbers[(y, x), kind]: int(label) for y, x, kind, label in rows}
    return result


def likelihood_maps(
    network: UNet, view: Field, checkpoint: Checkpoint, image: Image, params: PropagationParams
) -> Generator[Progress, None, Mapping[str, Any]]:
    """Likelihood of each kind at the image's pixels; ``likelihood`` where there is one kind."""
    kinds = kinds_of(checkpoint, params)
    one = len(checkpoint.classes) == 1
    maps = {kind: blank(image, "float32") for kind in kinds}
    parts = tiles_of(network, view, params)
    for number, tile in enumerate(parts):
        yield Progress(number, len(parts), "Mapping the likelihood")
        halo, core = (tuple(range(s.start, s.stop) for s in p) for p in (tile.halo, tile.core))
        values = likelihood(network, view, (halo[0], halo[1]))
        box = view.box((core[0], core[1]))
        y, x = (slice(span.start, span.stop) for span in box)
        for kind in kinds:
            own = values[checkpoint.classes.index(kind)]
            maps[kind][y, x] = view.interpolate(own, (halo[0], halo[1]), 1, box)
    return {"likelihood" if one else f"likelihood {kind}": values for kind, values in maps.items()}
