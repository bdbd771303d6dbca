"""Label images as TIFF with their tables: pairs for training, and the results of ``segment``.

``images/NAME.tif`` holds the pixels as they are, ``labels/NAME.tif`` a cell's label at each of its
pixels, ``labels/NAME_cells.csv`` its class. ``nuclei/NAME.tif`` has the same labels in the nuclei
where these are known, ``ignore/NAME.tif`` is 255 where nobody reviewed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.formats.files import (
    CELLS,
    find_picture,
    make_folder,
    read_cells,
    read_picture,
    split_of,
    write_cells,
    write_tiff,
)
from napari_wbc_nca.formats.items import ExportError, Item, item, nuclei_of_cells
from napari_wbc_nca.formats.provenance import run_record
from napari_wbc_nca.io import images
from napari_wbc_nca.io._files import file_sha256
from napari_wbc_nca.io.images import read_labels
from napari_wbc_nca.io.omezarr import is_zarr
from napari_wbc_nca.io.results import LABELS, RECORD
from napari_wbc_nca.types import Image

if TYPE_CHECKING:
    import pandas as pd

    from napari_wbc_nca.formats.params import ExportParams

CELL, NUCLEUS = LABELS["cell"], LABELS["nucleus"]


def write(
    items: Sequence[Item], classes: Sequence[str], folder: Path, params: ExportParams
) -> None:
    """Write pairs, in a folder for each split."""
    for one in items:
        place, name = folder / one.split, f"{one.name}.tif"
        labels = make_folder(place / "labels")
        write_tiff(labels / name, one.labels, one.pixel_size)
        write_cells(labels / f"{one.name}{CELLS}", one.cells)
        if one.pixels is not None:
            write_tiff(make_folder(place / "images") / name, np.asarray(one.pixels), one.pixel_size)
        if (nuclei := nuclei_of_cells(one)) is not None:
            write_tiff(make_folder(place / "nuclei") / name, nuclei, one.pixel_size)
        if one.ignore is not None:
            mask = one.ignore.astype(np.uint8) * np.uint8(255)
            write_tiff(make_folder(place / "ignore") / name, mask, one.pixel_size)


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Read a folder of pairs, or one label image."""
    if path.is_file():
        return [_read(path, pixels)]
    suffixes = (".tif", ".tiff", ".png")
    files = [file for file in path.rglob("labels/*") if file.suffix.lower() in suffixes]
    if not files:
        raise ExportError(f"{path}: no label image; expected labels/NAME.tif in it")
    return [_read(file, pixels) for file in sorted(files)]


def _read(path: Path, pixels: Any) -> Item:
    labels, size = read_labels(path)
    stem, folder = path.stem.removesuffix("_labels"), path.parent.parent
    cells = read_cells(path.with_name(f"{stem}{CELLS}"))
    if path.parent.name != "labels":
        return item(path.stem, labels, cells, pixels, size)
    if pixels is None:
        pixels, _ = read_picture(find_picture(folder / "images", path.stem))
    inner, mask = (
        None if file is None else read_labels(file)[0]
        for file in (find_picture(folder / kind, path.stem) for kind in ("nuclei", "ignore"))
    )
    return replace(
        item(path.stem, labels, cells, pixels, size),
        nucleus=inner,
        ignore=None if mask is None else mask > 0,
        split=split_of(folder),
    )


def find_label_images(paths: Sequence[str | Path]) -> list[Path]:
    """Find the label images of files and folders; in a folder those that ``segment`` wrote.

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


def read_segmentation(
    path: str | Path,
    image: str | Path | Image | None = None,
    cells: str | Path | pd.DataFrame | None = None,
    pixel_size: float | None = None,
) -> Item:
    """Read a label image and the files that lie beside it.

    Parameters
    ----------
    path
        Label image, such as ``NAME_labels.tif``.
    image
        Image or its file; the one that ``NAME.json`` names where None.
    cells
        Table of cells or its file; ``NAME_cells.csv`` where None.
    pixel_size
        Side of a pixel in µm; that of the image or of the record where None.

    Raises
    ------
    ExportError, ImageError
        When one cannot be read, or they do not fit.
    """
    path = Path(path)
    labels, own_size = read_labels(path)
    stem = path.name.removesuffix(CELL) if path.name.endswith(CELL) else path.stem
    run = _read_record(path.with_name(f"{stem}{RECORD}"))
    source = run.get("input", {}).get("source")
    picture = _find_picture(path, source) if image is None else image
    shown = images.read(picture) if isinstance(picture, (str, Path)) else picture
    if isinstance(cells, (str, Path)) and not Path(cells).exists():
        raise ExportError(f"{cells} does not exist; check the path")
    listed = path.with_name(f"{stem}{CELLS}") if cells is None else cells
    table = read_cells(Path(listed)) if isinstance(listed, (str, Path)) else listed
    size = pixel_size or _pixel_size(run) or (shown.pixel_size if shown else None) or own_size
    name = stem if shown is None or path.name.endswith(CELL) else shown.name
    record = {
        "title": name,
        "source": shown.source if shown else None,
        "sha256": file_sha256(shown.source) if shown else None,
        "labels": {"source": str(path), "sha256": file_sha256(path)},
        **run_record(run),
    }
    one = item(name, labels, table, shown.pixels if shown else None, size, record)
    if source and shown is None:
        note = f"{name}: its image {source} is not found, so that no picture is written; give it"
        one = replace(one, notes=(note,))
    nuclei = path.with_name(f"{stem}{NUCLEUS}")
    return replace(one, nucleus=read_labels(nuclei)[0]) if nuclei.exists() else one


def _read_record(path: Path) -> dict[str, Any]:
    """Record of a run; empty where there is none of ours."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and "program" in found else {}


def _pixel_size(run: dict[str, Any]) -> float | None:
    size = run.get("parameters", {}).get("pixel_size") or run.get("input", {}).get("pixel_size")
    return float(size) if size else None


def _find_picture(labels: Path, source: str | None) -> Path | None:
    """Image of a record: where it was, or beside the labels, whatever system it was on."""
    if not source:
        return None
    place = Path(source)
    if place.is_absolute() and (place.is_file() or is_zarr(place)):
        return place
    return find_picture(labels.parent, source) or (place if place.is_file() else None)
