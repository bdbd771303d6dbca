"""Files that several formats share: tables, JSON, pictures, and folders that appear whole."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.cell_types import colours, rgb
from napari_wbc_nca.formats.items import ExportError, Item
from napari_wbc_nca.io import images
from napari_wbc_nca.io._files import SUFFIXES, NameIndex, replace_all, to_json, write_reason
from napari_wbc_nca.io.pixels import contrast, to_rgb
from napari_wbc_nca.io.tables import TableError, read_table, to_frame, to_label

if TYPE_CHECKING:
    import pandas as pd

PROGRAM = "napari-wbc-nca"
RECORD = "provenance.json"
"""Name of the provenance in the folder of an export."""
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
"""What a picture's file name ends with, lower case."""
_IMAGES = (*PICTURES, *(end for end in SUFFIXES if end not in PICTURES))
"""The same of any image, in the order of preference."""
SPLITS = {"train": "train", "val": "val", "test": "test"}
SPLITS |= {"training": "train", "valid": "val", "validation": "val"}
"""Names of training, validation and test, as folders and tables have them, to the split."""


def make_folder(folder: Path) -> Path:
    """Make a folder where it is missing, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def find_files(path: Path, patterns: Sequence[str], hint: str) -> list[Path]:
    """List the files in a folder that match the first pattern with any match, or the file `path`.

    ExportError with the `hint` where there are none.
    """
    if path.is_file():
        return [path]
    for pattern in patterns:
        if found := sorted(path.glob(pattern)):
            return found
    raise ExportError(f"{path}: {hint}")


def class_rgb(classes: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Assign red, green and blue in 0–255 to each class."""
    return {name: rgb(colour) for name, colour in colours(classes).items()}


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write `value` as JSON."""
    separators = None if indent else (",", ":")
    text = json.dumps(value, default=to_json, indent=indent, separators=separators)
    path.write_text(f"{text}\n", encoding="utf-8")


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, an entry a line; indenting takes longer than some exports."""
    lines = (
        f"{json.dumps(name)}: {json.dumps(entry, default=to_json)}"
        for name, entry in record.items()
    )
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file, which may be compressed as QuPath does it; ExportError for no JSON."""
    try:
        content = path.read_bytes()
        if content.startswith(b"PK"):
            with ZipFile(BytesIO(content)) as archive:
                content = archive.read(entries(archive, (".geojson", ".json"))[0])
        elif content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        return json.loads(content)  # in UTF-8 or UTF-16, with or without a mark
    except (ValueError, OSError, EOFError, IndexError, BadZipFile) as error:
        raise ExportError(
            f"{path} is no readable JSON: {error}; it is cut short or of another kind: export again"
        ) from error


def entries(archive: ZipFile, suffixes: tuple[str, ...]) -> list[str]:
    """List the files of an archive with these suffixes, without those that macOS adds."""
    names = [name for name in archive.namelist() if name.lower().endswith(suffixes)]
    return [name for name in names if not name.startswith("__MACOSX/")]


def write_cells(path: Path, cells: pd.DataFrame) -> None:
    """Write a table of cells."""
    cells.to_csv(path, index=False, encoding="utf-8")


def read_cells(path: Path) -> pd.DataFrame | None:
    """Read a table of cells, by any columns; None where there is no file.

    ExportError where it is no table, or a label is no positive integer.
    """
    import pandas as pd

    if not path.exists():
        return None
    try:
        table = read_table(path)
    except TableError as error:
        raise ExportError(str(error)) from error
    frame = to_frame(table).rename(columns=str.lower)
    frame = frame.loc[:, ~frame.columns.duplicated()]
    column = next((name for name in table.columns if name.lower() == "label"), None)
    if column is None:
        return frame
    labels = []
    for at, row in enumerate(table.rows):
        try:
            labels.append(to_label(row[column]) if row[column] else None)
        except ValueError as error:
            raise ExportError(
                f"{table.where(at)}: label is {row[column]!r}; expected an integer above 0"
            ) from error
    return frame.assign(label=pd.array(labels, "int64" if all(labels) else "Int64"))


def write_tiff(path: Path, pixels: npt.NDArray[Any], pixel_size: float | None) -> None:
    """Write a plane as it is, with the size of a pixel where it is known."""
    import tifffile

    colour = pixels.ndim == 3 and pixels.shape[-1] in (3, 4)
    per_cm = None if pixel_size is None else (1e4 / pixel_size, 1e4 / pixel_size)
    tifffile.imwrite(
        path,
        pixels,
        photometric="rgb" if colour else "minisblack",
        compression="zlib",
        resolution=per_cm,
        resolutionunit="NONE" if per_cm is None else "CENTIMETER",
    )


def read_picture(path: Path | None) -> tuple[Any, float | None]:
    """Read the pixels of an image file and the size of a pixel; None where there is no file."""
    if path is None or not path.exists():
        return None, None
    image = images.read(path)
    return image.pixels, image.pixel_size


def recorded_size(path: Path) -> tuple[int, int] | None:
    """Read height and width of the labels in a file from the provenance of our exports."""
    for place in (path.parent / RECORD, path.parent.parent / RECORD):
        if place.exists():
            shapes = {one["name"]: one["shape"] for one in read_json(place).get("images", [])}
            if path.stem in shapes:
                height, width = shapes[path.stem]
                return height, width
    return None


def find_picture(folder: Path | None, name: str) -> Path | None:
    """Find an image in `folder` by its base name, in the path of any system."""
    if folder is None or not folder.is_dir():
        return None
    return _index_pictures(folder, folder.stat().st_mtime_ns).get(name)


@lru_cache(maxsize=16)
def _index_pictures(folder: Path, changed: int) -> NameIndex[Path]:
    """Index the images in a folder, which is listed once for each state that it is in."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in _IMAGES]
    files.sort(key=lambda path: (_IMAGES.index(path.suffix.lower()), path.name))
    return NameIndex({path: path for path in files})


def split_of(folder: Path) -> str:
    """Read the split from the name of a folder, or of the one above it; empty where neither is."""
    names = (folder.name.lower(), folder.parent.name.lower())
    return next((SPLITS[name] for name in names if name in SPLITS), "")


GREY = 114
"""Brightness of unreviewed pixels, for trainers that cannot ignore pixels."""


def to_colours(item: Item, *, hide: bool = False) -> npt.NDArray[np.uint8]:
    """Convert an item's picture to ``(Y, X, 3)`` uint8, with `hide` GREY where it is ignored."""
    pixels = item.pixels
    if len(pixels.shape) == 2 or pixels.shape[-1] == 1:
        plane = np.asarray(pixels).reshape(item.shape)
        pixels = np.repeat(plane[..., None], 3, axis=-1)
    if pixels.dtype == np.uint8 and pixels.shape[-1] == 3:
        drawn = np.array(pixels)
    else:
        drawn = np.round(np.asarray(to_rgb(pixels, contrast(pixels)))).astype(np.uint8)
    if hide and item.ignore is not None:
        drawn[item.ignore] = GREY
    return drawn


def write_png(path: Path, pixels: npt.NDArray[Any]) -> None:
    """Write a PNG of uint8 pixels, losslessly."""
    from PIL import Image

    # By way of memory: Pillow's own writing does not say why it failed. Higher levels save a tenth
    # of photographs and take three times as long.
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    (make_folder(path.parent) / path.name).write_bytes(buffer.getvalue())


@contextmanager
def stage_folders(targets: Sequence[Path], *, force: bool) -> Iterator[list[Path]]:
    """Make temporary folders beside `targets`, which get their names when all is well.

    The targets lie in one folder; exports of these names are replaced with `force`. A temporary
    folder that is removed meanwhile leaves its target as it was. ExportError where a name exists
    or something cannot be written; then everything is as it was.
    """
    for target in targets:
        _check_free(target, force=force)
    parent = targets[0].parent
    parts = [parent / f".{target.name}.{os.getpid()}.part" for target in targets]
    existed = parent.exists()
    try:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        yield parts
        pairs = zip(parts, targets, strict=True)
        replace_all({part: target for part, target in pairs if part.exists()})
    except OSError as error:
        raise ExportError(
            f"{parent}: {write_reason(error, parent)}; nothing was exported"
        ) from error
    finally:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)
        if not existed and parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()


def _check_free(target: Path, *, force: bool) -> None:
    """Refuse a name that exists; only exports of this program are ever replaced."""
    if not os.path.lexists(target):
        return
    if not force:
        raise ExportError(f"{target} exists; choose another folder, or replace it with --force")
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((target / RECORD).read_text(encoding="utf-8"))
        if str(found["program"]).startswith(PROGRAM):
            return
    raise ExportError(
        f"{target} exists and is no export of this program, so that it is not replaced; choose "
        "another folder"
    )
