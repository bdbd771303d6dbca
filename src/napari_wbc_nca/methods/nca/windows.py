"""Training windows, drawn from prepared samples, turned, scaled and stained anew each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import grid_sample

from napari_wbc_nca.datasets.readers import NONE, WBC
from napari_wbc_nca.methods.field import FINE, shown
from napari_wbc_nca.methods.nca.samples import IGNORED, OUTSIDE, Place, Prepared

_UNTYPED = 0.4  # share of cells of unknown type among what is left; the rest shows none
_TRIES = 6  # windows looked at to find one without any white blood cell
_TRACE = 0.02  # share of cell pixels up to which a window counts as showing none


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows to learn from.

    Attributes
    ----------
    images
        ``(B, 3, h, w)`` float32, stain-normalised.
    targets
        ``(B, h, w)`` uint8, as in :class:`~napari_wbc_nca.methods.nca.samples.Prepared`.
    allowed
        ``(B, classes)`` bool: the classes a window may have; one, or all types of white blood
        cell where the type is unknown. All False where the class teaches nothing.
    """

    images: torch.Tensor
    targets: torch.Tensor
    allowed: torch.Tensor

    @property
    def origin(self) -> torch.Tensor:
        """``(B, 2)`` so far apart that no two windows share the draws of their cells."""
        return torch.arange(len(self.images))[:, None] * torch.tensor([4096, 0])


class _Window(NamedTuple):
    """One window of a batch."""

    image: torch.Tensor
    target: torch.Tensor
    allowed: torch.Tensor


class Windows:
    """Draws batches from prepared samples.

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
    vary
        False draws windows as they lie: no turning, scaling or staining, for validation.
    stain
        How far the stain is varied, 0–1; little where the pictures are all of one laboratory.
    """

    def __init__(
        self,
        samples: Sequence[Prepared],
        classes: Sequence[str],
        side: int,
        normalisation: Mapping[str, Any],
        typed_share: float = 0.4,
        vary: bool = True,
        stain: float = 1.0,
    ) -> None:
        self.samples, self.classes, self.side, self.vary = samples, tuple(classes), side, vary
        self.normalisation, self.stain = normalisation, stain
        places = [place for sample in samples for place in sample.places]
        self._position = {place.sample: n for n, s in enumerate(samples) for place in s.places}
        self._typed = {
            name: found
            for name in self.classes
            if name != NONE and (found := [p for p in places if p.name == name])
        }
        self._untyped = [place for place in places if place.name == WBC]
        self._none = [place for place in places if place.name == NONE]
        self._chances = {name: self._balance(found) for name, found in self._typed.items()}
        self.shares = self._shares(typed_share)

    def _balance(self, places: Sequence[Place]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Chance of each place: a source counts by the square root of its number of cells."""
        sources = [self._sample(place).source for place in places]
        weights = np.asarray([self._sample(place).weight for place in places])
        counts = {source: sources.count(source) for source in set(sources)}
        chances = weights / np.sqrt([counts[source] for source in sources])
        return np.asarray(chances / chances.sum())

    def _shares(self, typed: float) -> dict[str, float]:
        wanted = {
            "typed": typed * bool(self._typed),
            "untyped": (1 - typed) * _UNTYPED * bool(self._untyped),
            "none": (1 - typed) * (1 - _UNTYPED),
        }
        total = sum(wanted.values())
        return {kind: share / total for kind, share in wanted.items() if share}

    def _sample(self, place: Place) -> Prepared:
        return self.samples[self._position[place.sample]]

    def draw(self, count: int, random: np.random.Generator) -> Batch:
        """`count` windows; types, and windows with and without cells, are balanced."""
        kinds = random.choice(list(self.shares), count, p=list(self.shares.values()))
        drawn = [getattr(self, f"_draw_{kind}")(random) for kind in kinds]
        return Batch(*(torch.stack(parts) for parts in zip(*drawn, strict=True)))

    def _draw_typed(self, random: np.random.Generator) -> _Window:
        name = str(random.choice(list(self._typed)))
        place = self._typed[name][random.choice(len(self._typed[name]), p=self._chances[name])]
        return self._at(place, self._only(name), random)

    def _draw_untyped(self, random: np.random.Generator) -> _Window:
        place = self._untyped[random.integers(len(self._untyped))]
        return self._at(place, ~self._only(NONE), random)

    def _at(self, place: Place, allowed: torch.Tensor, random: np.random.Generator) -> _Window:
        return _Window(*self._cut(self._sample(place), place.centre, random), allowed)

    def _draw_none(self, random: np.random.Generator) -> _Window:
        """A window without white blood cells; it teaches only its pixels if none is found."""
        for _ in range(_TRIES):
            if self._none and random.random() < 0.5:
                place = self._none[random.integers(len(self._none))]
                sample, centre = self._sample(place), place.centre
            else:
                sample = self.samples[int(random.integers(len(self.samples)))]
                height, width = sample.target.shape
                centre = (random.uniform(0, height), random.uniform(0, width))
            image, target = self._cut(sample, centre, random)
            if (target != OUTSIDE).float().mean() <= _TRACE:
                return _Window(image, target, self._only(NONE))
        nothing = torch.zeros(len(self.classes), dtype=torch.bool)
        return _Window(image, target, nothing)

    def _only(self, name: str) -> torch.Tensor:
        return torch.tensor([known == name for known in self.classes])

    def _cut(
        self, sample: Prepared, centre: tuple[float, float], random: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        matrix = _turn(random) if self.vary else np.eye(2)
        shift = random.normal(0, self.side / 20, 2) if self.vary else np.zeros(2)
        offsets = np.arange(self.side) + 0.5 - self.side / 2
        grid = np.stack(np.meshgrid(offsets + shift[0], offsets + shift[1], indexing="ij"), -1)
        points = grid @ (matrix.T * FINE) + centre
        corner, part = _around(points, sample.target.shape)
        size = np.asarray([span.stop - span.start for span in part])
        relative = ((points - corner) / size * 2 - 1)[None, ..., ::-1]
        at = torch.from_numpy(np.ascontiguousarray(relative, np.float32))
        pixels, labels = sample.pixels[:, *part].float(), sample.target[part].float()
        image = grid_sample(pixels[None], at, align_corners=False)[0]
        target = grid_sample(labels[None, None], at, "nearest", align_corners=False)[0, 0]
        inside = (points >= 0).all(-1) & (points < sample.target.shape).all(-1)
        marked = torch.where(torch.from_numpy(inside), target, IGNORED).to(torch.uint8)
        varied = torch.lerp(image, restain(image, random), self.stain) if self.vary else image
        return shown(varied, self.normalisation), marked


def _around(
    points: np.ndarray[tuple[int, ...], np.dtype[np.float64]], shape: tuple[int, ...]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int_]], tuple[slice, slice]]:
    """Part of a picture that sampling at `points` reads, and its first pixel."""
    low = np.clip(np.floor(points.min((0, 1))).astype(int) - 1, 0, np.subtract(shape, 2))
    high = np.clip(np.ceil(points.max((0, 1))).astype(int) + 1, low + 2, shape)
    return low, (slice(low[0], high[0]), slice(low[1], high[1]))


def _turn(random: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """A rotation by any angle, a flip, and a scale that differs a little between the axes."""
    angle = random.uniform(0, 2 * np.pi)
    rotation = np.asarray([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.exp(np.clip(random.normal(0, 0.18), -0.45, 0.45) + random.normal(0, 0.04, 2))
    return np.asarray(rotation * scale * (1, random.choice((-1, 1))))


def restain(image: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Another laboratory's stain, light and focus: mixed and scaled channels, blur, noise."""
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
