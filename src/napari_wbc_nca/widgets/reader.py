"""Opens what ``segment`` wrote: labels with their table, or all that belongs to an image."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from napari.utils.notifications import show_warning

from napari_wbc_nca.formats.files import read_cells
from napari_wbc_nca.formats.items import ExportError
from napari_wbc_nca.io import images
from napari_wbc_nca.io.results import LABELS, MAPS, RECORD, SUFFIXES, TABLE, read_map_names
from napari_wbc_nca.widgets.class_colours import class_colours, class_rows, colormap
from napari_wbc_nca.widgets.planes import OURS, SHOWS

if TYPE_CHECKING:
    import pandas as pd
    from napari.types import LayerDataTuple

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
    return _beside(path, LABELS["cell"]).exists() and _beside(path, TABLE).exists()


def _read(path: Path) -> list[LayerDataTuple]:
    for name, ending in LABELS.items():
        if path.name.endswith(ending):
            return [_labels(path, name)]
    if path.name.endswith(TABLE):
        return [_labels(_beside(path, LABELS["cell"]), "cell")]
    return _maps(path) if path.name.endswith(MAPS) else _whole(path)


def _whole(path: Path) -> list[LayerDataTuple]:
    """Image, labels and maps that a record belongs to, at the scale it knows."""
    found = record(path) or {}
    image, size = found.get("input", {}), found.get("parameters", {}).get("pixel_size")
    size = size or image.get("pixel_size")
    place = {"scale": (size, size), "units": ("um", "um")} if size else {}
    layers: list[LayerDataTuple] = []
    source = _source(path, image.get("source"))
    if source is not None:
        layers.append((images.read(source).pixels, {"name": source.stem}, "image"))
    if (file := _beside(path, MAPS)).exists():
        layers += _maps(file)
    for name, ending in LABELS.items():
        if (file := _beside(path, ending)).exists():
            layers.append(_labels(file, name))
    return [(data, {**options, **place}, kind) for data, options, kind in layers]


def _labels(path: Path, name: str) -> LayerDataTuple:
    """Labels as they lie on the image's pixels, with their table as features."""
    made = {OURS: {SHOWS: name, "source_id": str(_beside(path, RECORD))}}
    options: dict[str, Any] = {"name": path.stem, "opacity": 0.5, "metadata": made}
    table = _class_table(path) if name == "class" else _cell_table(path)
    if table is not None:
        options |= {"features": table, "colormap": colormap(table, class_colours(table))}
    return tifffile.imread(path).astype(np.uint32), options, "labels"


def _cell_table(path: Path) -> pd.DataFrame | None:
    """Rows of the cells; None where the table is gone."""
    file = _beside(path, TABLE)
    if not file.exists():
        return None
    try:
        table = read_cells(file)
    except ExportError as error:
        show_warning(f"{error}; the labels are opened without classes")
        return None
    if table is None or "label" not in table:
        show_warning(f"{file}: no column label; the labels are opened without classes")
        return None
    table.insert(0, "index", table["label"])
    return table


def _class_table(path: Path) -> pd.DataFrame | None:
    """Rows of the classes; None where the record is gone."""
    found = record(_beside(path, RECORD))
    return None if found is None else class_rows(found)


def _maps(path: Path) -> list[LayerDataTuple]:
    """One image a map, under its own name, not shown at first: there may be many."""
    with tifffile.TiffFile(path) as file:
        pixels = file.asarray()
        names = read_map_names(file)
    pixels = pixels.reshape(-1, *pixels.shape[-2:])  # a single map comes without its axis
    stem = path.name.removesuffix(MAPS)
    look = {"colormap": "magma", "visible": False, "metadata": {OURS: {}}}
    return [
        (plane, {"name": f"{stem} {name}", **look}, "image")
        for plane, name in zip_longest(pixels, names[: len(pixels)], fillvalue="map")
    ]


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
    for known in SUFFIXES:
        if path.name.endswith(known):
            return path.with_name(path.name.removesuffix(known) + ending)
    return path.with_name(path.name + ending)


def _source(path: Path, source: str | None) -> Path | None:
    """Image of a record: where it was, or beside the record; None where it is gone."""
    if source is None:
        return None
    places = (Path(source), path.with_name(Path(source).name))
    return next((place for place in places if place.exists()), None)
