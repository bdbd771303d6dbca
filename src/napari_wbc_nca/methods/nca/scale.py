"""How large a white blood cell is in an image: given, computed, or estimated."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from napari_wbc_nca.cell_types import CELL_TO_BOX
from napari_wbc_nca.io.images import check
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.methods.field import Field, Part, finer_part
from napari_wbc_nca.methods.nca.locate import dense, nested
from napari_wbc_nca.methods.nca.network import build
from napari_wbc_nca.ops.growth import grow_region, response_seed

if TYPE_CHECKING:
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.models.nca import NCA
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint, Image


_COARSE = 100  # shorter side of the first look at a field, in model pixels
_SAMPLED = 256  # side of the parts that are looked at in a large field, in model pixels
_ROUNDS = 4
_SETTLED = 1.12  # ratio of two estimates that counts as the same
_SURE = 0.7  # least mean probability of a region that is measured
_CENTRAL = 0.15  # distance from the middle of a crop, in sides, that counts little
_SMALLEST = 8.0  # fine pixels
_LEAK = 1.1  # ratio of a grown diameter to the marked one above which growth took neighbours in
_FINEST = 12.0  # least diameter in image pixels that is looked for


def estimate(
    image: Image, checkpoint: Checkpoint, params: NcaParams
) -> Generator[Progress, None, float]:
    """Diameter in image pixels that a run with these parameters uses."""
    check(image)
    network = build(checkpoint, params.device)
    field = Field(to_rgb(image.pixels), 1, checkpoint.normalisation)
    return (yield from image_diameter(field, image.pixel_size, network, checkpoint, params, None))


def image_diameter(
    field: Field,
    pixel_size: float | None,
    network: NCA,
    checkpoint: Checkpoint,
    params: NcaParams,
    boxes: npt.NDArray[Any] | None,
) -> Generator[Progress, None, float]:
    """Diameter as given, else by the pixel size, else by the boxes, else estimated.

    The estimate looks at the field coarsely, measures what the network takes for white blood
    cells, and looks again at the scale so found, until that changes no more. Where nothing is
    found it looks twice as finely. What the response marks steers the search, since growth takes
    neighbours in where the scale is wrong; the grown cells are measured in the end.
    """
    if params.diameter:
        return params.diameter
    size = params.pixel_size or pixel_size
    if size:
        return checkpoint.diameter * checkpoint.pixel_size / size
    if boxes is not None and len(boxes):
        sides = np.asarray(boxes, float)[:, 2:] - np.asarray(boxes, float)[:, :2]
        return CELL_TO_BOX * float(np.median(np.sqrt(sides.prod(1))))
    first = checkpoint.diameter * min(field.source_shape) / _COARSE
    guess, found = max(first, _FINEST), None
    for number in range(_ROUNDS):
        measured = yield from _measure(field, guess, network, checkpoint, params, number)
        if measured is None:
            if found is not None or guess <= _FINEST:
                break
            guess = max(guess / 2, _FINEST)
            continue
        settled = max(measured.marked / guess, guess / measured.marked) < _SETTLED
        guess, found = measured
        if settled:
            break
    return found or first


class Diameters(NamedTuple):
    """Typical diameters of what the response marks, and of the cells grown from it."""

    marked: float
    grown: float


def _measure(
    field: Field,
    guess: float,
    network: NCA,
    checkpoint: Checkpoint,
    params: NcaParams,
    number: int,
) -> Generator[Progress, None, Diameters | None]:
    """Typical diameters of what round `number` finds, which takes cells to be `guess` wide."""
    view = field.rescaled(guess / checkpoint.diameter)
    fine = view.finer()
    found = [np.empty((0, 3))]
    parts = sampled(view.shape)
    for done, part in enumerate(parts, number * len(parts)):
        steps = dense(network, view, part, params.seed, params.fire_rate)
        whole = _ROUNDS * len(parts)
        probability = yield from nested(steps, done, whole, "Estimating the scale")
        around = finer_part(part, fine.shape)
        response = view.interpolate(probability, part, fine.factor, around)
        density = fine.read(around).numpy().transpose(1, 2, 0)
        found.append(_regions(response, density, central=params.locate == "whole"))
    marked, grown, weight = np.concatenate(found).T
    if not weight.any() or typical(marked, weight) <= _SMALLEST:
        return None
    return Diameters(typical(marked, weight) * fine.factor, typical(grown, weight) * fine.factor)


def typical(values: npt.NDArray[Any], weights: npt.NDArray[Any]) -> float:
    """Weighted median."""
    return float(np.quantile(values, 0.5, weights=weights, method="inverted_cdf"))


def _regions(
    response: npt.NDArray[Any], density: npt.NDArray[Any], central: bool
) -> npt.NDArray[np.float64]:
    """``(N, 3)`` marked and grown diameter in fine pixels, and weight, of each grown region."""
    regions, count = ndi.label(ndi.binary_fill_holes(grow_region(response, density)))
    index = np.arange(1, count + 1)
    area = ndi.sum(regions > 0, regions, index)
    inner = np.sqrt(
        4 * ndi.sum(ndi.binary_fill_holes(response_seed(response)), regions, index) / np.pi
    )
    outer = np.sqrt(4 * area / np.pi)
    if not central:
        outer = np.where(outer > _LEAK * inner, inner, outer)
    sure = ndi.sum(response**2, regions, index) / (ndi.sum(response, regions, index) + 1e-9)
    weight = area * sure**4 * (sure > _SURE)
    if central:
        middle = np.asarray(ndi.center_of_mass(regions > 0, regions, index)).reshape(-1, 2)
        away = np.hypot(*(middle / response.shape - 0.5).T)
        weight = weight * np.exp(-((away / _CENTRAL) ** 2))
    return np.stack([inner, outer, weight], -1).reshape(-1, 3)


def sampled(shape: tuple[int, int]) -> list[Part]:
    """The whole field where it is small, else nine parts spread evenly over it."""
    if max(shape) <= 3 * _SAMPLED:
        return [(range(shape[0]), range(shape[1]))]
    spans = [
        sorted({max(0, round(f * (size - _SAMPLED))) for f in (0.0, 0.5, 1.0)}) for size in shape
    ]
    return [
        (range(y, min(y + _SAMPLED, shape[0])), range(x, min(x + _SAMPLED, shape[1])))
        for y in spans[0]
        for x in spans[1]
    ]
