"""QuPath: one GeoJSON of classified polygons for each image, in pixels of full resolution.

Dropped on the image in QuPath it gives annotations; unreviewed pixels are one of class
``Ignore*``, which QuPath's classifiers leave out. Of foreign files cells, detections, annotations
and points become cells, nuclei are kept, and regions around cells are left out.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_wbc_nca.formats import files
from napari_wbc_nca.formats.geometry import (
    GEOJSON,
    CellShape,
    import_shapes,
    read_features,
    split_geometry,
    to_geometry,
)
from napari_wbc_nca.formats.items import CellRow, Item
from napari_wbc_nca.ops.outlines import Polygon, trace_outlines

IGNORE = "Ignore*"
"""QuPath's class of areas that are neither cells nor background."""
_GREY = (180, 180, 180)
_CELLS = ("cell", "detection")
_CONTAINERS = ("tile", "root", "tmacore", "tma_core")
"""Types of objects that are cells, and that never are."""


def write(items: Sequence[Item], classes: Sequence[str], folder: Path) -> None:
    """Write a file for each image, in a folder for each split."""
    palette = files.class_rgb(classes)
    for one in items:
        shapes = trace_outlines(one.labels)
        features = [
            _feature(one.name, cell, to_geometry(shapes[cell.label]), palette[cell.kind])
            for cell in one.rows()
        ]
        if one.ignore is not None and one.ignore.any():
            shape = to_geometry(trace_outlines(one.ignore.astype(np.uint8))[1])
            region = _feature(one.name, CellRow(0, IGNORE, "", {}), shape, _GREY)
            region["properties"]["name"] = "not reviewed"
            features.append(region)
        content = {"type": "FeatureCollection", "features": features}
        files.write_json(files.make_folder(folder / one.split) / f"{one.name}{GEOJSON}", content)


def _feature(
    image: str, cell: CellRow, shape: dict[str, Any], colour: tuple[int, int, int]
) -> dict[str, Any]:
    measured = {k: v for k, v in cell.others.items() if isinstance(v, (int, float))}
    texts = {k: str(v) for k, v in cell.others.items() if k not in measured}
    properties = {
        "objectType": "annotation",
        "name": str(cell.label),
        "classification": {"name": cell.kind, "color": colour},
        "isLocked": False,
        "metadata": ({"origin": cell.origin} if cell.origin else {}) | texts,
        **({"measurements": measured} if measured else {}),
    }
    known = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{image} {cell.label or 'not reviewed'}"))
    return {"type": "Feature", "id": known, "geometry": shape, "properties": properties}


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Read a folder of files, or one."""
    hint = f"no {GEOJSON} file; export the annotations from QuPath as GeoJSON"
    return [
        _read(file, pixels) for file in files.find_files(path, [f"**/*{GEOJSON}", "*.json"], hint)
    ]


def _read(path: Path, pixels: Any) -> Item:
    shapes: list[tuple[str, CellShape]] = []
    hidden: list[Polygon] = []
    left_out: Counter[str] = Counter()
    for feature in read_features(path):
        polygons, points = split_geometry(feature.get("geometry"), str(path))
        properties = feature.get("properties") or {}
        kind, nature = _class_name(properties), _object_type(feature)
        if kind == IGNORE:
            hidden += polygons
        elif nature in _CONTAINERS or kind.endswith("*"):
            left_out[f"of type {nature or 'annotation'} that hold cells"] += 1
        elif not polygons and not points:
            shape = (feature.get("geometry") or {}).get("type") or "no geometry"
            left_out[f"with {shape}, which has no area,"] += 1
        else:
            nucleus, _ = split_geometry(feature.get("nucleusGeometry"), str(path))
            name = str(properties.get("name") or "")
            label = int(name) if name.isdecimal() else 0
            others = _columns(properties)
            shapes.append((nature, CellShape(kind, polygons, points, label, nucleus, others)))
    if any(shape.polygons for _, shape in shapes):
        named = [(nature, shape) for nature, shape in shapes if shape.polygons or shape.kind]
        unnamed = len(shapes) - len(named)
        left_out["that are points without a class beside outlined cells"] += unnamed
        shapes = named
    regions = _find_regions(shapes)
    left_out["around other cells, such as regions,"] += len(regions)
    cells = [shape for number, (_, shape) in enumerate(shapes) if number not in regions]
    return import_shapes(path, cells, hidden, +left_out, pixels)


def _object_type(feature: Mapping[str, Any]) -> str:
    """Type of an object, which older versions write as its id."""
    properties = feature.get("properties") or {}
    found = properties.get("objectType") or properties.get("object_type") or feature.get("id")
    return str(found).lower().removeprefix("path").removesuffix("object")


def _class_name(properties: Mapping[str, Any]) -> str:
    """Read the class of an object, which is a text, a list of them, or has a colour."""
    found = properties.get("classification")
    if isinstance(found, Mapping):
        found = found.get("names") or found.get("name")
    names = found if isinstance(found, list) else [found]
    return ": ".join(str(name) for name in names if name)


def _columns(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Read metadata and measurements, which older versions list as pairs."""
    measured, metadata = (properties.get(name) for name in ("measurements", "metadata"))
    if isinstance(measured, list):
        pairs = [pair for pair in measured if isinstance(pair, Mapping)]
        measured = {str(pair.get("name")): pair.get("value") for pair in pairs}
    parts = (part for part in (metadata, measured) if isinstance(part, Mapping))
    found = {name: value for part in parts for name, value in part.items()}
    return {name: value for name, value in found.items() if name not in ("label", "class")}


def _find_regions(shapes: Sequence[tuple[str, CellShape]]) -> set[int]:
    """Find annotations around a cell, or around two other annotations, by their centres."""
    from skimage.measure import points_in_poly

    placed = [
        (n, nature, shape.polygons[0][0])
        for n, (nature, shape) in enumerate(shapes)
        if shape.polygons
    ]
    if not placed:
        return set()
    low, high = (np.array([f(ring, axis=0) for *_, ring in placed]) for f in (np.min, np.max))
    centres = (low + high) / 2
    order = np.argsort(centres[:, 0], kind="stable")
    found = set()
    for at, (number, nature, ring) in enumerate(placed):
        if nature in _CELLS or "origin" in shapes[number][1].others:
            continue
        first, last = np.searchsorted(centres[order, 0], [low[at, 0], high[at, 0]])
        near = order[first:last]
        near = near[
            (near != at) & (np.abs(centres[near, 1] - centres[at, 1]) < np.ptp(ring[:, 1]) / 2)
        ]
        smaller = near[np.prod(high[near] - low[near], axis=1) < np.prod(high[at] - low[at])]
        inside = smaller[points_in_poly(centres[smaller], ring)] if len(smaller) else smaller
        if len(inside) > 1 or any(placed[n][1] in _CELLS for n in inside):
            found.add(number)
    return found
