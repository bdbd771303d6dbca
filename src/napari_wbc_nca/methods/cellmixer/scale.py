"""Estimation of the diameter of typical cells, of all classes and in an image."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from napari_wbc_nca.methods.cellmixer.predict import class_maps
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from torch import nn

    from napari_wbc_nca.methods.cellmixer.params import CellmixerParams
    from napari_wbc_nca.methods.cellmixer.samples import HomogeneousPicture
    from napari_wbc_nca.methods.field import Field
    from napari_wbc_nca.types import Checkpoint


_SMALLEST = 3.0
"""Diameter in pixels of the smallest piece that is measured."""


def piece_diameters(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Measure each piece of a mask at its thickest place, so that a clump counts as a cell.

    Pieces that the border cuts are left out, unless there are no others.

    Examples
    --------
    >>> disk = np.hypot(*np.mgrid[-15:16, -15:16]) < 8
    >>> abs(piece_diameters(disk)[0] - 16) < 1
    np.True_
    """
    pieces, count = ndi.label(mask)
    if not count:
        return np.zeros(0)
    depth = ndi.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    found = 2 * np.asarray(ndi.maximum(depth, pieces, np.arange(1, count + 1))) - 1
    edges = (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1])
    cut = np.unique(np.concatenate(edges))
    whole = ~np.isin(np.arange(1, count + 1), cut)
    kept = found[whole & (found >= _SMALLEST)]
    return np.asarray(kept if len(kept) else found[found >= _SMALLEST])


def diameters(pictures: Sequence[HomogeneousPicture], classes: Sequence[str]) -> dict[str, float]:
    """Measure the typical diameter in model pixels of each class's cells, from their foreground."""
    found: Mapping[str, list[Any]] = {name: [] for name in classes[1:]}
    for picture in pictures:
        name = classes[picture.number]
        found[name].extend(piece_diameters(picture.mask == picture.number))
    return {
        name: float(np.median(values)) if values else _SMALLEST for name, values in found.items()
    }


_LADDER = tuple(1.2**rung for rung in range(1, 11))
"""Diameters of a cell that a field's shorter side is tried to hold."""
_OTHERS = 0.2
"""Share of the cells' area that the kinds smaller than the largest have at least in a field."""
_TRACE = 0.01
"""Share of theirs where there are none, so that scores of the largest alone still differ."""
_STEP = 1.25  # largest ratio of two estimates that follow each other
_ROUNDS = 2


def search_diameter(
    field: Field, network: nn.Module, checkpoint: Checkpoint, params: CellmixerParams
) -> Generator[Progress, None, float]:
    """Estimate the diameter in image pixels by the scale at which cells are as in training.

    Of several scales, that at which the cells of each class are as large as the model knows them,
    and the classes are most certain.
    """
    shorter = min(field.source_shape)
    guesses = [shorter / count for count in _LADDER]
    best = (-1.0, checkpoint.diameter, 1.0)
    for number, guess in enumerate(guesses):
        yield Progress(number, len(guesses), "Estimating the scale")
        score, ratio = yield from _measure(field, guess, network, checkpoint, params)
        best = max(best, (score, guess, ratio))
    for _ in range(_ROUNDS):
        score, diameter, ratio = best
        guess = diameter * min(max(ratio, 1 / _STEP), _STEP)
        found, ratio = yield from _measure(field, guess, network, checkpoint, params)
        if found <= score:
            break
        best = (found, guess, ratio)
    return float(best[1])


def _measure(
    field: Field, guess: float, network: nn.Module, checkpoint: Checkpoint, params: CellmixerParams
) -> Generator[Progress, None, tuple[float, float]]:
    """Score a diameter of cells, and measure by which factor the cells are larger."""
    view = field.rescaled(guess / checkpoint.diameter)
    quick = replace(params, overlap=0.0)
    maps = yield from class_maps(network, view, checkpoint, quick, lazy=False)
    top = np.argmax(maps, axis=0)
    certainty = np.max(maps, axis=0)
    known = checkpoint.card["diameters"]
    logs, areas = {}, {}
    for number, name in enumerate(checkpoint.classes[1:], start=1):
        found = piece_diameters(top == number)
        if len(found):
            logs[name] = float(np.log(np.median(found) / known[name]))
            areas[name] = int(np.count_nonzero(top == number))
    if not logs:
        return 0.0, 1.0
    # Each class counts the same: where red cells pass for white ones, these cover most of the field
    # and fit, and the few that are left of the red ones do not.
    ratios = np.array(list(logs.values()))
    fit = float(certainty[top > 0].mean() * np.exp(-np.abs(ratios).mean()))
    share = len(logs) / len(known)
    return share * _mixed(areas, known) * fit, float(np.exp(ratios.mean()))


def _mixed(areas: Mapping[str, int], known: Mapping[str, float]) -> float:
    """Score up to 1 whether the smaller kinds have their share of a field."""
    # At too fine a scale all cells are taken for the largest kind.
    smaller = [name for name, size in known.items() if size < max(known.values())]
    if not smaller:
        return 1.0
    share = sum(areas.get(name, 0) for name in smaller) / sum(areas.values())
    return min(1.0, max(share, _TRACE) / _OTHERS)
