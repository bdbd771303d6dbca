"""QuPath: one GeoJSON of classified polygons for each image, in pixels of full resolution.

Dropped on the image in QuPath it gives annotations; what nobody reviewed is one of class
``Ignore*``, which QuPath's classifiers leave out.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_wbc_nca.cell_types import WBC, colours
from napari_wbc_nca.cell_types import rgb as numbers
from napari_wbc_nca.formats.files import made, read_json, size_of, write_json
from napari_wbc_nca.formats.geometry import geometry, polygons_of
from napari_wbc_nca.formats.items import ExportError, Item, item
from napari_wbc_nca.ops.outlines import fill_polygons, trace_outlines

if TYPE_CHECKING:
    from napari_wbc_nca.formats.params import ExportParams

IGNORE = "Ignore*"
"""QuPath's own class of what is neither a cell nor background."""
END = ".geojson"
_GREY = [180, 180, 180]


def write(
    items: Sequence[Item], classes: Sequence[str], folder: Path, params: ExportParams
) -> None:
    """Write a file for each image, in a folder for each split."""
    palette = {name: list(numbers(colour)) for name, colour in colours(classes).items()}
    for one in items:
        shapes = trace_outlines(one.labels)
        features = [
            _feature(one.name, str(label), geometry(shapes[label]), (name, palette[name]), origin)
            for label, name, origin in one.cells.itertuples(index=False)
        ]
        if one.ignore is not None and one.ignore.any():
            shape = geometry(trace_outlines(one.ignore.astype(np.uint8))[1])
            features.append(_feature(one.name, "not reviewed", shape, (IGNORE, _GREY), ""))
        content = {"type": "FeatureCollection", "features": features}
        write_json(made(folder / one.split) / f"{one.name}{END}", content)


def _feature(
    image: str, name: str, shape: dict[str, Any], kind: tuple[str, Sequence[int]], origin: str
) -> dict[str, Any]:
    properties = {
        "objectType": "annotation",
        "name": name,
        "classification": {"name": kind[0], "color": kind[1]},
        "isLocked": False,
        "metadata": {"origin": origin} if origin else {},
    }
    known = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{image} {name}"))
    return {"type": "Feature", "id": known, "geometry": shape, "properties": properties}


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Items of a folder of files, or of one.

    Parameters
    ----------
    path
        Folder or file.
    pixels
        Of the image, which says how large the labels are; else the provenance beside the file
        does, else they reach as far as the polygons.
    """
    files = [path] if path.is_file() else sorted(path.rglob(f"*{END}"))
    if not files:
        raise ExportError(f"{path}: no {END} file; export the annotations from QuPath as GeoJSON")
    return [_read(file, pixels) for file in files]


def features(path: Path) -> list[Mapping[str, Any]]:
    """Features of a GeoJSON file, however they are collected."""
    content = read_json(path)
    if isinstance(content, dict):
        content = content.get("features", [content])
    if not isinstance(content, list) or not all(isinstance(some, dict) for some in content):
        raise ExportError(f"{path}: expected a FeatureCollection of polygons")
    return content


def _read(path: Path, pixels: Any) -> Item:
    found = [(some, polygons_of(some.get("geometry"), str(path))) for some in features(path)]
    named = [(_properties(some), polygons) for some, polygons in found if polygons]
    cells = [(own, polygons) for own, polygons in named if own["class"] != IGNORE]
    labels = _labels([own["name"] for own, _ in cells])
    rings = [ring for _, some in named for polygon in some for ring in polygon]
    image = fill_polygons(
        [polygon for _, polygons in cells for polygon in polygons],
        [label for label, (_, some) in zip(labels, cells, strict=True) for _ in some],
        size_of(path, pixels, rings),
    )
    rows = [
        (label, own["class"], own["origin"]) for label, (own, _) in zip(labels, cells, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["label", "class", "origin"])
    one = item(path.stem, image, table, pixels)
    left = [polygon for own, some in named if own["class"] == IGNORE for polygon in some]
    if not left:
        return one
    return replace(one, ignore=fill_polygons(left, [1] * len(left), one.shape) > 0)


def _properties(feature: Mapping[str, Any]) -> dict[str, Any]:
    own = feature.get("properties") or {}
    kind = own.get("classification") or {}
    names = kind.get("names") or [kind.get("name") or WBC]
    origin = (own.get("metadata") or {}).get("origin")
    return {"class": ": ".join(names), "name": str(own.get("name") or ""), "origin": origin}


def _labels(names: Sequence[str]) -> list[int]:
    """Labels by which the cells are named, or new ones where they are not."""
    if all(name.isdecimal() and int(name) > 0 for name in names) and len(set(names)) == len(names):
        return [int(name) for name in names]
    return list(range(1, len(names) + 1))
