"""Stain normalisation: the network's input in place of raw colours.

A normalisation is fitted once to a sample of the whole field, so that every tile is treated
alike, and then applied to any part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Normalise = Callable[[npt.NDArray[Any], tuple[int, int], tuple[int, int]], Float]
"""``(rgb (h, w, 3) in 0–255, first pixel (y, x), field shape (Y, X)) -> (h, w, 3)``"""

STAINED_DENSITY = 0.3
"""Density, summed over colours, from which on matter is surely stained."""
_SAMPLE = 4000  # pixels
_ITERATIONS = 12
_ASYMMETRY = 0.85
_RIDGE = 1e-3


@dataclass(frozen=True)
class Polynomial:
    """Brightness of the empty background as ``log(rgb + 1)``, a polynomial in relative position.

    Its coefficients are ``(terms, 3)``: 1 term for an even background, 6 for light that falls off.
    """

    coefficients: npt.NDArray[np.float64]

    def __call__(
        self, rgb: npt.NDArray[Any], origin: tuple[int, int], shape: tuple[int, int]
    ) -> Float:
        """Compute the density ``log(background + 1) - log(rgb + 1)``, 0 in the background."""
        y = (origin[0] + np.arange(rgb.shape[0])) / shape[0] * 2 - 1
        x = (origin[1] + np.arange(rgb.shape[1])) / shape[1] * 2 - 1
        terms = _terms(y[:, None] + 0 * x, x[None] + 0 * y[:, None], len(self.coefficients))
        density = terms @ self.coefficients - np.log(np.asarray(rgb, np.float64) + 1)
        return np.asarray(density, np.float32)


@dataclass(frozen=True)
class Affine:
    """``(rgb / 255 - mean) / std`` by channel."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(
        self, rgb: npt.NDArray[Any], origin: tuple[int, int], shape: tuple[int, int]
    ) -> Float:
        """Standardise colours; the position does not matter."""
        return np.asarray((np.asarray(rgb, np.float64) / 255 - self.mean) / self.std, np.float32)


def fit_background(sample: npt.NDArray[Any], terms: int = 6) -> Polynomial:
    """Fit the colour of the empty background, with the illumination's fall-off.

    An expectile regression of the log brightness finds the background's pixels, which are the
    brightest at their place; a ridge regression of each channel on them gives the colours. The
    sample is ``(h, w, 3)`` in 0–255, evenly spaced over the whole field.
    """
    rgb = np.asarray(sample, np.float64)
    y, x = np.meshgrid(*(np.arange(n) / n * 2 - 1 for n in rgb.shape[:2]), indexing="ij")
    basis = _terms(y, x, terms).reshape(-1, terms)
    colours = np.log(rgb.reshape(-1, 3) + 1)
    brightness = colours.sum(1)
    weights = np.where(brightness >= np.median(brightness), 1.0, _RIDGE)
    for _ in range(_ITERATIONS):
        residual = brightness - basis @ _regress(basis, weights, brightness)
        spread = np.median(np.abs(residual[residual >= np.median(residual)])) + _RIDGE
        weights = np.sqrt(np.where(residual > 0, _ASYMMETRY, 1 - _ASYMMETRY))
        weights[residual < -6 * spread] *= 0.2  # stained pixels, far below any background
    return Polynomial(_regress(basis, weights, colours))


def _regress(
    basis: npt.NDArray[Any], weights: npt.NDArray[Any], values: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """Fit a weighted ridge regression; the constant term is free."""
    weighted = (basis * (weights**2)[:, None]).T
    ridge = np.diag([0.0] + [_RIDGE * len(basis)] * (basis.shape[1] - 1))
    return np.linalg.solve(weighted @ basis + ridge, weighted @ values)


def _terms(y: npt.NDArray[Any], x: npt.NDArray[Any], count: int) -> npt.NDArray[np.float64]:
    return np.stack([np.ones_like(y), y, x, y * y, y * x, x * x][:count], -1)


def _standard(sample: npt.NDArray[Any], _: Mapping[str, Any]) -> Affine:
    flat = np.asarray(sample, np.float64).reshape(-1, 3) / 255
    return Affine(tuple(flat.mean(0)), tuple(flat.std(0) + 1e-6))


def _maximum(sample: npt.NDArray[Any], constants: Mapping[str, Any]) -> Affine:
    """Return the field's largest value, where it is known, else the sample's."""
    largest = max(float(constants.get("maximum", np.max(sample, initial=0))), 1.0) / 255
    return Affine((0.0,) * 3, (largest,) * 3)


NORMALISATIONS: dict[str, Callable[[npt.NDArray[Any], Mapping[str, Any]], Normalise]] = {
    "absorptance": lambda sample, _: fit_background(sample),  # saturated later, by the field
    "density": lambda sample, _: fit_background(sample),
    "density_even": lambda sample, _: fit_background(sample, 1),
    "standard": _standard,
    "maximum": _maximum,
    "published": lambda _, constants: Affine(constants["mean"], constants["std"]),
}


def window_density(rgb: npt.NDArray[Any]) -> Float:
    """Compute the optical density of one window against its own background.

    ``(h, w, 3)`` in 0–255 gives ``log((b + 1) / (rgb + 1))``, clipped to -0.3–4; b, of each
    channel, is the 90th percentile of the window, at least 20.
    """
    pixels = np.asarray(rgb, np.float64)
    background = np.maximum(np.quantile(pixels, 0.9, axis=(0, 1)), 20)
    return np.log((background + 1) / (pixels + 1)).clip(-0.3, 4).astype(np.float32)


def sample_field(rgb: Any, pixels: int = _SAMPLE) -> npt.NDArray[Any]:
    """Sample every n-th pixel of every n-th row of a field: `pixels` at least, if there are."""
    step = max(1, int(np.sqrt(rgb.shape[0] * rgb.shape[1] / pixels)))
    return np.asarray(rgb[::step, ::step])


def fit_normalisation(normalisation: Mapping[str, Any], sample: npt.NDArray[Any]) -> Normalise:
    """Fit the normalisation of a checkpoint to an ``(h, w, 3)`` sample of a field in 0–255.

    It has the ``name`` of an entry of `NORMALISATIONS`, else ValueError, and constants it reads.
    """
    if (name := normalisation["name"]) not in NORMALISATIONS:
        known = ", ".join(NORMALISATIONS)
        raise ValueError(f"unknown stain normalisation {name!r}; known are {known}")
    return NORMALISATIONS[name](sample, normalisation)
