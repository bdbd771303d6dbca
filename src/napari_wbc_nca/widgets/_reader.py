"""Opens what ``segment`` wrote: labels with their table, or all that belongs to an image."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import tifffile

from napari_wbc_nca.io import images
from napari_wbc_nca.widgets._colours import class_colours, colormap
from napari_wbc_nca.widgets._planes import OURS

if TYPE_CHECKING:
    from napari.types import LayerDataTuple

ENDINGS = {"cell": "_labels.tif", "nucleus": "_nuclei.tif"}
TABLE, RECORD = "_cells.csv", ".json"
PROGRAM = "napari-wbc-nca"
LARGEST_RECORD = 2**20
"""Bytes above which a JSON file is none of ours, and is not read."""

Reader = Callable[[str | Sequence[str]], "list[LayerDataTuple]"]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Reader of one of our outputs; None for everything else.

    A label image and a table are ours where the other one lies beside it, a JSON file where it
    says so.
    """
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(_is_ours(Path(one)) for one in paths) else None


def read(path: str | Sequence[str]) -> list[LayerDataTuple]:
    """Layers of our outputs; see :func:`get_reader`."""
    paths = [path] if isinstance(path, str) else list(path)
    return [layer for one in paths for layer in _read(Path(one))]


def _is_ours(path: Path) -> bool:
    if path.suffix.lower() == RECORD:
        return record(path) is not None
    return _beside(path, ENDINGS["cell"]).exists() and _beside(path, TABLE).exists()


def _read(path: Path) -> list[LayerDataTuple]:
    for name, ending in ENDINGS.items():
        if path.name.endswith(ending):
            return [_labels(path, name)]
    if path.name.endswith(TABLE):
        return [_labels(_beside(path, ENDINGS["cell"]), "cell")]
    return _whole(path)


def _whole(path: Path) -> list[LayerDataTuple]:
    """Image and labels that a record belongs to, at the scale it knows."""
    found = record(path) or {}
    image, size = found.get("input", {}), found.get("parameters", {}).get("pixel_size")
    size = size or image.get("pixel_size")
    place = {"scale": (size, size), "units": ("um", "um")} if size else {}
    layers: list[LayerDataTuple] = []
    source = _source(path, image.get("source"))
    if source is not None:
        layers.append((images.read(source).pixels, {"name": source.stem, **place}, "image"))
    for name, ending in ENDINGS.items():
        if (file := _beside(path, ending)).exists():
            data, options, kind = _labels(file, name)
            layers.append((data, {**options, **place}, kind))
    return layers


def _labels(path: Path, name: str) -> LayerDataTuple:
    """Labels as they lie on the image's pixels, with the table as their features."""
    options: dict[str, Any] = {"name": path.stem, "opacity": 0.5, "metadata": {OURS: {}}}
    table_path = _beside(path, TABLE)
    if table_path.exists():
        table = pd.read_csv(table_path)
        table.insert(0, "index", table["label"])
        options |= {"features": table, "colormap": colormap(table, class_colours(table))}
    return tifffile.imread(path).astype(np.uint32), options, "labels"


def record(path: Path) -> dict[str, Any] | None:
    """Provenance in a JSON file; None where it is none of ours."""
    if not path.is_file() or path.stat().st_size > LARGEST_RECORD:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    if isinstance(found, dict) and str(found.get("program", "")).startswith(PROGRAM):
        return found
    return None


def _beside(path: Path, ending: str) -> Path:
    """Output with another ending that belongs to the same image."""
    for known in (*ENDINGS.values(), TABLE, RECORD):
        if path.name.endswith(known):
            return path.with_name(path.name.removesuffix(known) + ending)
    return path.with_name(path.name + ending)


def _source(path: Path, source: str | None) -> Path | None:
    """Image of a record: where it was, or beside the record; None where it is gone."""
    if source is None:
        return None
    places = (Path(source), path.with_name(Path(source).name))
    return next((place for place in places if place.exists()), None)
