"""Samples at the model's scale with a target for each pixel, and sampling of their windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage as ndi
from torch.nn.functional import grid_sample

from napari_wbc_nca.cell_types import CELL_TO_BOX, CELL_TO_CROP, NONE, RED_TO_WHITE_DIAMETER, WBC
from napari_wbc_nca.datasets.masks import read_mask_arrays
from napari_wbc_nca.datasets.samples import Sample, box_sides, edge_boxes, read_rgb
from napari_wbc_nca.methods.field import FINE, Field, box_slices, saturate
from napari_wbc_nca.methods.trainer import augment_stain
from napari_wbc_nca.ops.regions import nucleus_region, region_in_box
from napari_wbc_nca.ops.tiling import resample

if TYPE_CHECKING:
    from napari_wbc_nca.datasets.samples import Masks

OUTSIDE, CYTOPLASM, NUCLEUS, IGNORED, DRAWN = 0, 1, 2, 3, 4
"""Target of a pixel; the last is cytoplasm in a drawn mask."""
_CONTEXT = 1.8  # side of the window in which a box is segmented, in boxes
_UNTYPED = 0.4  # share of cells of unknown type among what is left; the rest shows none
_TRIES = 6  # windows tried to find one without any white blood cell
_TRACE = 0.02  # share of cell pixels up to which a window counts as showing none
_SMALLEST = 0.4  # boxes below this share of the largest are too odd to segment

_Window = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Image, target and allowed classes."""


@dataclass(frozen=True, eq=False)
class CellLocation:
    """Centre ``(y, x)`` of a labelled cell in prepared pixels, and its class."""

    centre: tuple[float, float]
    name: str


@dataclass(frozen=True, eq=False)
class PreparedSample:
    """A sample at the model's scale times `FINE`."""

    pixels: torch.Tensor  # (3, Y, X) float16, stain-normalised
    target: torch.Tensor  # (Y, X) uint8: OUTSIDE, CYTOPLASM, NUCLEUS, IGNORED or DRAWN
    locations: tuple[CellLocation, ...]  # labelled cells, and other objects of class ``none``
    source: str
    weight: float


def prepare(sample: Sample, diameter: float, normalisation: Mapping[str, Any]) -> PreparedSample:
    """Bring a sample to the model's scale and make the target of each pixel from its labels.

    A mask is taken as it was drawn. A box becomes a region by its colours
    (:func:`~napari_wbc_nca.ops.regions.region_in_box`). Of a point, the middle is the cell and the
    rim is ignored. Of a crop with a class but no box, the middle is the cell and the rest is
    ignored, or all is outside where its class is ``none``. `diameter` is that of a typical cell in
    model pixels.
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
            _mark_label(target, density, box, sample.boxes is None, diameter * FINE)
    if sample.masks is not None:
        _mark_masks(target, density, sample, sample.masks, shape, factor)
    for box in () if sample.ignored is None else sample.ignored / factor:
        target[box_slices(box, target.shape)] = IGNORED
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


def _mark_label(
    target: npt.NDArray[np.uint8],
    density: npt.NDArray[Any],
    box: npt.NDArray[Any],
    crop: bool,
    diameter: float,
) -> None:
    """Write the target of one cell with a box or a point, or of a `crop` of one, into `target`."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    if crop:
        target[:] = IGNORED
    if crop or not (box[2:] > box[:2]).all():
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


@dataclass(frozen=True, eq=False)
class WindowBatch:
    """A batch of windows."""

    images: torch.Tensor  # (B, 3, h, w) float32, stain-normalised
    targets: torch.Tensor  # (B, h, w) uint8, as in `PreparedSample`
    # (B, classes) bool: the classes a window may have; none: left out of the loss.
    allowed: torch.Tensor

    @property
    def origin(self) -> torch.Tensor:
        """``(B, 2)`` origins, see :func:`separate_origins`."""
        return separate_origins(len(self.images))


def separate_origins(count: int) -> torch.Tensor:
    """Return ``(B, 2)`` origins so far apart that no two windows share the draws of their cells."""
    return torch.arange(count)[:, None] * torch.tensor([4096, 0])


class WindowSampler:
    """Sampler of batches of windows, balanced over types, sources and background.

    The last of the `classes`, which are in the order of the network's outputs, is ``none``. A
    window is `side` model pixels large, `typed_share` of all show a cell of known type. The stain
    is varied by `stain_augmentation`, 0–1, before the normalisation saturates it; no `augment`
    leaves out all augmentation, for validation.
    """

    def __init__(
        self,
        samples: Sequence[PreparedSample],
        classes: Sequence[str],
        side: int,
        normalisation: Mapping[str, Any],
        typed_share: float = 0.4,
        augment: bool = True,
        stain_augmentation: float = 1.0,
    ) -> None:
        self.samples, self.classes, self.side, self.augment = samples, tuple(classes), side, augment
        self.normalisation, self.stain_augmentation = normalisation, stain_augmentation
        cells = [(sample, location) for sample in samples for location in sample.locations]
        self._typed = {
            name: found
            for name in self.classes
            if name != NONE and (found := [cell for cell in cells if cell[1].name == name])
        }
        self._untyped = [cell for cell in cells if cell[1].name == WBC]
        self._none = [cell for cell in cells if cell[1].name == NONE]
        self._probabilities = {name: _balance(found) for name, found in self._typed.items()}
        self.shares = self._shares(typed_share)

    def _shares(self, typed: float) -> dict[str, float]:
        """Share of each kind of windows, of those there are."""
        shares = {
            "typed": typed * bool(self._typed),
            "untyped": (1 - typed) * _UNTYPED * bool(self._untyped),
            "none": (1 - typed) * (1 - _UNTYPED),
        }
        total = sum(shares.values())
        return {kind: share / total for kind, share in shares.items() if share}

    def draw(self, count: int, random: np.random.Generator) -> WindowBatch:
        """Draw `count` windows; types, and windows with and without cells, are balanced."""
        kinds = random.choice(list(self.shares), count, p=list(self.shares.values()))
        windows = [getattr(self, f"_draw_{kind}")(random) for kind in kinds]
        return WindowBatch(*(torch.stack(parts) for parts in zip(*windows, strict=True)))

    def _draw_typed(self, random: np.random.Generator) -> _Window:
        name = str(random.choice(list(self._typed)))
        cells = self._typed[name]
        sample, location = cells[random.choice(len(cells), p=self._probabilities[name])]
        return *self._cut(sample, location.centre, random), self._only(name)

    def _draw_untyped(self, random: np.random.Generator) -> _Window:
        sample, location = self._untyped[random.integers(len(self._untyped))]
        return *self._cut(sample, location.centre, random), ~self._only(NONE)

    def _draw_none(self, random: np.random.Generator) -> _Window:
        """Draw a window without white blood cells; where none is found, only its pixels count."""
        for _ in range(_TRIES):
            if self._none and random.random() < 0.5:
                sample, location = self._none[random.integers(len(self._none))]
                centre = location.centre
            else:
                sample = self.samples[int(random.integers(len(self.samples)))]
                height, width = sample.target.shape
                centre = (random.uniform(0, height), random.uniform(0, width))
            image, target = self._cut(sample, centre, random)
            if (target != OUTSIDE).float().mean() <= _TRACE:
                return image, target, self._only(NONE)
        return image, target, torch.zeros(len(self.classes), dtype=torch.bool)

    def _only(self, name: str) -> torch.Tensor:
        return torch.tensor([known == name for known in self.classes])

    def _cut(
        self, sample: PreparedSample, centre: tuple[float, float], random: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        matrix = _random_affine(random) if self.augment else np.eye(2)
        shift = random.normal(0, self.side / 20, 2) if self.augment else np.zeros(2)
        offsets = np.arange(self.side) + 0.5 - self.side / 2
        grid = np.stack(np.meshgrid(offsets + shift[0], offsets + shift[1], indexing="ij"), -1)
        points = grid @ (matrix.T * FINE) + centre
        corner, part = _sampled_part(points, sample.target.shape)
        size = np.asarray([span.stop - span.start for span in part])
        relative = ((points - corner) / size * 2 - 1)[None, ..., ::-1]
        at = torch.from_numpy(np.ascontiguousarray(relative, np.float32))
        pixels, labels = sample.pixels[:, *part].float(), sample.target[part].float()
        image = grid_sample(pixels[None], at, align_corners=False)[0]
        target = grid_sample(labels[None, None], at, "nearest", align_corners=False)[0, 0]
        inside = (points >= 0).all(-1) & (points < sample.target.shape).all(-1)
        marked = torch.where(torch.from_numpy(inside), target, IGNORED).to(torch.uint8)
        if self.augment:
            image = torch.lerp(image, augment_stain(image, random), self.stain_augmentation)
        return saturate(image, self.normalisation), marked


def _balance(cells: Sequence[tuple[PreparedSample, CellLocation]]) -> npt.NDArray[np.float64]:
    """Weight the cells so that a source counts by the square root of its number of cells."""
    counts = Counter(sample.source for sample, _ in cells)
    weights = np.asarray([sample.weight for sample, _ in cells])
    weights = weights / np.sqrt([counts[sample.source] for sample, _ in cells])
    return np.asarray(weights / weights.sum())


def _sampled_part(
    points: npt.NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.int_], tuple[slice, slice]]:
    """Return the first pixel and the part of a picture that sampling at `points` reads."""
    low = np.clip(np.floor(points.min((0, 1))).astype(int) - 1, 0, np.subtract(shape, 2))
    high = np.clip(np.ceil(points.max((0, 1))).astype(int) + 1, low + 2, shape)
    return low, (slice(low[0], high[0]), slice(low[1], high[1]))


def _random_affine(random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw a rotation, a flip, and a scale that differs a little between the axes."""
    angle = random.uniform(0, 2 * np.pi)
    rotation = np.asarray([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.exp(np.clip(random.normal(0, 0.18), -0.45, 0.45) + random.normal(0, 0.04, 2))
    return np.asarray(rotation * scale * (1, random.choice((-1, 1))))
