"""Pictures and their centroids at the model's scale: what a detector learns from."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

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
from napari_wbc_nca.datasets.readers import Sample, read_rgb
from napari_wbc_nca.methods.field import Field
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.propagation.params import PropagationTrainParams

_RULERS = 4  # red cells from which on they, rather than the white ones, tell the scale


@dataclass(frozen=True, eq=False)
class AnnotatedField:
    """A picture at, or finer than, the model's scale, and where its cells are.

    Attributes
    ----------
    pixels
        ``(3, Y, X)`` float16, stain-normalised, but not yet as they are shown.
    fine
        Pixels per model pixel.
    centres
        For each kind ``(N, 2)`` y, x; the middle of the first pixel is (0, 0).
    sides
        For each kind ``(N, 2)`` height and width of the boxes; 0 of points.
    taught
        ``(kinds,)`` bool: whether the picture's source labels that kind at all.
    source, group, weight
        As in the sample.
    """

    pixels: torch.Tensor
    fine: float
    centres: tuple[npt.NDArray[np.float64], ...]
    sides: tuple[npt.NDArray[np.float64], ...]
    taught: npt.NDArray[np.bool_]
    source: str
    group: str
    weight: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])


def kinds_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Kinds in the order of the outputs: white, red, platelets, others by name.

    Raises
    ------
    ValueError
        When no cell is labelled.
    """
    found = {detection_class(kind) for sample in samples for kind in sample.kinds} - {NONE}
    if not found:
        raise ValueError(
            "no cell is labelled in any picture; mark the centres of some cells by points or boxes"
        )
    first = (WBC, RBC, PLATELET)
    return (*(kind for kind in first if kind in found), *sorted(found - set(first)))


def prepare(
    samples: Sequence[Sample],
    kinds: Sequence[str],
    params: PropagationTrainParams,
    fine: float = 1.0,
) -> Generator[Progress, None, list[AnnotatedField]]:
    """Bring all samples to one scale.

    Parameters
    ----------
    samples
        Pictures with points or boxes.
    kinds
        In the order of the network's outputs.
    params
        Scale and normalisation.
    fine
        Pixels per model pixel.
    """
    labelled: dict[str, set[str]] = {}
    for sample in samples:
        labelled.setdefault(sample.source, set()).update(map(detection_class, sample.kinds))
    fields = []
    for number, sample in enumerate(samples, start=1):
        taught = np.asarray([kind in labelled[sample.source] for kind in kinds])
        fields.append(_field(sample, kinds, taught, params, fine))
        yield Progress(number, len(samples), "Reading centroids")
    return fields


def _field(
    sample: Sample,
    kinds: Sequence[str],
    taught: npt.NDArray[np.bool_],
    params: PropagationTrainParams,
    fine: float,
) -> AnnotatedField:
    rgb = read_rgb(sample)
    factor = sample_factor(sample, rgb.shape, params.diameter) / fine
    # What saturates is varied first, and shown afterwards.
    name = "density" if params.normalisation == "absorptance" else params.normalisation
    view = Field(rgb, factor, {"name": name})
    pixels = view.read((range(view.shape[0]), range(view.shape[1])))
    boxes = sample.boxes
    if boxes is None:
        boxes = np.asarray([[0, 0, *rgb.shape[:2]]], np.float32)
    sides = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)
    # A point is the middle of a pixel, an edge of a box lies between pixels.
    middle = (boxes[:, 2:] + boxes[:, :2]) / 2 + 0.5 * (sides == 0)
    centres = middle.astype(np.float64) / factor - 0.5
    own = np.asarray([detection_class(kind) for kind in sample.kinds])
    return AnnotatedField(
        pixels.to(torch.float16),
        fine,
        tuple(centres[own == kind] for kind in kinds),
        tuple(sides[own == kind] / factor for kind in kinds),
        taught,
        sample.source,
        sample.group,
        sample.weight,
    )


def sample_factor(sample: Sample, shape: tuple[int, ...], diameter: float) -> float:
    """Picture pixels per model pixel.

    Red cells, all of one size, tell the scale where some are boxed, else white cells, else
    whatever is. Pictures that only have points keep their scale, unless it is known.

    Parameters
    ----------
    sample
        With boxes or points, in pixels.
    shape
        Of the picture.
    diameter
        Of a typical white blood cell in model pixels; 0 keeps all pictures' scale.
    """
    if not diameter:
        return 1.0
    if sample.diameter:
        return sample.diameter / diameter
    if sample.boxes is None:
        return CELL_TO_CROP * min(shape[:2]) / diameter
    height, width = (sample.boxes[:, 2:] - sample.boxes[:, :2]).T
    cut = (sample.boxes[:, :2] <= 1).any(1) | (
        sample.boxes[:, 2:] >= np.subtract(shape[:2], 1)
    ).any(1)
    sides = np.where(cut, np.maximum(height, width), np.sqrt(height * width))
    kinds = np.asarray([detection_class(kind) for kind in sample.kinds])
    red = sides[(kinds == RBC) & ~cut & (sides > 0)]
    if len(red) >= _RULERS:
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
    """Whether pictures are brought to one size of cells, rather than kept as they are."""
    return bool(diameter) and any(
        sample.diameter or sample.boxes is None or (sample.boxes[:, 2:] > sample.boxes[:, :2]).any()
        for sample in samples
    )


def split(samples: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Samples to learn from and to validate on; a group stays on one side."""
    groups = [f"{sample.source}/{sample.group or sample.path}" for sample in samples]
    held: set[str] = set()
    room = share * len(samples)
    for group in np.random.default_rng(seed).permutation(sorted(set(groups))):
        if (size := groups.count(group)) <= room:
            held.add(group)
            room -= size
    kept = [sample for sample, group in zip(samples, groups, strict=True) if group not in held]
    return kept, [sample for sample, group in zip(samples, groups, strict=True) if group in held]


def shares(fields: Sequence[AnnotatedField], sigma: float) -> npt.NDArray[Any]:
    """``(kinds,)`` mean square of each kind's likelihood over the pixels that teach it.

    A Gaussian's square has the integral :math:`π σ^2`.
    """
    taught = np.stack([field.taught for field in fields])
    area = taught.T @ np.asarray([float(np.prod(field.shape)) / field.fine**2 for field in fields])
    count = np.sum([[len(c) for c in field.centres] for field in fields], axis=0)
    return np.asarray(np.pi * sigma**2 * count / np.maximum(area, 1))
