"""How large the cells of each class are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from napari_wbc_nca.methods.cellmixer.samples import Picture

_SMALLEST = 3.0
"""Diameter in pixels of the smallest piece that is measured."""


def piece_diameters(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Diameter of each piece of a mask by its thickest place, so that a clump counts as a cell.

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


def diameters(pictures: Sequence[Picture], classes: Sequence[str]) -> dict[str, float]:
    """Typical diameter in model pixels of each class's cells, from their foreground."""
    found: Mapping[str, list[Any]] = {name: [] for name in classes[1:]}
    for picture in pictures:
        name = classes[picture.number]
        found[name].extend(piece_diameters(picture.mask == picture.number))
    return {
        name: float(np.median(values)) if values else _SMALLEST for name, values in found.items()
    }
