"""Mixtures of two pictures of homogeneous populations, and their labels, as in CellMixer.

Masks hold 0 for background, class numbers from 1, and `IGNORED`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

IGNORED = 255
"""Label of pixels that take no part in the loss: cells of unknown class."""
_FLAT = 1e-3  # least standard deviation of a background, in brightness
_MIN_BACKGROUND = 64  # pixels from which on their mean and deviation are reliable


class Statistics(NamedTuple):
    """Brightness of the background, ``(C,)`` float32 each."""

    mean: Pixels
    std: Pixels


def background_statistics(pixels: Pixels, mask: Labels) -> Statistics | None:
    """Measure the background, 0 in the mask, of ``(C, Y, X)`` pixels; None if hardly any is."""
    empty = (mask == 0).ravel().astype(np.float32)
    count = float(np.count_nonzero(empty))
    if count < _MIN_BACKGROUND:
        return None
    flat = pixels.reshape(len(pixels), -1)
    # Of differences from one value, so that the squares' sum keeps its digits in float32.
    origin = flat[:, int(empty.argmax())][:, None]
    shifted = flat - origin
    mean = shifted @ empty / count
    variance = (shifted * shifted) @ empty / count - mean**2
    std = np.sqrt(np.maximum(variance, _FLAT**2))
    return Statistics(np.asarray(mean + origin[:, 0]), np.asarray(std, np.float32))


def standardise(pixels: Pixels, statistics: Statistics) -> Pixels:
    """Scale ``(C, Y, X)`` pixels to a background of mean 0 and standard deviation 1."""
    mean, std = (values[:, None, None] for values in statistics)
    return np.asarray((pixels - mean) / std, np.float32)


def mix(
    first: Pixels,
    second: Pixels,
    share: float,
    statistics: tuple[Statistics, Statistics] | None = None,
) -> Pixels:
    r"""Mix two pictures, each standardised by its background.

    .. math:: \tilde I = \lambda \frac{I_1 - \mu_1}{\sigma_1}
              + (1 - \lambda) \frac{I_2 - \mu_2}{\sigma_2}

    They are ``(C, Y, X)`` float32 of one shape, else ValueError; :math:`\lambda` is the `share`, in
    0–1. The `statistics` are None where the pictures are standardised already.
    """
    _check_shapes("pictures", first, second)
    one, two = statistics or (None, None)
    return _weighted(first, share, one) + _weighted(second, 1 - share, two)


def _weighted(pixels: Pixels, share: float, statistics: Statistics | None) -> Pixels:
    """Return `share` of the standardised picture, in one multiplication and one addition."""
    if statistics is None:
        return np.asarray(np.float32(share) * pixels)
    slope = (np.float32(share) / statistics.std)[:, None, None]
    scaled = slope * pixels
    scaled -= slope * statistics.mean[:, None, None]
    return np.asarray(scaled)


def mix_masks(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[Any]:
    r"""Mix two masks; where both hold a cell, the second one's stays.

    .. math:: \tilde M = M_2 + (1 - \operatorname{sign} M_2) M_1

    Examples
    --------
    >>> mix_masks(np.array([0, 1, 1, 0]), np.array([0, 0, 2, 2])).tolist()
    [0, 1, 2, 2]
    """
    _check_shapes("masks", first, second)
    return np.where(second == 0, first, second)


def overlay_masks(first: Labels, second: Labels, classes: int) -> tuple[Labels, Labels]:
    """Mix two ``(Y, X)`` masks to one mask a class, which keep both cells where they overlap.

    Returns ``(classes, Y, X)`` uint8: 1 where a class is present, the background where none is; and
    ``(Y, X)`` uint8: 0 where either mask is `IGNORED`.
    """
    numbers = np.arange(classes, dtype=np.uint8)[:, None, None]
    present = ((first == numbers) | (second == numbers)).astype(np.uint8)
    present[0] = (first == 0) & (second == 0)
    known = (first != IGNORED) & (second != IGNORED)
    return present, known.astype(np.uint8)


def _check_shapes(name: str, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> None:
    if first.shape != second.shape:
        raise ValueError(
            f"the {name}' shapes are {first.shape} and {second.shape}; crop both to one size"
        )
