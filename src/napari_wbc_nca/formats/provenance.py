"""``provenance.json``: where an export came from, down to the single cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.formats.files import PROGRAM
from napari_wbc_nca.formats.items import COLUMNS
from napari_wbc_nca.formats.registry import FORMATS
from napari_wbc_nca.io._files import array_sha256, file_sha256, to_json
from napari_wbc_nca.params import as_dict

if TYPE_CHECKING:
    from napari_wbc_nca.formats.items import Item
    from napari_wbc_nca.formats.params import ExportParams
    from napari_wbc_nca.types import Image

_UNREVIEWED = {
    "mask": "Pixels that nobody reviewed are in a separate mask (ignore).",
    "label": "Pixels that nobody reviewed have the label ignore.",
    "region": "Pixels that nobody reviewed are in a separate region (ignore).",
    "grey": (
        "This format cannot mark pixels to ignore: cells that nobody reviewed are left out, "
        "and the picture is grey there, so that they are not taken for background."
    ),
    "left out": "Cells that nobody reviewed are left out.",
}


def export_record(
    name: str,
    items: Sequence[Item],
    classes: Sequence[str],
    params: ExportParams,
    files: Sequence[str],
    groups: Path | None,
) -> dict[str, Any]:
    """Compose ``provenance.json`` of the format `name`."""
    return {
        "program": f"{PROGRAM} {version(PROGRAM)}",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "annotator": params.annotator,
        "format": name,
        "parameters": as_dict(params),
        "groups": None if groups is None else str(groups),
        "classes": list(classes),
        "notes": export_notes(name, items),
        "files": list(files),
        "images": [_image(one) for one in items],
    }


def export_notes(name: str, items: Sequence[Item]) -> list[str]:
    """List what a reader of the export must know and could not see."""
    found = []
    if any(one.ignore is not None for one in items):
        left = sum(len(one.left_out) for one in items)
        counted = f" {left} of {left + sum(len(one.cells) for one in items)} cells lie there."
        found.append(_UNREVIEWED[FORMATS[name].ignores] + counted)
    found += [note for one in items for note in one.notes]
    if empty := [one.name for one in items if not len(one.cells)]:
        found.append(f"Without any cell: {', '.join(empty)}. They teach what background is.")
    kinds = Counter(kind for one in items for kind in one.cells["class"])
    if len(kinds) == 1:
        ((kind, count),) = kinds.items()
        every = "The only cell is" if count == 1 else f"All {count} cells are"
        found.append(
            f"{every} of class {kind}: this teaches where cells are, but not their types. Give the "
            "cells their classes to teach these too."
        )
    return found


def _image(one: Item) -> dict[str, Any]:
    return {
        "name": one.name,
        "split": one.split or None,
        "shape": list(one.shape),
        "pixel_size": one.pixel_size,
        "exported_labels_sha256": array_sha256(one.labels),
        **to_json(one.record),
        "reviewed": "all" if one.ignore is None else f"{1 - one.ignore.mean():.4f} of the pixels",
        "left_out": list(one.left_out),
        "cells": one.cells[list(COLUMNS)].to_dict("records"),
    }


def item_record(
    name: str, image: Image | None, labels: Mapping[str, Any], run: Any
) -> dict[str, Any]:
    """Compose the record of an item from its image, the origin of its labels, and their run."""
    source = None if image is None else image.source
    return {
        "title": name,
        "source": source,
        "sha256": array_sha256(image.pixels) if image and not source else file_sha256(source),
        "labels": dict(labels),
        **run_record(run),
    }


def run_record(run: Any) -> dict[str, Any]:
    """Take program, model and parameters from the record of a run."""
    kept = ("program", "time", "model", "parameters")
    return {"segmentation": {name: run[name] for name in kept if name in run}} if run else {}


def merge_notes(notes: dict[str, list[str]]) -> tuple[str, ...]:
    """List each note once, with the formats that it is about where it is not all of them."""
    formats: dict[str, list[str]] = {}
    for name, some in notes.items():
        for note in some:
            formats.setdefault(note, []).append(name)
    return tuple(
        note if len(names) == len(notes) else f"{', '.join(names)}: {note}"
        for note, names in formats.items()
    )
