"""Samples at the model's scale, with a target for each pixel made from their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage as ndi

from napari_wbc_nca.cell_types import CELL_TO_BOX, CELL_TO_CROP, NONE, RED_TO_WHITE_DIAMETER
from napari_wbc_nca.datasets.masks import read_mask_arrays
from napari_wbc_nca.datasets.samples import Sample, box_sides, edge_boxes, read_rgb
from napari_wbc_nca.methods.field import FINE, Field
from napari_wbc_nca.ops.regions import nucleus_region, region_in_box
from napari_wbc_nca.ops.tiling import resample

if TYPE_CHECKING:
    from napari_wbc_nca.datasets.samples import Masks

OUTSIDE, CYTOPLASM, NUCLEUS, IGNORED, DRAWN = 0, 1, 2, 3, 4
"""Target of a pixel; the last is cytoplasm in a drawn mask."""
_CONTEXT = 1.8  # side of the window in which a box is segmented, in boxes
_SMALLEST = 0.4  # boxes below this share of the largest are too odd to segment

Form = Literal["box", "point", "crop"]


@dataclass(frozen=True, eq=False)
class CellLocation:
    """Centre ``(y, x)`` of a labelled cell in prepared pixels, and its class."""

    centre: tuple[float, float]
    name: str


@dataclass(frozen=True, eq=False)
class PreparedSample:
    """A sample at the model's scale times `FINE`.

    Attributes
    ----------
    pixels
        ``(3, Y, X)`` float16, stain-normalised.
    target
        ``(Y, X)`` uint8: `OUTSIDE`, `CYTOPLASM`, `NUCLEUS`, `IGNORED` or `DRAWN`.
    locations
        Labelled cells, red cells and other objects of class ``none`` included.
    source, weight
        As in the sample.
    """

    pixels: torch.Tensor
    target: torch.Tensor
    locations: tuple[CellLocation, ...]
    source: str
    weight: float


def prepare(sample: Sample, diameter: float, normalisation: Mapping[str, Any]) -> PreparedSample:
    """Bring a sample to the model's scale and make the target of each pixel from its labels.

    A mask is taken as it was drawn. A box becomes a region by its colours
    (:func:`~napari_wbc_nca.ops.regions.region_in_box`). Of a point, the middle is the cell and the
    rim is ignored. Of a crop with a class but no box, the middle is the cell and the rest is
    ignored, or all is outside where its class is ``none``.

    Parameters
    ----------
    sample
        Picture with labels.
    diameter
        Diameter of a typical cell in model pixels.
    normalisation
        Of the checkpoint to be trained.
    """
    rgb = read_rgb(sample)
    shape = rgb.shape[:2]
    factor = sample_diameter(sample, shape) / (diameter * FINE)
    field = Field(rgb, factor, {"name": "density"})
    part = (range(field.shape[0]), range(field.shape[1]))
    pixels = field.read(part)
    density = pixels.numpy().transpose(1, 2, 0)
    if normalisation["name"] not in ("density", "absorptance"):  # absorptance: after the stain
        pixels = Field(rgb, factor, normalisation).read(part)
    target = np.zeros(field.shape, np.uint8)
    locations = []
    for box, name in zip(edge_boxes(sample, shape) / factor, sample.names, strict=True):
        centre = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
        locations.append(CellLocation(centre, name))
        if name != NONE and sample.masks is None:
            _mark_label(target, density, box, _form(sample, box), diameter * FINE)
    if sample.masks is not None:
        _mark_masks(target, density, sample, sample.masks, shape, factor)
    for box in () if sample.ignored is None else sample.ignored / factor:
        _part(target, box)[...] = IGNORED
    return PreparedSample(
        pixels.to(torch.float16),
        torch.from_numpy(target),
        tuple(locations),
        sample.source,
        sample.weight,
    )


def sample_diameter(sample: Sample, shape: tuple[int, ...]) -> float:
    """Estimate the diameter in pixels of the sample's largest white blood cell from its labels."""
    if sample.diameter:
        return sample.diameter
    if sample.boxes is None:
        return CELL_TO_CROP * min(shape[:2])
    sides, _ = box_sides(sample.boxes, shape)
    sides *= CELL_TO_BOX
    white = np.asarray([name != NONE for name in sample.names], bool)
    if (sides[white] > 0).any():
        return float(sides[white].max())
    if (sides[~white] > 0).any():
        return float(np.median(sides[~white])) / RED_TO_WHITE_DIAMETER
    return CELL_TO_CROP * min(shape[:2])


def _form(sample: Sample, box: npt.NDArray[Any]) -> Form:
    if sample.boxes is None:
        return "crop"
    return "box" if (box[2:] > box[:2]).all() else "point"


def _mark_label(
    target: npt.NDArray[np.uint8],
    density: npt.NDArray[Any],
    box: npt.NDArray[Any],
    form: Form,
    diameter: float,
) -> None:
    """Write the target of one cell with a box, a point or a class into `target`."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    if form == "crop":
        target[:] = IGNORED
    if form != "box":
        rim = _disk(target.shape, centre, diameter * 0.7)
        target[rim & (target == OUTSIDE)] = IGNORED
        # Whether the middle is nucleus as well is not known.
        target[_disk(target.shape, centre, diameter * 0.2)] = CYTOPLASM
    elif 2 * half.max() < _SMALLEST * diameter:
        target[_disk(target.shape, centre, float(half.max()) * 1.2)] = IGNORED
    else:
        _mark_box(target, density, centre, half)


def _mark_masks(
    target: npt.NDArray[np.uint8],
    density: npt.NDArray[Any],
    sample: Sample,
    masks: Masks,
    shape: tuple[int, ...],
    factor: float,
) -> None:
    """Write the masks of a sample into `target`, and its unreviewed pixels as ignored."""
    drawn = read_mask_arrays(masks, shape)
    white = [n for n, name in zip(masks.labels, sample.names, strict=True) if name != NONE]

    def covered(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        rows, columns = (range(size) for size in target.shape)
        share = resample(lambda y, x: mask[y, x, None], mask.shape, factor, rows, columns)
        return np.asarray(share[..., 0] > 0.5)

    cell = covered(np.isin(drawn.cell, white))
    if drawn.nucleus is None:
        nucleus = _nuclei(density, cell)
    else:
        nucleus = covered(np.isin(drawn.nucleus, white))
    target[cell] = DRAWN
    target[cell & nucleus] = NUCLEUS
    target[covered(drawn.ignored)] = IGNORED


def _nuclei(density: npt.NDArray[Any], cells: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Segment nuclei by their density, in masks of cells without nuclei."""
    nuclei = np.zeros_like(cells)
    pieces, _ = ndi.label(cells)
    for number, part in enumerate(ndi.find_objects(pieces), start=1):
        nuclei[part] |= nucleus_region(density[part], pieces[part] == number)
    return nuclei


def _part(target: npt.NDArray[np.uint8], box: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Part of `target` that a box touches."""
    low, high = np.maximum(np.floor(box[:2]), 0).astype(int), np.ceil(box[2:]).astype(int)
    return target[low[0] : high[0], low[1] : high[1]]


def _mark_box(
    target: npt.NDArray[np.uint8],
    density: npt.NDArray[Any],
    centre: npt.NDArray[Any],
    half: npt.NDArray[Any],
) -> None:
    """Segment cell and nucleus in a box by their colours, and write them into `target`."""
    reach = round(float(half.max()) * _CONTEXT)
    corner = np.round(centre - reach).astype(int)
    inside = tuple(
        slice(max(0, -low), 2 * reach - max(0, low + 2 * reach - size))
        for low, size in zip(corner, target.shape, strict=True)
    )
    there = tuple(slice(low + s.start, low + s.stop) for low, s in zip(corner, inside, strict=True))
    window = np.zeros((2 * reach, 2 * reach, 3), np.float32)
    seen = np.zeros(window.shape[:2], bool)
    window[inside], seen[inside] = density[there], True
    cell = region_in_box(window, (float(half[0]), float(half[1])), seen) & seen
    nucleus = nucleus_region(window, cell)
    target[there][cell[inside] & (target[there] != NUCLEUS)] = CYTOPLASM
    target[there][nucleus[inside]] = NUCLEUS


def _disk(shape: tuple[int, ...], centre: npt.NDArray[Any], radius: float) -> npt.NDArray[np.bool_]:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.asarray(np.hypot(y + 0.5 - centre[0], x + 0.5 - centre[1]) <= radius)
