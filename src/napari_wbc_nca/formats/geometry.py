"""GeoJSON geometries of cells, in pixels of full resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.formats.items import ExportError

if TYPE_CHECKING:
    from napari_wbc_nca.ops.outlines import Polygon


def geometry(polygons: Sequence[Polygon]) -> dict[str, Any]:
    """Polygon, or MultiPolygon of a cell in several pieces; rings are closed, x before y."""
    parts = [[_closed(ring) for ring in polygon] for polygon in polygons]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _closed(ring: Any) -> list[list[int]]:
    corners: list[list[int]] = ring[:, ::-1].tolist()
    return [*corners, corners[0]]


def polygons_of(shape: Mapping[str, Any] | None, where: str) -> list[Polygon]:
    """Polygons of a geometry; none of points and lines, which have no area.

    Raises
    ------
    ExportError
        When its coordinates cannot be read.
    """
    kind = (shape or {}).get("type")
    if shape is None or kind not in ("Polygon", "MultiPolygon", "GeometryCollection"):
        return []
    if kind == "GeometryCollection":
        return [one for part in shape["geometries"] for one in polygons_of(part, where)]
    parts = [shape["coordinates"]] if kind == "Polygon" else shape["coordinates"]
    try:
        return [[np.array(ring, float)[:, 1::-1] for ring in part] for part in parts]
    except (ValueError, IndexError, TypeError) as error:
        raise ExportError(
            f"{where}: the coordinates of a {kind} cannot be read: {error}; export it again"
        ) from error


def encode(numbers: npt.NDArray[Any], count: int) -> list[dict[str, Any]]:
    """Compressed run lengths of each of the cells 1 to `count`, all in one pass.

    Parameters
    ----------
    numbers
        ``(Y, X)`` integers, 0 outside of all cells.
    count
        How many cells there are; each has a pixel.
    """
    from pycocotools import mask

    if not count:
        return []
    height, width = numbers.shape
    start, length, cell = _runs(numbers.ravel(order="F"))
    begin = np.searchsorted(cell, np.arange(1, count + 2))
    gap = start.copy()
    gap[1:] -= (start + length)[:-1]
    gap[begin[:-1]] = start[begin[:-1]]
    pairs = np.stack([gap, length], axis=1)
    rest = height * width - (start + length)[begin[1:] - 1]
    counts = [
        [*pairs[a:b].ravel().tolist(), *([left] if left else [])]
        for a, b, left in zip(begin[:-1], begin[1:], rest.tolist(), strict=True)
    ]
    found = mask.frPyObjects(
        [{"counts": some, "size": [height, width]} for some in counts], height, width
    )
    return [{"size": one["size"], "counts": one["counts"].decode("ascii")} for one in found]


def _runs(flat: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Start, length and number of every run above 0, by number, then start."""
    start = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    length = np.diff(np.append(start, len(flat)))
    cell = flat[start]
    order = np.argsort(cell, kind="stable")
    order = order[cell[order] > 0]
    return start[order], length[order], cell[order]


def paint(labels: npt.NDArray[Any], label: int, rle: dict[str, Any]) -> None:
    """Write `label` where `rle` has pixels.

    Parameters
    ----------
    labels
        ``(Y, X)``, changed in place.
    label
        Integer that is written.
    rle
        ``size`` and ``counts``, compressed or not.
    """
    counts = np.asarray(expand(rle["counts"]), np.int64)
    ends = np.cumsum(counts)
    height = labels.shape[0]
    for stop, length in zip(ends[1::2].tolist(), counts[1::2].tolist(), strict=True):
        at = np.arange(stop - length, stop)
        labels[at % height, at // height] = label


def expand(counts: str | bytes | Sequence[int]) -> Sequence[int]:
    """Run lengths of COCO's compressed text: six bits a character, each two back the origin."""
    if not isinstance(counts, str | bytes):
        return counts
    text = counts.encode("ascii") if isinstance(counts, str) else counts
    found: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value |= -1 << shift
        found.append(value + (found[-2] if len(found) > 2 else 0))
        value = shift = 0
    return found
