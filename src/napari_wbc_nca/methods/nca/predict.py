"""Prediction that both NCA methods share: scale, centres, cells."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage as ndi

from napari_wbc_nca.cell_types import NONE, WBC
from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.field import Centre, as_part, as_slices, open_field
from napari_wbc_nca.methods.nca.cells import CellSegmenter, cell_or_evidence
from napari_wbc_nca.methods.nca.classifier import calibration_record, load_classifier
from napari_wbc_nca.methods.nca.outline import with_border
from napari_wbc_nca.methods.prompts import prompt_centres
from napari_wbc_nca.methods.propagation.detect import detect, load_detector
from napari_wbc_nca.methods.propagation.params import PropagationParams
from napari_wbc_nca.methods.result import collect
from napari_wbc_nca.methods.scale import image_scale
from napari_wbc_nca.models.build import load_network
from napari_wbc_nca.ops.colour_range import unusual_colours
from napari_wbc_nca.ops.stain import without_usual
from napari_wbc_nca.ops.tiling import Tile, tiles
from napari_wbc_nca.progress import Progress, map_progress
from napari_wbc_nca.types import Candidate

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field, Part
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.methods.prompts import Boxes, Points
    from napari_wbc_nca.models.nca import NCA
    from napari_wbc_nca.types import Checkpoint, Image, Segmentation


T = TypeVar("T")
Peak = tuple[Centre, float]
"""Position in model pixels, and the probability there."""

DETECTOR = "smear-cells"
"""Name of the bundled detector, for ``locate="detector"``."""

_SMOOTH = 1 / 8  # σ of the smoothing that peaks are looked for in, in diameters
_APART = 0.6  # least distance of two peaks, in diameters
_LEAST = 0.45  # least probability of a peak
_CANDIDATE = 0.2  # least probability of a place that a reviewer should check
_RIM = 0.05  # width of the rim of a field where a weak peak is no such place, in diameters
_SMALLEST_TILE = 16  # model pixels


def locate(
    network: NCA, view: Field, diameter: float, tile: int, seed: int, fire_rate: float
) -> Generator[Progress, None, list[Peak]]:
    """Find the white blood cells of a field, tile by tile, in raster order.

    The probability of a cell is smoothed over an eighth of a diameter; its peaks are moved to
    the centre of the probability around them. Those below 0.45 are likely no cells. Tiles do not
    change the result. All lengths are in model pixels.
    """
    reach = int(np.ceil(diameter * (4 * _SMOOTH + _APART + 1))) + 1
    parts = list(tiles(view.shape, tile, reach))
    peaks: list[Peak] = []
    for number, part in enumerate(parts):
        steps = cell_probability(network, view, as_part(part.halo), seed, fire_rate)
        probability = yield from part_progress(steps, number, len(parts), "Finding cells")
        peaks += _peaks(probability, diameter, part)
    return sorted(peaks)


def cell_probability(
    network: NCA, view: Field, part: Part, seed: int, fire_rate: float
) -> Generator[tuple[int, int], None, npt.NDArray[np.float32]]:
    """Compute the probability of a cell at each model pixel of `part`; tiles do not change it.

    Yields steps done and steps in all, of which :func:`part_progress` makes progress.
    """
    halo = network.steps + 2
    rows, columns = (
        range(max(0, span.start - halo), min(size, span.stop + halo))
        for span, size in zip(part, view.shape, strict=True)
    )
    image = view.read((rows, columns))[None].to(next(network.parameters()).device)
    origin = torch.tensor([[rows.start, columns.start]])
    state = yield from network.rollout_steps(image, seed, origin, fire_rate=fire_rate)
    with torch.inference_mode():
        response = cell_or_evidence(network, state)[0].cpu().numpy()
    return np.ascontiguousarray(response[as_slices(part, (rows, columns))])


def part_progress(
    steps: Generator[tuple[int, int], None, T], number: int, count: int, message: str
) -> Generator[Progress, None, T]:
    """Convert steps, done and in all, of part `number` of `count` to progress that never falls."""

    def progress(step: tuple[int, int]) -> Progress:
        done, total = step
        return Progress(number * total + done, count * total, message)

    yield Progress(number, count, message)
    return (yield from map_progress(steps, progress))


def _peaks(probability: npt.NDArray[np.float32], diameter: float, tile: Tile) -> list[Peak]:
    """Find centres and heights of the peaks in a tile's core, in the field's coordinates."""
    smooth = ndi.gaussian_filter(probability, diameter * _SMOOTH, truncate=4, mode="nearest")
    side = 2 * int(diameter * _APART) + 1
    peak = (smooth == ndi.maximum_filter(smooth, side)) & (smooth > _CANDIDATE)
    # Where the probability is flat, every pixel is highest: the first in raster order stands.
    order = np.where(peak, np.arange(peak.size, 0, -1).reshape(peak.shape), 0)
    peak &= order == ndi.maximum_filter(order, side)
    inner = np.zeros_like(peak)
    inner[tile.inner] = True
    peaks = []
    for y, x in np.argwhere(peak & inner).tolist():
        dy, dx = _offset(smooth, (y, x), round(diameter / 2))
        # Whole numbers first: what a tile adds must not change the last bits.
        centre = (tile.halo[0].start + y + dy, tile.halo[1].start + x + dx)
        peaks.append((centre, float(smooth[y, x])))
    return peaks


def _offset(smooth: npt.NDArray[np.float32], peak: tuple[int, int], radius: int) -> Centre:
    """Compute the offset of a peak to the centre of the probability above one half."""
    spans = [
        np.arange(max(-radius, -p), min(radius + 1, size - p))
        for p, size in zip(peak, smooth.shape, strict=True)
    ]
    around = smooth[np.ix_(spans[0] + peak[0], spans[1] + peak[1])].astype(np.float64)
    weight = np.clip(around - 0.5, 0, None)
    if weight.sum() == 0:
        return 0.0, 0.0
    down, across = weight.sum(1) @ spans[0], weight.sum(0) @ spans[1]
    return float(down / weight.sum()), float(across / weight.sum())


def predict(
    image: Image,
    checkpoint: Checkpoint,
    params: NcaParams,
    points: Points | None = None,
    boxes: Boxes | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Segment and type the white blood cells of one image.

    The image is a field or a single-cell crop of three colours. ``locate="points"`` takes `points`
    ``(N, 2)`` y, x in pixels, ``locate="boxes"`` takes `boxes` ``(N, 4)`` y0, x0, y1, x1. Progress
    comes every few steps of a rollout, with the cells finished since the last. An image, points or
    boxes that cannot be used raise a ValueError. Where a model cannot find cells by itself, the
    detector does.
    """
    chosen, checkpoint = checkpoint, with_border(model_store.finder_of(checkpoint), checkpoint)
    if params.locate == "whole":  # a crop of one cell does not show how red cells are stained
        checkpoint = replace(checkpoint, normalisation=without_usual(checkpoint.normalisation))
    image, field = open_field(image, checkpoint)
    params, notes = complete_params(params, checkpoint)
    prompts = prompt_centres(params.locate, points, boxes, image.shape, "evidence")
    network = cast("NCA", load_network(checkpoint, params.device))
    scale = yield from image_scale(field, network, checkpoint, params, image.pixel_size, boxes)
    view = field.rescaled(scale.diameter / checkpoint.diameter)
    candidates: list[Candidate] = []
    if prompts is None:
        centres, candidates = yield from _locate_unprompted(network, view, checkpoint, params)
    else:
        centres = [view.from_image((y, x)) for y, x in prompts.tolist()]
    classifier = load_classifier(chosen, params, field)
    segmenter = CellSegmenter(network, checkpoint, params, view, classifier)
    cells, lost, rejected = yield from segmenter.segment(centres)
    candidates += rejected
    if classifier is not None:
        checkpoint = replace(checkpoint, classes=classifier.classes)
    notes += [*lost, *colour_notes(field, checkpoint)]
    result = collect(cells, image, checkpoint, params, scale, notes=notes, candidates=candidates)
    record = calibration_record(checkpoint) if classifier is None else classifier.record()
    return replace(result, provenance={**result.provenance, **record})


def complete_params(params: NcaParams, checkpoint: Checkpoint) -> tuple[NcaParams, list[str]]:
    """Adapt the parameters of a run to its model, and note what the user should know of it.

    A model without the class *none*, as the papers train them, cannot tell cells from other places:
    the detector finds cells for it. A model trained by the paper's recipe adds its PCA-Otsu mask.
    """
    params = replace(params, pca=params.pca or bool(checkpoint.card.get("pca")))
    if params.locate != "evidence" or NONE in checkpoint.classes:
        return params, []
    note = (
        f"{checkpoint.name} has no class {NONE!r} and cannot find cells by itself; the detector "
        f"{DETECTOR} found them"
    )
    return replace(params, locate="detector"), [note]


def colour_notes(field: Field, checkpoint: Checkpoint) -> list[str]:
    """Note where a field's colours are restored, or far from all that trained its model."""
    notes = []
    if field.restored:
        notes.append("unusual colours: they are flat, faint or too dark, and were restored")
    if found := unusual_colours(field.sample, checkpoint.card.get("colours", {})):
        notes.append(
            f"unusual colours: {' and '.join(found[:2])} than in the images that trained "
            f"{checkpoint.name}; check cells and types with care"
        )
    return notes


def _locate_unprompted(
    network: NCA, view: Field, checkpoint: Checkpoint, params: NcaParams
) -> Generator[Progress, None, tuple[list[Centre], list[Candidate]]]:
    """Find the centres of cells without prompts, in raster order, and places that just missed."""
    if params.locate == "whole":
        return [((view.shape[0] - 1) / 2, (view.shape[1] - 1) / 2)], []
    if params.locate == "detector":
        detector = model_store.resolve(DETECTOR)
        factor = view.factor * checkpoint.diameter / detector.diameter
        own = view.rescaled(factor, detector.normalisation)
        chosen = PropagationParams(kinds=WBC, tile=params.tile)
        found = yield from detect(load_detector(detector, params.device), own, detector, chosen)
        centres = [view.from_image(own.to_image((peak.y, peak.x))) for peak in found.cells]
        return centres, [peak.candidate(own) for peak in found.missed]
    tile = max(_SMALLEST_TILE, round(params.tile / view.factor))
    peaks = yield from locate(
        network, view, checkpoint.diameter, tile, params.seed, params.fire_rate
    )
    reason = "the model nearly found a cell there"
    missed = [
        Candidate(*view.to_image(centre), height, reason)
        for centre, height in peaks
        if height <= _LEAST and _to_border(centre, view.shape) >= _RIM * checkpoint.diameter
    ]
    return [centre for centre, height in peaks if height > _LEAST], missed


def _to_border(centre: Centre, shape: tuple[int, int]) -> float:
    """Measure how far a position is from the nearest border of a field, in its pixels."""
    return min(min(at, size - 1 - at) for at, size in zip(centre, shape, strict=True))
