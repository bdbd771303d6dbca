"""Synthetic brightfield cultures: cells whose classes are known to the pixel.

Populations differ in size, texture and rim. Cells lie singly and in clumps, light is uneven, focus
and noise differ from picture to picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """Appearance of the cells of a population.

    Mean and standard deviation of the radius in pixels, size of the texture's grains in pixels and
    contrast as a share of the background, brightness of rim and inside over the background.
    """

    radius: float
    spread: float
    grain: float
    texture: float
    rim: float
    inside: float


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "granular": Kind(9.0, 1.4, 1.0, 0.085, -0.13, -0.04),
        "rimmed": Kind(12.0, 1.8, 2.0, 0.025, 0.20, -0.05),
        "mottled": Kind(15.0, 2.2, 2.4, 0.075, -0.07, -0.05),
    }
)
"""The three populations by name."""
_CROWDING = 0.22
"""Share of a picture that cells cover."""
_CLUMPED = 0.5
"""Share of cells that lie beside another."""
_BACKGROUND = 0.55
_TRIES = 40
_SEED_STEP = 1_000_000
"""Between the seeds of two sets of pictures."""


@dataclass(frozen=True, eq=False)
class Culture:
    """A picture with its ground truth, all ``(Y, X)``.

    `classes` is 0 background, else 1 + the number of the kind in `KINDS`; `cells` numbers cells.
    """

    pixels: npt.NDArray[np.uint8]
    classes: npt.NDArray[np.uint8]
    cells: npt.NDArray[np.uint16]


def culture(
    kinds: Sequence[str] = tuple(KINDS), shape: tuple[int, int] = (256, 256), seed: int = 0
) -> Culture:
    """Draw a picture of one population, or of several grown together.

    Cells are drawn from `kinds` at even shares of the covered area; ValueError for one that is not
    in `KINDS`. `shape` is height and width in pixels.

    Examples
    --------
    >>> np.unique(culture(["rimmed"], seed=3).classes).tolist()
    [0, 2]
    """
    for name in kinds:
        if name not in KINDS:
            raise ValueError(f"unknown kind {name!r}; known are {', '.join(KINDS)}")
    random = np.random.default_rng(seed)
    light, classes = np.ones(shape), np.zeros(shape, np.uint8)
    cells = np.zeros(shape, np.uint16)
    numbers = {name: number for number, name in enumerate(KINDS, start=1)}
    for label, (name, *place) in enumerate(_places(random, kinds, shape), start=1):
        part = _around(shape, *place)
        relative = _outline(random, part, *place)
        inside = relative < 1
        light[part] += _brightness(random, KINDS[name], relative, place[-1])
        classes[part][inside], cells[part][inside] = numbers[name], label
    return Culture(_photograph(random, light), classes, cells)


def write_populations(
    folder: str | Path, pictures: int, shape: tuple[int, int] = (256, 256), seed: int = 0
) -> None:
    """Write a folder of `pictures` for each population into `folder`: what CellMixer trains on.

    Seeds further apart than `pictures` give other pictures.
    """
    for number, name in enumerate(KINDS):
        for index in range(pictures):
            made = culture((name,), shape, seed + _SEED_STEP * number + index)
            _save(made.pixels, Path(folder) / name / f"{name}-{index:03d}.png")


def write_known(
    folder: str | Path, pictures: int, shape: tuple[int, int] = (256, 256), seed: int = 0
) -> None:
    """Write pictures whose classes are known into ``unmixed`` and ``mixed`` of `folder`.

    Beside each ``NAME.png`` lies ``NAME_mask.png`` with a class number a pixel; ``classes.txt``
    names them, the first is 1. Parameters are those of :func:`write_populations`.
    """
    target = Path(folder)
    sets = [("unmixed", (name,), name) for name in KINDS] + [("mixed", tuple(KINDS), "mixed")]
    for number, (place, kinds, name) in enumerate(sets):
        for index in range(pictures):
            made = culture(kinds, shape, seed + _SEED_STEP * number + index)
            _save(made.pixels, target / place / f"{name}-{index:03d}.png")
            _save(made.classes, target / place / f"{name}-{index:03d}_mask.png")
        names = "".join(f"{kind}\n" for kind in KINDS)
        (target / place / "classes.txt").write_text(names, encoding="utf-8")


def _save(pixels: npt.NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _places(
    random: np.random.Generator, kinds: Sequence[str], shape: tuple[int, int]
) -> list[tuple[str, float, float, float]]:
    """Place cells without overlap, half of them beside another: kind, y, x and radius of each."""
    placed: list[tuple[str, float, float, float]] = []
    covered = dict.fromkeys(kinds, 0.0)
    while sum(covered.values()) < _CROWDING * shape[0] * shape[1]:
        name = min(covered, key=lambda kind: covered[kind])
        radius = max(4.0, float(random.normal(KINDS[name].radius, KINDS[name].spread)))
        covered[name] += np.pi * radius**2
        for _ in range(_TRIES):
            y, x = random.uniform((0, 0), shape)
            if placed and random.random() < _CLUMPED:
                _, middle_y, middle_x, other = placed[random.integers(len(placed))]
                angle = random.uniform(0, 2 * np.pi)
                y = middle_y + (radius + other) * np.sin(angle)
                x = middle_x + (radius + other) * np.cos(angle)
            seen = 0 <= y < shape[0] and 0 <= x < shape[1]
            if seen and all(np.hypot(y - b, x - c) > 0.93 * (radius + r) for _, b, c, r in placed):
                placed.append((name, float(y), float(x), radius))
                break
    return placed


def _around(shape: tuple[int, int], y: float, x: float, radius: float) -> tuple[slice, slice]:
    """Compute the part of a picture that a cell and its halo reach."""
    reach = 1.4 * radius + 6
    rows, columns = (
        slice(max(0, int(middle - reach)), min(size, int(middle + reach) + 1))
        for middle, size in zip((y, x), shape, strict=True)
    )
    return rows, columns


def _outline(
    random: np.random.Generator, part: tuple[slice, slice], y: float, x: float, radius: float
) -> Float:
    """Compute each pixel's distance from a cell's centre, relative to its uneven outline."""
    dy, dx = np.mgrid[part] - np.asarray((y, x))[:, None, None]
    angle = np.arctan2(dy, dx)
    uneven = np.ones_like(angle)
    for waves in (2, 3, 5):
        uneven += random.normal(0, 0.09 / waves) * np.cos(waves * angle + random.uniform(0, 7))
    return np.asarray(np.hypot(dy, dx) / (radius * uneven))


def _brightness(random: np.random.Generator, kind: Kind, relative: Float, radius: float) -> Float:
    """Compute the brightness that a cell adds to the background."""
    grains = ndi.gaussian_filter(random.normal(size=relative.shape), kind.grain)
    inside = (relative < 1) * (kind.inside + kind.texture * grains / grains.std())
    rim = kind.rim * np.exp(-(((relative - 0.9) * radius / 1.3) ** 2))
    halo = -0.3 * kind.rim * np.exp(-(((relative - 1.1) * radius / 1.5) ** 2))
    strength = np.exp(random.normal(0, 0.15))
    return np.asarray(strength * (inside + rim + halo))


def _photograph(random: np.random.Generator, light: Float) -> npt.NDArray[np.uint8]:
    """Photograph the light through a culture with a random lamp, focus and camera."""
    y, x = (np.linspace(-1, 1, size) for size in light.shape)
    slope = random.normal(0, 0.06, 2)
    lamp = 1 + slope[0] * y[:, None] + slope[1] * x[None]
    lamp -= random.uniform(0, 0.12) * (y[:, None] ** 2 + x[None] ** 2)
    sharp = ndi.gaussian_filter(light, random.uniform(0.4, 1.0))
    exposed = _BACKGROUND * np.exp(random.normal(0, 0.12)) * lamp * sharp
    noisy = exposed + random.normal(0, random.uniform(0.008, 0.022), light.shape)
    return np.asarray((noisy * 255).clip(0, 255).round(), np.uint8)
