"""Centroids added or removed by hand: only the cells that this touches are made anew."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_wbc_nca.io.images import in_colours
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.methods.prompts import Places, inside
from napari_wbc_nca.methods.propagation.cells import Found, Maker
from napari_wbc_nca.methods.propagation.contribution import Centroid, rivals
from napari_wbc_nca.methods.propagation.detect import kinds_of, view_of
from napari_wbc_nca.methods.propagation.instances import CONTRIBUTION
from napari_wbc_nca.methods.propagation.network import load
from napari_wbc_nca.methods.propagation.predict import finished, named

if TYPE_CHECKING:
    from napari_wbc_nca.methods.propagation.params import PropagationParams
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint, Image, Segmentation


def update(
    previous: Segmentation,
    image: Image,
    checkpoint: Checkpoint,
    params: PropagationParams,
    added: Places | None = None,
    removed: Sequence[int] = (),
    kinds: Sequence[str] | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Segmentation with some centroids added and others removed.

    Contributions are computed for new cells, and for those of their kind with whom they share
    pixels; cut are all cells whose own contribution or whose rivals' changed. The other cells
    stay as they were, and all keep their integers; a new cell gets the next that is free.

    Parameters
    ----------
    previous
        Result of :func:`~napari_wbc_nca.methods.propagation.predict.predict`, or of this
        function, whose `kept` is there.
    image, checkpoint, params
        Those it was made with.
    added
        ``(N, 2)`` y, x in pixels.
    removed
        Labels of cells.
    kinds
        Kind of each added centroid; the likeliest at its place where None.

    Yields
    ------
    Progress
        As prediction does.

    Raises
    ------
    ValueError
        When `previous` keeps nothing, a label is unknown, or a centroid lies outside.
    """
    if not isinstance(previous.kept, Found):
        raise ValueError(
            "this result keeps nothing to change a part of it by, as results of lazy images and "
            "of other methods do; run the segmentation again"
        )
    image = in_colours(image)
    found = previous.kept.copy()
    network = load(checkpoint, params.device)
    factor = found.diameter / checkpoint.diameter
    view = view_of(to_rgb(image.pixels), factor, checkpoint.normalisation)
    places = inside(np.asarray([] if added is None else added, float).reshape(-1, 2), image.shape)
    wanted = [checkpoint.classes.index(kind) for kind in kinds_of(checkpoint, params)]
    new = yield from named(places, network, view, wanted, params)
    if kinds is not None:
        new = [
            replace(centroid, kind=checkpoint.classes.index(kind))
            for centroid, kind in zip(new, kinds, strict=True)
        ]
    maker = Maker(view, network, checkpoint, params)
    before = found.copy()
    gone, fresh = _remove(found, removed), _add(found, new)
    renewed = fresh | _sharing(before, gone, maker.sigma) | _sharing(found, fresh, maker.sigma)
    near = maker.near(found.centroids)
    lacking = {m for n in renewed for m in near[n] if m not in found.contributions}
    yield from maker.make(found, renewed | lacking, ())
    changed = [f.contributions[n] for f in (before, found) for n in gone | renewed
               if n in f.contributions]  # fmt: skip
    asked = {n for n, centroid in found.centroids.items() if centroid.kind in wanted}
    recut = asked & (renewed | maker.beside(found, asked - renewed, changed))
    for number in recut:
        found.cells.pop(number, None)
    yield from maker.make(found, (), recut)
    result = finished(found, image, checkpoint, params)
    maps = {name: values for name, values in previous.maps.items() if CONTRIBUTION not in name}
    return replace(result, maps={**maps, **result.maps}, kept=found)


def _remove(found: Found, labels: Sequence[int]) -> set[int]:
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


def _add(found: Found, centroids: Sequence[Centroid]) -> set[int]:
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


def _sharing(found: Found, numbers: set[int], sigma: float) -> set[int]:
    """Other cells that share pixels with the regions of some; their signals change with them."""
    near = rivals(found.centroids, sigma)
    return {other for n in numbers for other in near[n]} - numbers
