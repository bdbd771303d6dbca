"""Labels on disk with what belongs to them: image, table of cells, record of the run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from napari_wbc_nca.formats.files import read_cells
from napari_wbc_nca.formats.items import ExportError, Item, item
from napari_wbc_nca.io import images
from napari_wbc_nca.io.omezarr import is_zarr
from napari_wbc_nca.io.results import LABELS, RECORD, TABLE

_BLOCK = 2**20
CELL = LABELS["cell"]


def find(paths: Sequence[str | Path]) -> list[Path]:
    """Label images of files and folders; in a folder those that ``segment`` wrote.

    Raises
    ------
    ExportError
        When a path does not exist, or a folder has none.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise ExportError(f"{path} does not exist; check the path")
        files = [path] if path.is_file() or is_zarr(path) else sorted(path.glob(f"*{CELL}"))
        if not files:
            raise ExportError(
                f"{path}: no NAME{CELL} in it; give label images, or what segment wrote"
            )
        found += [file for file in files if file not in found]
    return found


def load(
    path: str | Path,
    image: str | Path | None = None,
    cells: str | Path | None = None,
    pixel_size: float | None = None,
) -> Item:
    """Item of a label image, completed by the files that lie beside it.

    Parameters
    ----------
    path
        Label image, such as ``NAME_labels.tif``.
    image
        Image file; the one that ``NAME.json`` names where None.
    cells
        Table of cells; ``NAME_cells.csv`` where None.
    pixel_size
        Side of a pixel in µm; that of the image or of the record where None.

    Raises
    ------
    ExportError, ImageError
        When one cannot be read, or they do not fit.
    """
    path = Path(path)
    labels = images.read(path)
    stem = path.name.removesuffix(CELL) if path.name.endswith(CELL) else labels.name
    run = _run(path.with_name(f"{stem}{RECORD}"))
    picture = _picture(path, stem, run) if image is None else Path(image)
    shown = None if picture is None else images.read(picture)
    listed = Path(cells) if cells is not None else path.with_name(f"{stem}{TABLE}")
    table = read_cells(listed)
    if cells is not None and table is None:
        raise ExportError(f"{cells} does not exist; check the path")
    size = pixel_size or _size(run) or (shown.pixel_size if shown else None) or labels.pixel_size
    name = stem if shown is None or path.name.endswith(CELL) else shown.name
    record = {
        "title": name,
        "source": None if picture is None else str(picture),
        "sha256": None if picture is None else file_sha256(picture),
        "labels": {"source": str(path), "sha256": file_sha256(path)},
        **run_record(run),
    }
    one = item(name, labels.pixels, table, shown.pixels if shown else None, size, record)
    inner = path.with_name(f"{stem}{LABELS['nucleus']}")
    return replace(one, nucleus=np.asarray(images.read(inner).pixels)) if inner.exists() else one


def run_record(run: Any) -> dict[str, Any]:
    """What the provenance keeps of a run's record: program, model and parameters."""
    kept = ("program", "time", "model", "parameters")
    return {"segmentation": {name: run[name] for name in kept if name in run}} if run else {}


def _run(path: Path) -> dict[str, Any]:
    """Record of a run; empty where there is none of ours."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and "program" in found else {}


def _size(run: dict[str, Any]) -> float | None:
    given = run.get("parameters", {}).get("pixel_size") or run.get("input", {}).get("pixel_size")
    return float(given) if given else None


def _picture(path: Path, stem: str, run: dict[str, Any]) -> Path | None:
    """Image of a record: where it was, or beside the labels."""
    source = run.get("input", {}).get("source")
    if not source:
        return None
    places = (Path(source), path.with_name(Path(source).name))
    return next((place for place in places if place.exists()), None)


def file_sha256(path: Path) -> str | None:
    """Hash of a file; None of a folder."""
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def array_sha256(array: Any) -> str:
    """Hash of an array in memory: its type, its shape and its numbers."""
    plane = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{plane.dtype.str} {plane.shape} ".encode())
    digest.update(plane.data)
    return digest.hexdigest()


def table_of(cells: Any) -> pd.DataFrame | None:
    """Table of cells of a table or file."""
    if cells is None or isinstance(cells, pd.DataFrame):
        return cells
    found = read_cells(Path(cells))
    if found is None:
        raise ExportError(f"{cells} does not exist; check the path")
    return found
