"""Sampling of training windows from prepared samples, with augmentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import grid_sample

from napari_wbc_nca.cell_types import NONE, WBC
from napari_wbc_nca.methods.field import FINE, saturate
from napari_wbc_nca.methods.nca.samples import IGNORED, OUTSIDE, CellLocation, PreparedSample

_UNTYPED = 0.4  # share of cells of unknown type among what is left; the rest shows none
_TRIES = 6  # windows tried to find one without any white blood cell
_TRACE = 0.02  # share of cell pixels up to which a window counts as showing none


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of windows.

    Attributes
    ----------
    images
        ``(B, 3, h, w)`` float32, stain-normalised.
    targets
        ``(B, h, w)`` uint8, as in :class:`~napari_wbc_nca.methods.nca.samples.PreparedSample`.
    allowed
        ``(B, classes)`` bool: the classes a window may have; one, or all types of white blood
        cell where the type is unknown. All False where the class is left out of the loss.
    """

    images: torch.Tensor
    targets: torch.Tensor
    allowed: torch.Tensor

    @property
    def origin(self) -> torch.Tensor:
        """``(B, 2)`` origins so far apart that no two windows share the draws of their cells."""
        return torch.arange(len(self.images))[:, None] * torch.tensor([4096, 0])


class _Window(NamedTuple):
    """One window of a batch."""

    image: torch.Tensor
    target: torch.Tensor
    allowed: torch.Tensor


class WindowSampler:
    """Sampler of batches of windows, balanced over types, sources and background.

    Parameters
    ----------
    samples
        What to draw from.
    classes
        Class names in the order of the network's outputs; the last is ``none``.
    side
        Height and width of a window in model pixels.
    normalisation
        Of the checkpoint to be trained; the stain is varied before it saturates.
    typed_share
        Share of windows that show a cell of known type.
    augment
        False leaves out the augmentation, for validation.
    stain_augmentation
        How far the stain is varied, 0–1; little where the pictures are all of one laboratory.
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

    def draw(self, count: int, random: np.random.Generator) -> Batch:
        """Draw `count` windows; types, and windows with and without cells, are balanced."""
        kinds = random.choice(list(self.shares), count, p=list(self.shares.values()))
        windows = [getattr(self, f"_draw_{kind}")(random) for kind in kinds]
        return Batch(*(torch.stack(parts) for parts in zip(*windows, strict=True)))

    def _draw_typed(self, random: np.random.Generator) -> _Window:
        name = str(random.choice(list(self._typed)))
        cells = self._typed[name]
        sample, location = cells[random.choice(len(cells), p=self._probabilities[name])]
        return _Window(*self._cut(sample, location.centre, random), self._only(name))

    def _draw_untyped(self, random: np.random.Generator) -> _Window:
        sample, location = self._untyped[random.integers(len(self._untyped))]
        return _Window(*self._cut(sample, location.centre, random), ~self._only(NONE))

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
                return _Window(image, target, self._only(NONE))
        return _Window(image, target, torch.zeros(len(self.classes), dtype=torch.bool))

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


def _balance(
    cells: Sequence[tuple[PreparedSample, CellLocation]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Probability of each cell: a source counts by the square root of its number of cells."""
    counts = Counter(sample.source for sample, _ in cells)
    weights = np.asarray([sample.weight for sample, _ in cells])
    weights = weights / np.sqrt([counts[sample.source] for sample, _ in cells])
    return np.asarray(weights / weights.sum())


def _sampled_part(
    points: np.ndarray[tuple[int, ...], np.dtype[np.float64]], shape: tuple[int, ...]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int_]], tuple[slice, slice]]:
    """Return the first pixel and the part of a picture that sampling at `points` reads."""
    low = np.clip(np.floor(points.min((0, 1))).astype(int) - 1, 0, np.subtract(shape, 2))
    high = np.clip(np.ceil(points.max((0, 1))).astype(int) + 1, low + 2, shape)
    return low, (slice(low[0], high[0]), slice(low[1], high[1]))


def _random_affine(
    random: np.random.Generator,
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Draw a rotation, a flip, and a scale that differs a little between the axes."""
    angle = random.uniform(0, 2 * np.pi)
    rotation = np.asarray([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.exp(np.clip(random.normal(0, 0.18), -0.45, 0.45) + random.normal(0, 0.04, 2))
    return np.asarray(rotation * scale * (1, random.choice((-1, 1))))


def augment_stain(image: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Vary stain, light and focus as laboratories do: mix and scale channels, blur, add noise."""
    mix = np.eye(3) + random.normal(0, 0.1, (3, 3))
    mix *= np.exp(random.normal(0, 0.3) + random.normal(0, 0.15, (3, 1)))
    stained = torch.einsum("ij,jyx->iyx", torch.from_numpy(mix.astype(np.float32)), image)
    if random.random() < 0.5:
        stained = _blur(stained, random.uniform(0.3, 1.1))
    offset = torch.from_numpy(random.normal(0, 0.03, (3, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(random.normal(0, 0.03, image.shape).astype(np.float32))
    return stained + offset + noise * float(random.random())


def _blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    offsets = torch.arange(-3, 4, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 7)
    padded = torch.nn.functional.pad(image[None], (3, 3, 3, 3), mode="replicate")
    across = torch.nn.functional.conv2d(padded, kernel, groups=3)
    return torch.nn.functional.conv2d(across, kernel.transpose(2, 3), groups=3)[0]
