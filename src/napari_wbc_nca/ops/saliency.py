"""How much each pixel looks like a cell, and in what cells have borders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.ops.threshold import otsu

SaliencyName = Literal["stain", "inverse", "generic"]
Float = npt.NDArray[np.float32]

_DARKEST = 0.3  # summed density from which on matter is stained for sure
_FAINTEST = 0.02  # density below which nothing is told from the background


@dataclass(frozen=True)
class Saliency:
    """One way to see cells, fitted to a field.

    Attributes
    ----------
    name
        ``stain``: how much darker than the empty background. ``inverse``: how dark, as WSISPDR
        has it for phase contrast. ``generic``: how far from the background, brighter or darker.
    level
        Density that is as likely a cell's as the background's; for ``inverse`` the brightest
        value of the field.
    """

    name: SaliencyName
    level: float

    def __call__(self, values: npt.NDArray[Any]) -> Float:
        r"""Saliency of each pixel in 0–1.

        .. math:: s = 1 - I / I_{max} \quad\text{or}\quad s = \frac{d}{d + d_0}

        with the distance :math:`d` from the background and the level :math:`d_0`.

        Parameters
        ----------
        values
            ``(h, w, 3)`` optical density, for ``inverse`` brightness.
        """
        if self.name == "inverse":
            return np.asarray(1 - np.clip(values.mean(-1) / self.level, 0, 1), np.float32)
        away = _distance(self.name, values)
        return np.asarray(away / (away + self.level), np.float32)


def fit(name: SaliencyName, sample: npt.NDArray[Any]) -> Saliency:
    """Fit a saliency to a sample of a field.

    Parameters
    ----------
    name
        Of the saliency.
    sample
        ``(h, w, 3)`` optical density, for ``inverse`` brightness.

    Raises
    ------
    ValueError
        For an empty sample, or an unknown name.
    """
    if sample.size == 0:
        raise ValueError("the sample is empty; a saliency is fitted to the pixels of a field")
    if name == "inverse":
        return Saliency(name, max(float(sample.mean(-1).max()), 1e-6))
    if name not in ("stain", "generic"):
        raise ValueError(f"unknown saliency {name!r}; known are stain, inverse, generic")
    away = _distance(name, sample)
    # Cut off where dark: nuclei would raise the threshold above pale cells.
    return Saliency(name, max(float(otsu(np.clip(away, 0, _DARKEST))), _FAINTEST))


def _distance(name: SaliencyName, density: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """How far each pixel's density is from that of the background, which is 0."""
    values = np.asarray(density, np.float64)
    if name == "stain":
        return np.asarray(np.clip(values.sum(-1), 0, None))
    return np.asarray(np.sqrt((values**2).sum(-1)))
