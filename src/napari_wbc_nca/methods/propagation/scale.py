"""Estimation of the diameter of white blood cells by a detector."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from napari_wbc_nca.methods.propagation.detect import likelihood, sigma_of
from napari_wbc_nca.methods.scale import FINEST, sample_parts, weighted_median
from napari_wbc_nca.ops.centroids import find_peaks
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field
    from napari_wbc_nca.methods.propagation.params import PropagationParams
    from napari_wbc_nca.models.unet import UNet
    from napari_wbc_nca.types import Checkpoint

_SHORT = (64, 112, 196, 343, 600, 1050)  # shorter sides of a field that are tried, in model px
_LEAST = 0.3  # likelihood of a peak whose width is measured
_FAINT = 0.2  # likelihood of a peak that counts for the certainty of a scale
_GOOD = 0.3  # score of a scale after which worse ones may end the search
_SPREAD = 0.5  # deviation of the logarithm of a size at which a score is 0.6 of its best
_WORSE = 2  # finer scales that are worse than the best, after which there are no more
_ROUNDS = 2  # refinements of the best scale


def search_diameter(
    field: Field, network: UNet, checkpoint: Checkpoint, params: PropagationParams
) -> Generator[Progress, None, float]:
    """Estimate the diameter in image pixels from the widths of the peaks of the likelihood.

    Detectors are trained with Gaussians that grow with the cells: how wide their peaks are gives
    how far a field is from their scale. Fields from coarse to fine are scored; that whose peaks
    are surest and most like those of training is refined.
    """
    guesses = list(_guesses(field.source_shape, checkpoint.diameter))
    best, diameter, at = 0.0, guesses[0], 0
    for number, guess in enumerate(guesses):
        if best > _GOOD and number - at > _WORSE:
            break
        report = Progress(number, len(guesses) + _ROUNDS, "Estimating the scale")
        score, found = yield from _measure(field, guess, network, checkpoint, report)
        if score > best:
            best, diameter, at = score, found, number
    for number in range(_ROUNDS if best else 0):
        report = Progress(len(guesses) + number, len(guesses) + _ROUNDS, "Estimating the scale")
        _, diameter = yield from _measure(field, diameter, network, checkpoint, report)
    return diameter


def _guesses(shape: tuple[int, int], diameter: float) -> Iterator[float]:
    """Return diameters in image pixels that are tried, from large to small."""
    yield max(diameter * min(shape) / _SHORT[0], FINEST)
    for short in _SHORT[1:]:
        guess = diameter * min(shape) / short
        if guess < FINEST:
            return
        yield guess


def _measure(
    field: Field, guess: float, network: UNet, checkpoint: Checkpoint, report: Progress
) -> Generator[Progress, None, tuple[float, float]]:
    """Score a diameter of cells, and measure the one that the peaks there stand for.

    All peaks count for the score, also those too close to others to be measured: at a wrong
    scale a few cells can look just like others, but not most of them.
    """
    view = field.rescaled(guess / checkpoint.diameter)
    sigma = sigma_of(checkpoint)
    found: list[tuple[float, float]] = []
    heights: list[float] = []
    yield report
    for part in sample_parts(view.shape):
        for values in likelihood(network, view, part):
            found += widths(values, sigma)
            heights += values[tuple(find_peaks(values, _FAINT, sigma / 2).T)].tolist()
        yield report
    if not found:
        return 0.0, guess
    ratios, weights = np.asarray(found).T
    ratio = weighted_median(ratios, weights) / checkpoint.card.get("width", 1.0)
    certainty = float(np.square(heights).sum() / np.sum(heights))
    return certainty * float(np.exp(-0.5 * (np.log(ratio) / _SPREAD) ** 2)), guess * ratio


def widths(values: npt.NDArray[Any], sigma: float) -> list[tuple[float, float]]:
    r"""Measure the width of each peak relative to `sigma`, and its height.

    A Gaussian is above half its height on :math:`2π \ln 2 \, σ^2` pixels. Peaks that run
    together above half their height are left out.
    """
    places = find_peaks(values, _LEAST, sigma / 2)
    found = []
    for y, x in places.tolist():
        reach = int(3 * sigma) + 1
        part = values[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        middle = (min(y, reach), min(x, reach))
        regions, _ = ndi.label(part > values[y, x] / 2)
        own = regions == regions[middle]
        if own[[0, -1]].any() or own[:, [0, -1]].any():
            continue
        width = np.sqrt(np.count_nonzero(own) / (2 * np.pi * np.log(2)))
        found.append((float(width / sigma), float(values[y, x])))
    return found
