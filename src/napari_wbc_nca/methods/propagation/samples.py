"""Pictures and their centroids at the model's scale, and sampling of training patches."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_wbc_nca.cell_types import (
    CELL_TO_BOX,
    CELL_TO_CROP,
    NONE,
    PLATELET,
    RBC,
    RED_TO_WHITE_DIAMETER,
    WBC,
    detection_class,
)
from napari_wbc_nca.datasets.samples import Sample, box_sides, edge_boxes, read_rgb
from napari_wbc_nca.methods.field import Field, saturate
from napari_wbc_nca.methods.trainer import augment_stain
from napari_wbc_nca.ops.centroids import likelihood_map

if TYPE_CHECKING:
    from napari_wbc_nca.methods.propagation.params import PropagationTrainParams

_RED_CELLS = 4  # red cells from which on they, rather than the white ones, give the scale


@dataclass(frozen=True, eq=False)
class AnnotatedField:
    """A picture with its centroids; positions and sides are in its pixels, not the model's."""

    pixels: torch.Tensor  # (3, Y, X) float16, stain-normalised, not yet saturated
    oversampling: float  # pixels per model pixel
    centres: tuple[npt.NDArray[np.float64], ...]  # for each class (N, 2) y, x
    # For each class (N, 2) height and width of the boxes; 0 of points.
    sides: tuple[npt.NDArray[np.float64], ...]
    # (classes,): whether the picture's source labels the class at all.
    labelled: npt.NDArray[np.bool_]
    weight: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])


def classes_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """List the classes in the order of the outputs: white, red, platelets, others by name.

    Raises a ValueError when no cell is labelled.
    """
    found = {detection_class(kind) for sample in samples for kind in sample.kinds} - {NONE}
    if not found:
        raise ValueError(
            "no cell is labelled in any picture; mark the centres of some cells by points or boxes"
        )
    first = (WBC, RBC, PLATELET)
    return (*(kind for kind in first if kind in found), *sorted(found - set(first)))


def labelled_classes(samples: Sequence[Sample]) -> dict[str, set[str]]:
    """Collect the classes that each source labels; a picture without one of them shows none."""
    found: dict[str, set[str]] = {}
    for sample in samples:
        found.setdefault(sample.source, set()).update(map(detection_class, sample.kinds))
    return found


def prepare(
    sample: Sample,
    classes: Sequence[str],
    labelled: Container[str],
    params: PropagationTrainParams,
    oversampling: float = 1.0,
) -> AnnotatedField:
    """Bring a sample to the model's scale, with the centroids of each class its source labels."""
    rgb = read_rgb(sample)
    factor = sample_factor(sample, rgb.shape, params.diameter) / oversampling
    # Stain is varied before absorptance saturates it.
    name = "density" if params.normalisation == "absorptance" else params.normalisation
    view = Field(rgb, factor, {"name": name})
    pixels = view.read((range(view.shape[0]), range(view.shape[1])))
    boxes = edge_boxes(sample, rgb.shape)
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2 / factor - 0.5
    own = np.asarray([detection_class(kind) for kind in sample.kinds])
    return AnnotatedField(
        pixels.to(torch.float16),
        oversampling,
        tuple(centres[own == name] for name in classes),
        tuple(sides[own == name] / factor for name in classes),
        np.asarray([name in labelled for name in classes]),
        sample.weight,
    )


def sample_factor(sample: Sample, shape: tuple[int, ...], diameter: float) -> float:
    """Estimate the picture pixels per model pixel from boxes.

    Red cells, all of one size, decide where some are boxed, else white cells, else all others.
    Pictures that only have points keep their scale, unless it is known, and so do all where
    `diameter`, of a typical white blood cell in model pixels, is 0.
    """
    if not diameter:
        return 1.0
    if sample.diameter:
        return sample.diameter / diameter
    if sample.boxes is None:
        return CELL_TO_CROP * min(shape[:2]) / diameter
    sides, cut = box_sides(sample.boxes, shape)
    kinds = np.asarray([detection_class(kind) for kind in sample.kinds])
    red = sides[(kinds == RBC) & ~cut & (sides > 0)]
    if len(red) >= _RED_CELLS:
        return float(np.median(red)) * CELL_TO_BOX / RED_TO_WHITE_DIAMETER / diameter
    for wanted, ratio in (
        (kinds == WBC, 1.0),
        (kinds == RBC, RED_TO_WHITE_DIAMETER),
        (kinds != NONE, 1.0),
    ):
        if (sizes := sides[wanted & (sides > 0)]).size:
            return float(np.median(sizes)) * CELL_TO_BOX / ratio / diameter
    return 1.0


def scale_is_known(samples: Sequence[Sample], diameter: float) -> bool:
    """Return whether pictures are brought to one size of cells, rather than kept as they are."""
    return bool(diameter) and any(
        sample.diameter or sample.boxes is None or (sample.boxes[:, 2:] > sample.boxes[:, :2]).any()
        for sample in samples
    )


def mean_squares(fields: Sequence[AnnotatedField], sigma: float) -> npt.NDArray[Any]:
    """Compute the ``(classes,)`` mean square of each class's likelihood over its labelled pixels.

    A Gaussian's square has the integral :math:`π σ^2`.
    """
    labelled = np.stack([field.labelled for field in fields])
    area = labelled.T @ [float(np.prod(field.shape)) / field.oversampling**2 for field in fields]
    count = np.sum([[len(c) for c in field.centres] for field in fields], axis=0)
    return np.asarray(np.pi * sigma**2 * count / np.maximum(area, 1))


@dataclass(frozen=True, eq=False)
class PatchBatch:
    """A batch of patches."""

    # (B, C, h, w) float32, as the network sees them; zeros beyond a picture's border.
    images: torch.Tensor
    targets: torch.Tensor  # (B, classes, h, w) float32 likelihood
    labelled: torch.Tensor  # (B, classes) bool


class PatchSampler:
    """Sampler of patches around random cells.

    A patch is turned by a multiple of 90°; unless the augmentation is by rotations alone, it is
    flipped and varied in stain. Where it is varied in scale, its Gaussians are scaled with it: the
    width of a trained detector's peaks gives the size of its cells.
    """

    def __init__(self, fields: Sequence[AnnotatedField], params: PropagationTrainParams) -> None:
        self.fields, self.params = fields, params
        weights = np.asarray([field.weight for field in fields])
        self._probabilities = weights / weights.sum()

    def draw(self, count: int, random: np.random.Generator) -> PatchBatch:
        """Draw `count` patches."""
        chosen = random.choice(len(self.fields), count, p=self._probabilities)
        patches = [self._patch(self.fields[number], random) for number in chosen]
        images, targets = (torch.stack(parts) for parts in zip(*patches, strict=True))
        labelled = np.stack([self.fields[number].labelled for number in chosen])
        return PatchBatch(images, targets, torch.from_numpy(labelled))

    def _patch(
        self, field: AnnotatedField, random: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        params = self.params
        spread = np.log(params.max_scale_factor)
        scale = float(np.exp(np.clip(random.normal(0, spread / 2), -spread, spread)))
        side = max(1, round(params.patch_size * field.oversampling / scale))
        origin = _origin(field, side, random)
        pixels = _cut(field.pixels, origin, side).float()
        size, ratio = (params.patch_size,) * 2, params.patch_size / side
        if side != params.patch_size:
            pixels = F.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]
        centres = [(own - origin + 0.5) * ratio - 0.5 for own in field.centres]
        target = targets(size, centres, params.sigma * scale)
        full = params.augmentation == "full"
        image = augment_stain(pixels, random) if full else pixels
        image = network_input(image, {"name": params.normalisation}, params.colour)
        return _rotate(image, target, random, flip=full)


def _origin(field: AnnotatedField, side: int, random: np.random.Generator) -> npt.NDArray[np.int_]:
    """Draw the first pixel of a patch around a cell; a smaller picture lies anywhere in it."""
    classes = [centres for centres in field.centres if len(centres)]
    size = np.asarray(field.shape)
    if classes:
        centres = classes[random.integers(len(classes))]
        inside = centres[random.integers(len(centres))]
    else:
        inside = random.uniform(0, size)
    low, high = np.minimum(0, size - side), np.maximum(0, size - side)
    first = random.uniform(inside - side, inside)
    first = np.where(size < side, random.uniform(low, high + 1), first)
    return np.asarray(np.clip(np.rint(first), low, high), int)


def _cut(pixels: torch.Tensor, origin: npt.NDArray[np.int_], side: int) -> torch.Tensor:
    """Cut a square of `pixels`, with zeros beyond their border."""
    low, high = np.maximum(origin, 0), np.minimum(origin + side, pixels.shape[1:])
    part = pixels[:, low[0] : high[0], low[1] : high[1]]
    before, after = low - origin, origin + side - high
    return F.pad(part, (int(before[1]), int(after[1]), int(before[0]), int(after[0])))


def targets(shape: tuple[int, int], centres: Sequence[Any], sigma: float) -> torch.Tensor:
    """Render the ``(classes, h, w)`` likelihood of each class's centres."""
    return torch.from_numpy(np.stack([likelihood_map(shape, own, sigma) for own in centres]))


def network_input(
    pixels: torch.Tensor, normalisation: Mapping[str, Any], colour: str
) -> torch.Tensor:
    """Convert normalised ``(3, h, w)`` pixels to the network's ``(C, h, w)`` input."""
    values = saturate(pixels, normalisation)
    return values if colour == "rgb" else values.mean(0, keepdim=True)


def _rotate(
    image: torch.Tensor, target: torch.Tensor, random: np.random.Generator, flip: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn both by the same multiple of 90°, and flip half of them where `flip`."""
    quarter, flip = int(random.integers(4)), flip and bool(random.integers(2))
    turned = (torch.rot90(part, quarter, (1, 2)) for part in (image, target))
    first, second = (part.flip(2) if flip else part for part in turned)
    return first, second
