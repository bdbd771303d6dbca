"""Label images as TIFF with their tables: pairs for training, and the results of ``segment``.

``images/NAME.tif`` holds the pixels as they are, ``labels/NAME.tif`` a cell's label at each of its
pixels, ``labels/NAME_cells.csv`` its class. ``nuclei/NAME.tif`` has the same labels in the nuclei
where these are known, ``ignore/NAME.tif`` is 255 where nobody reviewed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.cell_types import WBC
from napari_wbc_nca.formats import files
from napari_wbc_nca.formats.items import ExportError, Item, item, nuclei_of_cells
from napari_wbc_nca.formats.provenance import item_record
from napari_wbc_nca.io import images
from napari_wbc_nca.io._files import file_sha256
from napari_wbc_nca.io.images import read_labels
from napari_wbc_nca.io.omezarr import is_zarr
from napari_wbc_nca.io.results import LABELS, RECORD, TABLE
from napari_wbc_nca.types import Image

if TYPE_CHECKING:
    import pandas as pd


CELL, NUCLEUS = LABELS["cell"], LABELS["nucleus"]


def write(items: Sequence[Item], classes: Sequence[str], folder: Path) -> None:
    """Write pairs, in a folder for each split."""
    for one in items:
        planes = {
            "labels": one.labels,
            "images": one.pixels,
            "nuclei": nuclei_of_cells(one),
            "ignore": None if one.ignore is None else one.ignore.astype(np.uint8) * np.uint8(255),
        }
        for kind, plane in planes.items():
            if plane is not None:
                path = files.make_folder(folder / one.split / kind) / f"{one.name}.tif"
                files.write_tiff(path, np.asarray(plane), one.pixel_size)
        files.write_cells(folder / one.split / "labels" / f"{one.name}{TABLE}", one.cells)


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Read a folder of pairs, or one label image."""
    if path.is_file():
        return [_read(path, pixels)]
    suffixes = (".tif", ".tiff", ".png")
    found = [file for file in path.rglob("labels/*") if file.suffix.lower() in suffixes]
    if not found:
        raise ExportError(f"{path}: no label image; expected labels/NAME.tif in it")
    return [_read(file, pixels) for file in sorted(found)]


def _read(path: Path, pixels: Any) -> Item:
    labels, size = read_labels(path)
    stem, folder = path.stem.removesuffix("_labels"), path.parent.parent
    cells = files.read_cells(path.with_name(f"{stem}{TABLE}"))
    if path.parent.name != "labels":
        return item(path.stem, labels, cells, pixels, size)
    if pixels is None:
        pixels, _ = files.read_picture(files.find_picture(folder / "images", path.stem))
    inner, mask = (
        None if file is None else read_labels(file)[0]
        for file in (files.find_picture(folder / kind, path.stem) for kind in ("nuclei", "ignore"))
    )
    return replace(
        item(path.stem, labels, cells, pixels, size),
        nucleus=inner,
        ignore=None if mask is None else mask > 0,
        split=files.split_of(folder),
    )


def find_label_images(paths: Sequence[str | Path]) -> list[Path]:
    """Find the label images of files and folders; in a folder those that ``segment`` wrote.

    ExportError where a path does not exist, or a folder has none.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise ExportError(f"{path} does not exist; check the path")
        hint = f"no NAME{CELL} in it; give label images, or what segment wrote"
        found += [path] if is_zarr(path) else files.find_files(path, [f"*{CELL}"], hint)
    return list(dict.fromkeys(found))


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
    run = read_record(path.with_name(f"{stem}{RECORD}"))
    source = run.get("input", {}).get("source")
    picture = find_source(path, source or stem) if image is None else image
    shown = images.read(picture) if isinstance(picture, (str, Path)) else picture
    beside = path.with_name(f"{stem}{TABLE}")
    table = files.read_cells(beside) if cells is None else find_cells(cells)
    size = pixel_size or _pixel_size(run) or (shown.pixel_size if shown else None) or own_size
    name = stem if shown is None or path.name.endswith(CELL) else shown.name
    origin = {"source": str(path), "sha256": file_sha256(path)}
    record = item_record(name, shown, origin, run)
    try:
        one = item(name, labels, table, shown.pixels if shown else None, size, record)
    except ExportError as error:
        raise ExportError(f"{path}: {error}") from error
    notes = []
    if shown is None:
        note = f"{name}: its image {source or stem} is not found, so that no picture is written"
        notes.append(f"{note}; give it")
    if table is not None and len(table) and "class" not in table:
        notes.append(
            f"{name}: its table of cells has no column class, so that all cells are {WBC}; found "
            f"{', '.join(map(str, table.columns))}"
        )
    nuclei = path.with_name(f"{stem}{NUCLEUS}")
    nucleus = read_labels(nuclei)[0] if nuclei.exists() else None
    return replace(one, nucleus=nucleus, notes=tuple(notes))


def find_cells(cells: str | Path | pd.DataFrame | None) -> pd.DataFrame | None:
    """Read a table of cells where it is a file; ExportError where that is missing or no table."""
    if not isinstance(cells, (str, Path)):
        return cells
    if not Path(cells).exists():
        raise ExportError(f"{cells} does not exist; check the path")
    return files.read_cells(Path(cells))


def read_record(path: Path) -> dict[str, Any]:
    """Record of a run; empty where there is none of ours."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    if not (isinstance(found, dict) and "program" in found):
        return {}
    parts = {part: found.get(part) for part in ("input", "parameters")}
    return found | {name: part if isinstance(part, dict) else {} for name, part in parts.items()}


def _pixel_size(run: dict[str, Any]) -> float | None:
    sizes = (run.get(part, {}).get("pixel_size") for part in ("parameters", "input"))
    return next((float(size) for size in sizes if size and isinstance(size, (int, float))), None)


def find_source(labels: Path, source: Any) -> Path | None:
    """Find the image of a record of any system: where it was, beside the labels, or above them."""
    if not isinstance(source, str) or not source:
        return None
    folder, place = labels.parent, Path(PureWindowsPath(source).as_posix())
    if place.is_absolute() and (place.is_file() or is_zarr(place)):
        return place
    places = (folder, folder.resolve().parent)
    beside, above = (files.find_picture(at, source) for at in places)
    found = [folder / place, beside, place, above]
    usable = (one for one in found if one and one != labels and (one.is_file() or is_zarr(one)))
    return next(usable, None)
