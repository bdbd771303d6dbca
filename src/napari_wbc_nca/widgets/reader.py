"""Read what ``segment`` wrote, with all that belongs to an image, and open samples."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import tifffile
from napari import current_viewer
from napari.utils.notifications import show_warning

from napari_wbc_nca.datasets.synthetic import KINDS, culture
from napari_wbc_nca.formats.files import read_cells
from napari_wbc_nca.formats.items import ExportError
from napari_wbc_nca.formats.tiff import find_source
from napari_wbc_nca.io import images
from napari_wbc_nca.io.results import LABELS, MAPS, RECORD, SUFFIXES, TABLE, read_map_names
from napari_wbc_nca.widgets.class_colours import class_colours, class_rows, colormap
from napari_wbc_nca.widgets.features_table import UNKNOWN
from napari_wbc_nca.widgets.planes import OURS, SHOWS, content_of

if TYPE_CHECKING:
    from napari.types import LayerDataTuple

PROGRAM = "napari-wbc-nca"
LARGEST_RECORD = 2**20
"""Size in bytes above which a JSON file is none of ours, and is not read."""
NEW = "new"
"""Key in the metadata of layers that were just read."""
Reader = Callable[[str | Sequence[str]], "list[LayerDataTuple]"]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return the reader of one of our outputs; None for everything else.

    A label image or table is ours where the other lies beside it, a JSON file where it says so.
    """
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(_is_ours(Path(one)) for one in paths) else None


def read(path: str | Sequence[str]) -> list[LayerDataTuple]:
    """Read layers of our outputs; see :func:`get_reader`."""
    paths = [path] if isinstance(path, str) else list(path)
    if (viewer := current_viewer()) is not None:
        from napari_wbc_nca.widgets.canvas_lines import outline_selection

        viewer.layers.events.inserted.connect(_on_inserted)
        outline_selection(viewer)
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
    """Read image, labels and maps that a record belongs to, at the scale it knows."""
    found = record(path) or {}
    image = _mapping(found, "input")
    size = _mapping(found, "parameters").get("pixel_size") or image.get("pixel_size")
    known = isinstance(size, int | float) and size > 0
    place = {"scale": (size, size), "units": ("um", "um")} if known else {}
    layers: list[LayerDataTuple] = []
    source = find_source(path, image.get("source"))
    if source is not None:
        layers.append((images.read(source).pixels, {"name": source.stem}, "image"))
    if (file := _beside(path, MAPS)).exists():
        layers += _maps(file)
    for name, ending in LABELS.items():
        if (file := _beside(path, ending)).exists():
            layers.append(_labels(file, name))
    return [(data, {**options, **place}, kind) for data, options, kind in layers]


def _labels(path: Path, name: str) -> LayerDataTuple:
    """Read labels as they lie on the image's pixels, with their table as features."""
    found = _beside(path, RECORD)
    made: dict[str, Any] = {SHOWS: name, "source_id": str(found), NEW: True}
    if (run := record(found)) is not None:
        made["provenance"] = [run]
        source = find_source(found, _mapping(run, "input").get("source"))
        if source is not None:
            made["image_path"] = str(source.resolve())
    options: dict[str, Any] = {"name": path.stem, "opacity": 0.5, "metadata": {OURS: made}}
    table = _class_table(path) if name == "class" else _cell_table(path)
    if table is not None:
        options |= {"features": table, "colormap": colormap(table, class_colours(table))}
    return tifffile.imread(path).astype(np.uint32), options, "labels"


def _cell_table(path: Path) -> pd.DataFrame | None:
    """Read the rows of the cells; None, and a message, where there is no table that says them."""
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
    table = table[table["label"].notna()].astype({"label": np.int64})
    # Without pandas' own missing integers, which neither napari nor NumPy compare.
    gaps = [name for name in table if str(table[name].dtype) == "Int64"]
    table = table.astype(dict.fromkeys(gaps, float)).drop(columns="index", errors="ignore")
    names = table["class"] if "class" in table else pd.Series("", table.index, object)
    table["class"] = names.where(names != "", UNKNOWN)
    table.insert(0, "index", table["label"])
    return table.drop_duplicates("index", ignore_index=True)


def _class_table(path: Path) -> pd.DataFrame | None:
    """Read the rows of the classes; None where the record does not say them."""
    found = record(_beside(path, RECORD)) or {}
    names = _mapping(found, "model").get("classes")
    return class_rows(names) if isinstance(names, list) else None


def _on_inserted(event: Any) -> None:
    """Make the cells that were just read ready for corrections, as those of a run are."""
    ours = event.value.metadata.get(OURS, {})
    if not ours.pop(NEW, False):
        return
    from napari_wbc_nca.widgets.correction_keys import make_correctable
    from napari_wbc_nca.widgets.export_items import likely_image
    from napari_wbc_nca.widgets.linked_layers import link_layers
    from napari_wbc_nca.widgets.review.layer_journal import keep_journal

    file = ours["source_id"]
    together = [x for x in event.source if x.metadata.get(OURS, {}).get("source_id") == file]
    cells = [layer for layer in together if content_of(layer) == "cell"]
    if event.value in cells:
        make_correctable(event.value)
        keep_journal(event.value, likely_image(event.value, event.source))
    if cells:
        link_layers(cells[-1], [layer for layer in together if layer is not cells[-1]])


def _maps(path: Path) -> list[LayerDataTuple]:
    """Read maps as images under their names, hidden at first since there may be many."""
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
    """Read the provenance in a JSON file; None where it is none of ours."""
    if not path.is_file() or path.stat().st_size > LARGEST_RECORD:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError:
        return None
    ours = isinstance(found, dict) and str(found.get("program", "")).startswith(PROGRAM)
    return found if ours else None


def _beside(path: Path, ending: str) -> Path:
    """Return the path of another output of the same image."""
    known = next((known for known in SUFFIXES if path.name.endswith(known)), "")
    return path.with_name(path.name.removesuffix(known) + ending)


def _mapping(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return part of a record; empty where somebody made it something else."""
    part = found.get(name)
    return part if isinstance(part, dict) else {}


SAMPLE_SHAPE = (384, 512)
"""Of the cultures under File > Open Sample."""


def _opener(name: str) -> Callable[[], list[LayerDataTuple]]:
    """Return the function that opens a sample of the bundle."""
    return lambda: [(images.read(images.sample_path(name)).pixels, {"name": name}, "image")]


first_smear, second_smear, typed_field = map(_opener, ("smear-1", "smear-2", "typed"))
"""Open a smear with a neutrophil, one of another laboratory, a field with cells of two types."""


def populations() -> list[LayerDataTuple]:
    """Make a culture of each population, such as CellMixer is trained on."""
    return [
        (culture((kind,), SAMPLE_SHAPE, seed).pixels, {"name": kind}, "image")
        for seed, kind in enumerate(KINDS)
    ]


def mixed_culture() -> list[LayerDataTuple]:
    """Make a culture of mixed populations, with the true class of each pixel."""
    made = culture(tuple(KINDS), SAMPLE_SHAPE, len(KINDS))
    known = {"name": f"classes: {', '.join(KINDS)}", "visible": False}
    return [(made.pixels, {"name": "culture"}, "image"), (made.classes, known, "labels")]
