"""Prediction: centroids, contributions, instances; and changes of a part of a result."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.methods.field import as_part, as_slices, open_field
from napari_wbc_nca.methods.prompts import (
    COVERED,
    EMPTY,
    check_points,
    on_background,
    prompt_centres,
    prompt_notes,
)
from napari_wbc_nca.methods.propagation.cells import InstanceBuilder, Instances
from napari_wbc_nca.methods.propagation.contribution import Centroid, rivals
from napari_wbc_nca.methods.propagation.detect import (
    detect,
    field_tiles,
    likelihood,
    load_detector,
    scaled_by_cells,
    selected_kinds,
    sigma_of,
)
from napari_wbc_nca.methods.result import CONTRIBUTION, blank, cell_key, collect
from napari_wbc_nca.methods.scale import image_scale
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field
    from napari_wbc_nca.methods.prompts import Boxes, Points
    from napari_wbc_nca.methods.propagation.params import PropagationParams
    from napari_wbc_nca.models.unet import UNet
    from napari_wbc_nca.types import Candidate, Checkpoint, Image, Segmentation

_FAINT = 0.05  # likelihood below which a stained smear's prompt may lie on background
_FAINTER = 0.01  # the same without stain, where the likelihood alone decides


def predict(
    image: Image,
    checkpoint: Checkpoint,
    params: PropagationParams,
    points: Points | None = None,
    boxes: Boxes | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Find the cells of one image and cut each out of its surroundings.

    The image is a field with colours, or of brightness for a detector of one channel. Prompts are
    `points` ``(N, 2)`` y, x, of which several in one pixel are one cell, or `boxes` ``(N, 4)`` y0,
    x0, y1, x1 in pixels, as ``params.locate`` says; those, or images, that cannot be used raise a
    ValueError. Progress comes after each tile or batch, with the cells finished since the last.

    Labels are ``cell`` and ``contribution``; the table also has the ``likelihood`` at each
    centroid, ``peak_y`` and ``peak_x``. Of an image in memory, `kept` is what :func:`update` needs.
    """
    image, field = open_field(image, checkpoint)
    prompts = prompt_centres(params.locate, points, boxes, image.shape)
    selected = selected_kinds(checkpoint, params)
    network = load_detector(checkpoint, params.device)
    scale = yield from image_scale(field, network, checkpoint, params, image.pixel_size, boxes)
    view = field.rescaled(scale.diameter / checkpoint.diameter)
    given, lost = 0 if prompts is None else len(prompts), 0
    missed: list[Candidate] = []
    if prompts is None:
        peaks = yield from detect(network, view, checkpoint, replace(params, kinds="all"))
        centroids = [Centroid(peak.y, peak.x, peak.kind) for peak in peaks.cells]
        kinds = {checkpoint.classes.index(name) for name in selected}
        missed = [peak.candidate(view) for peak in peaks.missed if peak.kind in kinds]
    else:
        found = yield from classify_points(prompts, network, view, checkpoint, params)
        centroids = [centroid for centroid in found if centroid is not None]
        lost = given - len(centroids)
    instances = Instances(scale, dict(enumerate(unique_centroids(centroids))))
    cut = {n for n, c in instances.centroids.items() if checkpoint.classes[c.kind] in selected}
    in_memory = isinstance(image.pixels, np.ndarray)
    builder = InstanceBuilder(view, network, checkpoint, params, keep=in_memory)
    near = builder.near(instances.centroids)
    yield from builder.build(instances, cut.union(*(near[n] for n in cut)), cut)
    covered = sum(cell is None for cell in instances.cells.values())
    notes = prompt_notes(params.locate, given, {EMPTY: lost, COVERED: covered}) if given else []
    result = to_segmentation(instances, image, checkpoint, params, notes, missed)
    if params.maps:
        maps = yield from likelihood_maps(network, view, checkpoint, image, params)
        result = replace(result, maps={**maps, **result.maps})
    return replace(result, kept=instances) if in_memory else result


def update(
    previous: Segmentation,
    image: Image,
    checkpoint: Checkpoint,
    params: PropagationParams,
    added: Points | None = None,
    removed: Sequence[int] = (),
    kinds: Sequence[str] | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Add and remove centroids, and compute again only the cells that this touches.

    Contributions are computed for new cells, and for those of their kind with whom they share
    pixels; cut are all cells whose own contribution or whose rivals' changed. The other cells
    stay as they were, and all keep their integers; a new cell gets the next that is free.

    Parameters
    ----------
    previous
        Result of :func:`predict`, or of this function, that kept something; else ValueError.
    added, removed
        ``(N, 2)`` y, x in pixels in the image, and labels of its cells; else ValueError.
    kinds
        Kind of each added centroid, which then is a cell even on background; by default the
        likeliest.
    """
    if not isinstance(previous.kept, Instances):
        raise ValueError(
            "this result keeps nothing to change a part of it by, as results of lazy images and "
            "of other methods do; run the segmentation again"
        )
    image, field = open_field(image, checkpoint)
    found = previous.kept.copy()
    network = load_detector(checkpoint, params.device)
    view = field.rescaled(found.scale.diameter / checkpoint.diameter)
    points = check_points([] if added is None else added, image.shape)
    new = yield from classify_points(points, network, view, checkpoint, params, kinds)
    fresh_centroids = [centroid for centroid in new if centroid is not None]
    notes = prompt_notes("points", len(new), {EMPTY: len(new) - len(fresh_centroids)})
    selected = {checkpoint.classes.index(kind) for kind in selected_kinds(checkpoint, params)}
    builder = InstanceBuilder(view, network, checkpoint, params)
    before = found.copy()
    gone, fresh = _remove(found, removed), _add(found, fresh_centroids)
    renewed = fresh | _sharing(before, gone, builder.sigma) | _sharing(found, fresh, builder.sigma)
    near = builder.near(found.centroids)
    lacking = {m for n in renewed for m in near[n] if m not in found.contributions}
    yield from builder.build(found, renewed | lacking, ())
    changed = [f.contributions[n] for f in (before, found) for n in gone | renewed
               if n in f.contributions]  # fmt: skip
    asked = {n for n, centroid in found.centroids.items() if centroid.kind in selected}
    recut = asked & (renewed | builder.beside(found, asked - renewed, changed))
    for number in recut:
        found.cells.pop(number, None)
    yield from builder.build(found, (), recut)
    result = to_segmentation(found, image, checkpoint, params, notes)
    maps = {name: values for name, values in previous.maps.items() if CONTRIBUTION not in name}
    return replace(result, maps={**maps, **result.maps}, kept=found)


def classify_points(
    points: Points,
    network: UNet,
    view: Field,
    checkpoint: Checkpoint,
    params: PropagationParams,
    names: Sequence[str] | None = None,
) -> Generator[Progress, None, list[Centroid | None]]:
    """Find the likeliest of the selected kinds at each of ``(N, 2)`` points of the image.

    A point on empty background, where the network finds no cell of any kind, either, is None;
    but not where `names` holds the kind of each.
    """
    kinds = [checkpoint.classes.index(kind) for kind in selected_kinds(checkpoint, params)]
    moved = np.clip((points + 0.5) / view.factor - 0.5, 0, np.subtract(view.shape, 1))
    if names is not None:
        named = zip(moved.tolist(), names, strict=True)
        return [Centroid(y, x, checkpoint.classes.index(name)) for (y, x), name in named]
    pixels = np.rint(moved).astype(int)
    values = np.zeros((len(checkpoint.classes), len(moved)), np.float32)
    for tile in field_tiles(network, view, params):
        low, high = ([getattr(span, end) for span in tile.core] for end in ("start", "stop"))
        own = np.flatnonzero(((pixels >= low) & (pixels < high)).all(1))
        if own.size:
            yield Progress(int(own[0]), len(moved), "Classifying the points")
            first, last = pixels[own].min(0), pixels[own].max(0) + 1
            part = (range(first[0], last[0]), range(first[1], last[1]))
            values[:, own] = likelihood(network, view, part)[:, *(pixels[own] - first).T]
    chosen = np.asarray(kinds)[values[kinds].argmax(0)]
    highest = values.max(0)
    if scaled_by_cells(checkpoint):
        empty = highest < _FAINT
        empty[empty] = on_background(view, moved[empty], sigma_of(checkpoint))
    else:
        empty = highest < _FAINTER
    rows = zip(moved.tolist(), chosen.tolist(), empty.tolist(), strict=True)
    return [None if nothing else Centroid(y, x, kind) for (y, x), kind, nothing in rows]


def unique_centroids(centroids: Iterable[Centroid]) -> list[Centroid]:
    """Sort centroids in raster order, and keep the first of those of one kind in one pixel."""
    ordered = sorted(centroids, key=lambda c: (c.y, c.x, c.kind))
    first: dict[tuple[int, int, int], Centroid] = {}
    for centroid in ordered:
        first.setdefault((*centroid.pixel, centroid.kind), centroid)
    return list(first.values())


def to_segmentation(
    found: Instances,
    image: Image,
    checkpoint: Checkpoint,
    params: PropagationParams,
    notes: Sequence[str] = (),
    missed: Sequence[Candidate] = (),
) -> Segmentation:
    """Collect the cells that were cut, and write their labels into `found`."""
    cells = {n: cell for n, cell in found.cells.items() if cell is not None}
    numbers = {cell_key(cell): n for n, cell in cells.items()}
    known = {cell_key(cell): found.labels[n] for n, cell in cells.items() if n in found.labels}
    result = collect(
        [*cells.values()], image, checkpoint, params, found.scale, known, notes, missed
    )
    rows = result.cells[["peak_y", "peak_x", "class", "label"]].itertuples(index=False)
    found.labels = {numbers[(y, x), kind]: int(label) for y, x, kind, label in rows}
    return result


def likelihood_maps(
    network: UNet, view: Field, checkpoint: Checkpoint, image: Image, params: PropagationParams
) -> Generator[Progress, None, Mapping[str, Any]]:
    """Map the likelihood of each kind at the image's pixels; ``likelihood`` where there is one."""
    kinds = selected_kinds(checkpoint, params)
    one = len(checkpoint.classes) == 1
    maps = {kind: blank(image, "float32") for kind in kinds}
    parts = field_tiles(network, view, params, 2)  # what interpolation needs around a tile
    for number, tile in enumerate(parts):
        yield Progress(number, len(parts), "Mapping the likelihood")
        halo = as_part(tile.halo)
        values = likelihood(network, view, halo)
        box = view.image_part(as_part(tile.core))
        for kind in kinds:
            own = values[checkpoint.classes.index(kind)]
            maps[kind][as_slices(box)] = view.interpolate(own, halo, 1, box)
    return {"likelihood" if one else f"likelihood {kind}": values for kind, values in maps.items()}


def _remove(found: Instances, labels: Sequence[int]) -> set[int]:
    """Forget the cells of some labels; their numbers."""
    numbers = {label: number for number, label in found.labels.items()}
    if unknown := sorted({int(label) for label in labels} - numbers.keys()):
        raise ValueError(
            f"there is no cell {unknown[0]}; cells have the labels {sorted(numbers) or 'none'}"
        )
    gone = {numbers[int(label)] for label in labels}
    for held in (
        found.centroids, found.likelihoods, found.contributions, found.cells, found.labels
    ):  # fmt: skip
        for number in gone:
            held.pop(number, None)
    return gone


def _add(found: Instances, centroids: Sequence[Centroid]) -> set[int]:
    """Take up centroids where there is none of their kind in the same pixel; their numbers."""
    taken = {(*c.pixel, c.kind) for c in found.centroids.values()}
    following, fresh = max(found.centroids, default=-1) + 1, set()
    for centroid in centroids:
        if (*centroid.pixel, centroid.kind) in taken:
            continue
        taken.add((*centroid.pixel, centroid.kind))
        found.centroids[following] = centroid
        fresh.add(following)
        following += 1
    return fresh


def _sharing(found: Instances, numbers: set[int], sigma: float) -> set[int]:
    """Find other cells that share pixels with the regions of some, and change with them."""
    near = rivals(found.centroids, sigma)
    return {other for n in numbers for other in near[n]} - numbers
