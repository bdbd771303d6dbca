"""Stain normalisation: the network's input in place of raw colours.

A normalisation is fitted once to a sample of the whole field, so that every tile is treated
alike, and then applied to any part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Normalise = Callable[[npt.NDArray[Any], tuple[int, int], tuple[int, int]], Float]
"""``(rgb (h, w, 3) in 0–255, first pixel (y, x), field shape (Y, X)) -> (h, w, 3)``"""

STAINED_DENSITY = 0.3
"""Density, summed over colours, from which on matter is surely stained."""
USUAL = {"chroma", "faint", "dark"}
"""Constants of a normalisation by which unusual colours are restored."""
_SAMPLE = 4000  # pixels
_ITERATIONS = 12
_ASYMMETRY = 0.85
_RIDGE = 1e-3
_STAINED, _OF_DENSEST = 0.2, 0.25  # summed density of stained matter; also of the 99th percentile
_LEAST_STAINED = 20  # pixels
_COLOURFUL = 0.9  # quantile of the chroma: grey-blue red cells are pale, their nuclei are not
_GREY = 0.02  # chroma below which an image has no colours
_BLACK = 2.0  # summed density of stained matter from which on it is so dark that hues are lost
_STRONGEST = 4.0  # factor that strengthens colours at most; noise grows with it


@dataclass(frozen=True)
class Polynomial:
    """Brightness of the empty background as ``log(rgb + 1)``, a polynomial in relative position.

    Its coefficients are ``(terms, 3)``: 1 term for an even background, 6 for light that falls off.
    Densities are multiplied by ``restoring`` ``(3, 3)``, where there is one.
    """

    coefficients: npt.NDArray[np.float64]
    restoring: npt.NDArray[np.float64] | None = None

    def __call__(
        self, rgb: npt.NDArray[Any], origin: tuple[int, int], shape: tuple[int, int]
    ) -> Float:
        """Compute the density ``log(background + 1) - log(rgb + 1)``, 0 in the background."""
        y = (origin[0] + np.arange(rgb.shape[0])) / shape[0] * 2 - 1
        x = (origin[1] + np.arange(rgb.shape[1])) / shape[1] * 2 - 1
        terms = _terms(y[:, None] + 0 * x, x[None] + 0 * y[:, None], len(self.coefficients))
        density = terms @ self.coefficients - np.log(np.asarray(rgb, np.float64) + 1)
        if self.restoring is not None:
            density = density @ self.restoring
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


def restoring_matrix(
    density: npt.NDArray[Any],
    chroma: Sequence[float],
    faint: Sequence[float],
    dark: Sequence[float],
) -> npt.NDArray[np.float64] | None:
    """Find what brings colours that are flat, faint or too dark back to those of training.

    Parameters
    ----------
    density
        ``(N, 3)`` optical densities of a sample of a field.
    chroma, faint, dark
        The limit of what is usual and the value to restore. Chroma is the distance of the
        channels' shares from a third over stained matter: a lower limit of its 90th percentile,
        and the median to restore. Faint is the median of the summed density there, a lower limit;
        dark its 75th percentile over the whole field, an upper one.

    Returns
    -------
    array or None
        ``(3, 3)``, for rows of densities: the mean over the channels is multiplied by one factor
        and the distance from it by another. None where all is usual, and for images in grey.
    """
    total = density.sum(1)
    stained = density[total > max(_STAINED, _OF_DENSEST * float(np.quantile(total, 0.99)))]
    if len(stained) < _LEAST_STAINED:
        return None
    shares = stained / stained.sum(1, keepdims=True)
    own = np.sqrt(((shares - 1 / 3) ** 2).sum(1))
    usual, most = (float(value) for value in np.quantile(own, [0.5, _COLOURFUL]))
    if most < _GREY:
        return None
    middle, upper = float(np.median(stained.sum(1))), float(np.quantile(total, 0.75))
    hue = 1.0
    if most < chroma[0] and middle < _BLACK:
        hue = min(chroma[1] / max(usual, _GREY), _STRONGEST)
    gain = 1.0
    if middle < faint[0]:
        gain = min(faint[1] / middle, _STRONGEST)
    elif upper > dark[0]:
        gain = dark[1] / upper
    if hue == gain == 1:
        return None
    return np.asarray(gain * (hue * np.eye(3) + (1 - hue) / 3))


def _fit_stain(
    sample: npt.NDArray[Any], constants: Mapping[str, Any], terms: int = 6
) -> Polynomial:
    """Fit the background, and restore unusual colours where the constants say what is usual."""
    background = fit_background(sample, terms)
    if not USUAL <= set(constants):
        return background
    # Of an even background: light that falls off must not make usual stains look faint.
    density = fit_background(sample, 1)(sample, (0, 0), sample.shape[:2]).reshape(-1, 3)
    usual = {name: constants[name] for name in USUAL}
    return replace(background, restoring=restoring_matrix(density, **usual))


def without_usual(normalisation: Mapping[str, Any]) -> dict[str, Any]:
    """Return a normalisation that restores no colours."""
    return {name: value for name, value in normalisation.items() if name not in USUAL}


def _standard(sample: npt.NDArray[Any], _: Mapping[str, Any]) -> Affine:
    flat = np.asarray(sample, np.float64).reshape(-1, 3) / 255
    return Affine(tuple(flat.mean(0)), tuple(flat.std(0) + 1e-6))


def _maximum(sample: npt.NDArray[Any], constants: Mapping[str, Any]) -> Affine:
    """Return the field's largest value, where it is known, else the sample's."""
    largest = max(float(constants.get("maximum", np.max(sample, initial=0))), 1.0) / 255
    return Affine((0.0,) * 3, (largest,) * 3)


NORMALISATIONS: dict[str, Callable[[npt.NDArray[Any], Mapping[str, Any]], Normalise]] = {
    "absorptance": _fit_stain,  # saturated later, by the field
    "density": _fit_stain,
    "density_even": lambda sample, constants: _fit_stain(sample, constants, 1),
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
