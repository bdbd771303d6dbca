"""What each pixel contributes to the detection of each cell."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from napari_wbc_nca.models.guided_backprop import Activations, GradientPatches, GuidedUNet
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.propagation.params import PropagationParams

Float = npt.NDArray[np.float32]
Corner = tuple[int, int]

_LEAST = 0.01  # of a cell's Gaussian, on whose side a pixel can lie; of the published code
PUBLISHED_MIN_LIKELIHOOD = 125 / 255
"""Likelihood above which the published code takes a peak for a cell."""


@dataclass(frozen=True)
class Centroid:
    """Centre y, x of a cell in model pixels, and the output of the network that found it."""

    y: float
    x: float
    kind: int

    @property
    def pixel(self) -> Corner:
        """Row and column."""
        return round(self.y), round(self.x)


@dataclass(frozen=True, eq=False)
class Contribution:
    """How much the pixels around a cell contribute to its detection."""

    corner: Corner  # row and column of the first pixel, in model pixels of the field
    # (h, w), 1 at the largest, or the raw gradient's; 0 all along the border, and outside.
    values: Float

    @property
    def box(self) -> tuple[range, range]:
        """Rows and columns of the field."""
        y, x = (
            range(start, start + size)
            for start, size in zip(self.corner, self.values.shape, strict=True)
        )
        return y, x


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """A part of a field after its forward pass."""

    trace: Activations
    likelihood: Float  # (kinds, h, w)
    corner: Corner  # row and column of the part's first pixel


def region_radius(sigma: float) -> int:
    """Compute the distance in pixels from a centroid to the farthest pixel of its region."""
    return ceil(sigma * sqrt(-2 * log(_LEAST)))


def neighbours(
    centroids: Mapping[int, Centroid], reach: float, norm: float = 2.0
) -> dict[int, list[int]]:
    """Find for each cell, by number, the others within `reach` pixels by a norm."""
    numbers = list(centroids)
    if not numbers:
        return {}
    places = np.asarray([(centroids[n].y, centroids[n].x) for n in numbers])
    near = cKDTree(places).query_ball_point(places, reach, p=norm)
    return {
        number: sorted(numbers[j] for j in found if numbers[j] != number)
        for number, found in zip(numbers, near, strict=True)
    }


def rivals(centroids: Mapping[int, Centroid], sigma: float) -> dict[int, list[int]]:
    """Find for each cell, by number, the others of its kind whose regions may meet its own."""
    near = neighbours(centroids, 2 * region_radius(sigma) + 2)
    return {
        number: [other for other in found if centroids[other].kind == centroids[number].kind]
        for number, found in near.items()
    }


def contributions(
    guide: GuidedUNet,
    traced: ForwardPass,
    centroids: Mapping[int, Centroid],
    wanted: Sequence[int],
    field: tuple[int, int],
    sigma: float,
    params: PropagationParams,
) -> Generator[Progress, None, dict[int, Contribution]]:
    """Compute the contributions of the `wanted` cells, a batch of them in one backward pass.

    The part of the field that was `traced` holds all that the cells' signals can reach.
    `centroids` are all of the field by number, since neighbours of a kind share pixels out among
    them; `field` is its height and width, and `sigma` the detector's σ, in model pixels.
    """
    near = rivals(centroids, sigma)
    radius = region_radius(sigma)
    found: dict[int, Contribution] = {}
    for first in range(0, len(wanted), params.batch_size):
        some = wanted[first : first + params.batch_size]
        signals = np.stack([signal(n, centroids, near[n], traced, sigma, params) for n in some])
        starts = np.asarray([centroids[n].pixel for n in some]) - radius - traced.corner
        corners = [(int(y), int(x)) for y, x in starts]
        device = traced.trace.logits.device
        patches = guide.backward(
            traced.trace,
            GradientPatches(torch.from_numpy(signals)[:, None].to(device), corners),
            [centroids[n].kind for n in some],
        )
        values = patches.values[:, 0].cpu().numpy()
        for n, own, (y, x) in zip(some, values, patches.corners, strict=True):
            corner = (y + traced.corner[0], x + traced.corner[1])
            scaled = params.contribution_scale == "relative"
            found[n] = trimmed(own, corner, field, params.min_contribution, scaled)
        yield Progress(first + len(some), len(wanted), "Propagating from the detections")
    return found


def trimmed(
    gradient: npt.NDArray[Any],
    corner: Corner,
    field: tuple[int, int],
    noise: float,
    scaled: bool = True,
) -> Contribution:
    """Take a gradient's positive part, cut to values from `noise` on; `scaled` by its largest.

    The ``(h, w)`` gradient, whose first pixel lies at `corner`, may reach beyond the field, of
    height and width `field`.
    """
    inside = tuple(
        slice(max(0, -start), max(0, size - start))
        for start, size in zip(corner, field, strict=True)
    )
    values = np.clip(gradient[inside], 0, None)
    top, left = (start + cut.start for start, cut in zip(corner, inside, strict=True))
    highest = float(values.max(initial=0))
    if highest <= (0 if scaled else noise):
        return Contribution((top, left), np.zeros((1, 1), np.float32))
    values = values / highest if scaled else values
    values[values < noise] = 0
    rows, columns = (np.flatnonzero(values.any(axis)) for axis in (1, 0))
    kept = values[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    corner = (top + int(rows[0]) - 1, left + int(columns[0]) - 1)
    return Contribution(corner, np.pad(kept, 1).astype(np.float32))


def signal(
    number: int,
    centroids: Mapping[int, Centroid],
    near: Sequence[int],
    traced: ForwardPass,
    sigma: float,
    params: PropagationParams,
) -> Float:
    """Make the ``(side, side)`` signal of a cell: 0 outside its region and the field.

    `near` are the numbers of those that may share pixels with the cell's region, which lies in the
    part that was `traced`.
    """
    own, radius = centroids[number], region_radius(sigma)
    top, left = own.pixel[0] - radius, own.pixel[1] - radius
    y, x = np.ogrid[top : top + 2 * radius + 1, left : left + 2 * radius + 1]
    away = (y - own.y) ** 2 + (x - own.x) ** 2
    values = _around(traced, own.kind, (top, left), 2 * radius + 1)
    if params.region == "component":
        region = _component(values, radius, params.min_likelihood or PUBLISHED_MIN_LIKELIHOOD)
    else:  # NaN, outside the part, is never a region's
        region = ~np.isnan(values) & (np.exp(-away / (2 * sigma**2)) >= _LEAST)
        for other in near:
            distance = (y - centroids[other].y) ** 2 + (x - centroids[other].x) ** 2
            region &= away < distance if other < number else away <= distance
    given = values if params.signal == "likelihood" else np.ones_like(values)
    if params.derivative:
        given = given * values * (1 - values)
    result = np.where(region, given, 0)
    highest = float(result.max())
    if params.contribution_scale == "raw":
        return np.asarray(result, np.float32)
    # The guided gradient is homogeneous: a faint cell's is scaled to be as large as a sure one's.
    return np.asarray(result / highest if highest > 0 else region, np.float32)


def _component(values: Float, middle: int, least: float) -> npt.NDArray[np.bool_]:
    """Find connected pixels of likelihood `least` or more around the middle.

    Cells whose likelihoods run together above the threshold share a component.
    """
    parts, _ = ndi.label(np.nan_to_num(values) >= min(least, values[middle, middle]))
    return np.asarray(parts == parts[middle, middle])


def _around(traced: ForwardPass, kind: int, corner: Corner, side: int) -> Float:
    """Return ``(side, side)`` likelihood of a square of the field; NaN outside the part."""
    square = np.full((side, side), np.nan, np.float32)
    plane = traced.likelihood[kind]
    y, x = (start - first for start, first in zip(corner, traced.corner, strict=True))
    part = plane[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)]
    top, left = max(-y, 0), max(-x, 0)
    square[top : top + part.shape[0], left : left + part.shape[1]] = part
    return square
