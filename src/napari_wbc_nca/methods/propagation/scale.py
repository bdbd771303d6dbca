"""How large a white blood cell is in an image: given, computed, or estimated."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from napari_wbc_nca.cell_types import CELL_TO_BOX
from napari_wbc_nca.io.images import in_colours
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.methods.nca.scale import sampled, typical
from napari_wbc_nca.methods.propagation.detect import likelihood, view_of
from napari_wbc_nca.methods.propagation.network import (
    load,
    scaled_by_cells,
    sigma_of,
    width_of,
)
from napari_wbc_nca.ops.centroids import find_peaks
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Checkpoint, Image

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field
    from napari_wbc_nca.methods.propagation.params import PropagationParams
    from napari_wbc_nca.models.unet import UNet

_SHORT = (64, 112, 196, 343, 600, 1050)  # shorter sides of a field that are tried, in model px
_FINEST = 12.0  # least diameter in image pixels that is looked for
_LEAST = 0.3  # likelihood of a peak whose width is measured
_FAINT = 0.2  # likelihood of a peak that counts for how sure a look is
_GOOD = 0.3  # how good a look is after which worse ones may end the search
_SPREAD = 0.5  # deviation of the logarithm of a size at which a look is worth 0.6 of its best
_WORSE = 2  # finer looks that are worse than the best, after which there are no more
_ROUNDS = 2  # looks at the scale that was found


def estimate(
    image: Image, checkpoint: Checkpoint, params: PropagationParams
) -> Generator[Progress, None, float]:
    """Diameter in image pixels that a run with these parameters uses."""
    image = in_colours(image)
    network = load(checkpoint, params.device)
    rgb = to_rgb(image.pixels)
    return (yield from image_diameter(image, rgb, network, checkpoint, params))


def image_diameter(
    image: Image,
    rgb: Any,
    network: UNet,
    checkpoint: Checkpoint,
    params: PropagationParams,
    boxes: Any = None,
) -> Generator[Progress, None, float]:
    """Diameter as given, else by the pixel size, else by the boxes, else estimated.

    A detector whose pictures kept their scale sees an image as it is, unless the diameter is
    given. Others were trained with Gaussians that grow with the cells: how wide their peaks are
    tells how far a look is from their scale. The field is looked at from coarse to fine, and the
    look whose peaks are surest and most like those of training is followed up.

    Parameters
    ----------
    image, rgb
        The field, and its colours in 0–255.
    network, checkpoint
        Of the detector.
    params
        May tell the diameter or the size of a pixel.
    boxes
        ``(N, 4)`` in pixels, where the user drew some.
    """
    if params.diameter:
        return params.diameter
    if not scaled_by_cells(checkpoint):
        return checkpoint.diameter
    size = params.pixel_size or image.pixel_size
    if size:
        return checkpoint.diameter * checkpoint.pixel_size / size
    if boxes is not None and len(boxes):
        sides = np.asarray(boxes, float)[:, 2:] - np.asarray(boxes, float)[:, :2]
        return CELL_TO_BOX * float(np.median(np.sqrt(sides.prod(1))))
    return (yield from _estimated(view_of(rgb, 1, checkpoint.normalisation), network, checkpoint))


def _estimated(
    field: Field, network: UNet, checkpoint: Checkpoint
) -> Generator[Progress, None, float]:
    """Best diameter among several looks, made finer by looking there again."""
    looks = list(_looks(field.source_shape, checkpoint.diameter))
    best, diameter, at = 0.0, looks[0], 0
    for number, guess in enumerate(looks):
        if best > _GOOD and number - at > _WORSE:
            break
        yield Progress(number, len(looks) + _ROUNDS, "Estimating the scale")
        score, found = _measure(field, guess, network, checkpoint)
        if score > best:
            best, diameter, at = score, found, number
    for number in range(_ROUNDS if best else 0):
        yield Progress(len(looks) + number, len(looks) + _ROUNDS, "Estimating the scale")
        _, diameter = _measure(field, diameter, network, checkpoint)
    return diameter


def _looks(shape: tuple[int, int], diameter: float) -> Iterator[float]:
    """Diameters in image pixels to begin with, from large to small."""
    yield max(diameter * min(shape) / _SHORT[0], _FINEST)
    for short in _SHORT[1:]:
        guess = diameter * min(shape) / short
        if guess < _FINEST:
            return
        yield guess


def _measure(
    field: Field, guess: float, network: UNet, checkpoint: Checkpoint
) -> tuple[float, float]:
    """How good a look is that takes cells to be `guess` wide, and how wide they seem there.

    All peaks count for how sure the look is, also those too close to others to be measured: at a
    wrong scale a few cells can look just like others, but not most of them.
    """
    view = field.rescaled(guess / checkpoint.diameter)
    sigma = sigma_of(checkpoint)
    found: list[tuple[float, float]] = []
    heights: list[float] = []
    for part in sampled(view.shape):
        for values in likelihood(network, view, part):
            found += widths(values, sigma)
            heights += values[tuple(find_peaks(values, _FAINT, sigma / 2).T)].tolist()
    if not found:
        return 0.0, guess
    ratios, weights = np.asarray(found).T
    ratio = typical(ratios, weights) / width_of(checkpoint)
    sure = float(np.square(heights).sum() / np.sum(heights))
    return sure * float(np.exp(-0.5 * (np.log(ratio) / _SPREAD) ** 2)), guess * ratio


def widths(values: npt.NDArray[Any], sigma: float) -> list[tuple[float, float]]:
    r"""Width of each peak relative to `sigma`, and its height.

    A Gaussian is above half its height on :math:`2π \ln 2 \, σ^2` pixels. Peaks that run
    together above half their height tell nothing.
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
