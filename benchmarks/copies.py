"""Copies of a picture that were turned, mirrored, enlarged or shifted before they were published.

The blood smears of one public collection came back in others as augmented training data, so a
split by file name, or even by equal pixels, leaks. Each picture's middle is searched, in its
eight orientations, for in all others at several sizes by normalised cross-correlation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import fft

from napari_wbc_nca.datasets.splits import shrink_to_grey

SIDE = 32  # px to which a picture is shrunk
MIDDLE = 24  # px of it that are searched for, so that shifts and turns leave it whole
SCALES = (32, 34, 36, 38)  # px to which the other picture is shrunk
CANVAS = 48  # px of the Fourier transforms
LEAST = 0.8  # copies reach 0.86-1.00, other smears 0.55-0.77

Array = npt.NDArray[np.float32]


def turned_copies(copies: Sequence[Path], originals: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pairs (copy, original) that show the same cells; a picture is no copy of itself."""
    best = np.zeros((len(copies), len(originals)), np.float32)
    spectra = _spectrum(_middles(copies))
    for scale in SCALES:
        for column, spectrum, norm in _fields(originals, scale):
            product = fft.irfft2(spectrum * spectra.conj(), s=(CANVAS, CANVAS))
            places = slice(scale - MIDDLE + 1)
            score = (product[..., places, places] / norm).max(axis=(1, 2, 3))
            best[:, column] = np.maximum(best[:, column], score)
    pairs = [(copies[row], originals[column]) for row, column in np.argwhere(best >= LEAST)]
    return [pair for pair in pairs if pair[0] != pair[1]]


def _middles(paths: Sequence[Path]) -> Array:
    """``(N, 8, MIDDLE, MIDDLE)``: each picture's middle in its orientations, mean 0, norm 1."""
    whole = np.stack([shrink_to_grey(path, SIDE) for path in paths])
    turned = [np.rot90(p, k, (1, 2)) for p in (whole, whole[:, :, ::-1]) for k in range(4)]
    edge = (SIDE - MIDDLE) // 2
    middles = np.stack(turned, axis=1)[..., edge:-edge, edge:-edge]
    middles = middles - middles.mean(axis=(2, 3), keepdims=True)
    return middles / np.maximum(np.linalg.norm(middles, axis=(2, 3), keepdims=True), 1)


def _fields(
    paths: Sequence[Path], scale: int
) -> Iterator[tuple[int, npt.NDArray[np.complex64], Array]]:
    """Index and spectrum of each picture, and its standard deviation times MIDDLE at each place."""
    box = _spectrum(np.ones((MIDDLE, MIDDLE), np.float32)).conj()
    places = slice(scale - MIDDLE + 1)
    for index, path in enumerate(paths):
        picture = shrink_to_grey(path, scale)
        total, squares = (
            fft.irfft2(_spectrum(power) * box, s=(CANVAS, CANVAS))[places, places]
            for power in (picture, picture**2)
        )
        variance = squares - total**2 / MIDDLE**2
        yield index, _spectrum(picture), np.sqrt(np.maximum(variance, (5 * MIDDLE) ** 2))


def _spectrum(pixels: Array) -> npt.NDArray[np.complex64]:
    spectrum: npt.NDArray[np.complex64] = fft.rfft2(pixels, s=(CANVAS, CANVAS))
    return spectrum
