"""GeoJSON geometries of cells, in pixels of full resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io.export.items import ExportError

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
