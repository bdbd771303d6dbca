"""Estimation of the diameter of white blood cells by an automaton."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from napari_wbc_nca.cell_types import NONE
from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.field import fine_part
from napari_wbc_nca.methods.nca.predict import DETECTOR, cell_probability, part_progress
from napari_wbc_nca.methods.propagation import scale as detector_scale
from napari_wbc_nca.methods.propagation.detect import load_detector
from napari_wbc_nca.methods.propagation.params import PropagationParams
from napari_wbc_nca.methods.scale import FINEST, sample_parts, weighted_median
from napari_wbc_nca.ops.growth import grow_region, response_seed

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.models.nca import NCA
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint

_COARSE = 100  # shorter side of the first field, in model pixels
_ROUNDS = 4
_CONVERGED = 1.12  # ratio of two estimates that counts as the same
_CERTAIN = 0.7  # least mean probability of a region that is measured
_CENTRAL = 0.15  # distance from the middle of a crop, in sides, that counts little
_SMALLEST = 8.0  # fine pixels
_LEAK = 1.1  # ratio of a grown diameter to the marked one above which growth took neighbours in


def search_diameter(
    field: Field, network: NCA, checkpoint: Checkpoint, params: NcaParams
) -> Generator[Progress, None, float]:
    """Estimate the diameter in image pixels from the cells that the network finds.

    A coarse field comes first; the white blood cells found there give the next scale, until it
    changes no more. Where nothing is found the next field is twice as fine. The regions that the
    response marks steer the search, since growth takes neighbours in where the scale is wrong;
    the grown cells are measured in the end.

    A model without the class *none* was trained on crops of one cell, each as large as its window:
    so is a crop that is segmented whole, and in fields the detector estimates the diameter.
    """
    if NONE not in checkpoint.classes:
        if params.locate == "whole":
            return checkpoint.diameter * min(field.source_shape) / checkpoint.window
        return (yield from _detected_diameter(field, params))
    first = checkpoint.diameter * min(field.source_shape) / _COARSE
    guess, found = max(first, FINEST), None
    for number in range(_ROUNDS):
        measured = yield from _measure(field, guess, network, checkpoint, params, number)
        if measured is None:
            if found is not None or guess <= FINEST:
                break
            guess = max(guess / 2, FINEST)
            continue
        converged = max(measured[0] / guess, guess / measured[0]) < _CONVERGED
        guess, found = measured
        if converged:
            break
    return found or first


def _detected_diameter(field: Field, params: NcaParams) -> Generator[Progress, None, float]:
    """Estimate the diameter in image pixels from the cells that the detector finds."""
    detector = model_store.resolve(DETECTOR)
    network = load_detector(detector, params.device)
    own = field.rescaled(field.factor, detector.normalisation)
    chosen = PropagationParams(device=params.device)
    return (yield from detector_scale.search_diameter(own, network, detector, chosen))


def _measure(
    field: Field, guess: float, network: NCA, checkpoint: Checkpoint, params: NcaParams, number: int
) -> Generator[Progress, None, tuple[float, float] | None]:
    """Measure marked and grown diameters in round `number`, for cells `guess` wide."""
    view = field.rescaled(guess / checkpoint.diameter)
    fine = view.fine_density()
    found = [np.empty((0, 3))]
    parts = sample_parts(view.shape)
    for done, part in enumerate(parts, number * len(parts)):
        steps = cell_probability(network, view, part, params.seed, params.fire_rate)
        whole = _ROUNDS * len(parts)
        probability = yield from part_progress(steps, done, whole, "Estimating the scale")
        around = fine_part(part, fine.shape)
        response = view.interpolate(probability, part, fine.factor, around)
        density = fine.read_pixels(around)
        found.append(_regions(response, density, central=params.locate == "whole"))
    marked, grown, weight = np.concatenate(found).T
    if not weight.any() or weighted_median(marked, weight) <= _SMALLEST:
        return None
    first, second = (weighted_median(values, weight) * fine.factor for values in (marked, grown))
    return first, second


def _regions(
    response: npt.NDArray[Any], density: npt.NDArray[Any], central: bool
) -> npt.NDArray[np.float64]:
    """Measure grown regions: ``(N, 3)`` marked and grown diameter, and weight."""
    regions, count = ndi.label(ndi.binary_fill_holes(grow_region(response, density)))
    index = np.arange(1, count + 1)
    area = ndi.sum(regions > 0, regions, index)
    seed = ndi.binary_fill_holes(response_seed(response))
    inner = np.sqrt(4 * ndi.sum(seed, regions, index) / np.pi)
    outer = np.sqrt(4 * area / np.pi)
    if not central:
        outer = np.where(outer > _LEAK * inner, inner, outer)
    certainty = ndi.sum(response**2, regions, index) / (ndi.sum(response, regions, index) + 1e-9)
    weight = area * certainty**4 * (certainty > _CERTAIN)
    if central:
        middle = np.asarray(ndi.center_of_mass(regions > 0, regions, index)).reshape(-1, 2)
        away = np.hypot(*(middle / response.shape - 0.5).T)
        weight = weight * np.exp(-((away / _CENTRAL) ** 2))
    return np.stack([inner, outer, weight], -1).reshape(-1, 3)
