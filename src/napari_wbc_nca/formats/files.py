"""Files that several formats share: tables, JSON, TIFF."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_wbc_nca.formats.items import ExportError
from napari_wbc_nca.io import images
from napari_wbc_nca.io._files import plain
from napari_wbc_nca.io.pixels import contrast, to_rgb

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.formats.items import Item


RECORD = "provenance.json"
"""Name of the provenance in the folder of an export."""
CELLS = "_cells.csv"
"""What follows an image's name in that of its table of cells."""


def made(folder: Path) -> Path:
    """`folder`, made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write `value` as JSON."""
    separators = None if indent else (",", ":")
    text = json.dumps(value, default=plain, indent=indent, separators=separators)
    path.write_text(text + "\n", encoding="utf-8")


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record in terms of JSON, an entry a line.

    Python's own indenting takes longer than some exports.
    """
    lines = (
        f"{json.dumps(name)}: {json.dumps(entry, default=plain)}" for name, entry in record.items()
    )
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises
    ------
    ExportError
        When it is no readable JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise ExportError(
            f"{path} is no readable JSON: {error}; it is truncated or of another kind: export it "
            "again"
        ) from error


def write_cells(path: Path, cells: pd.DataFrame) -> None:
    """Write a table of cells."""
    cells.to_csv(path, index=False, encoding="utf-8")


def read_cells(path: Path) -> pd.DataFrame | None:
    """Table of cells, by any columns; None where there is no file.

    Raises
    ------
    ExportError
        When it is no CSV.
    """
    if not path.exists():
        return None
    try:
        return pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise ExportError(f"{path} is no readable CSV: {error}; export it again") from error


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
    """Pixels of an image file and the size of a pixel; None where there is no file."""
    if path is None or not path.exists():
        return None, None
    image = images.read(path)
    return image.pixels, image.pixel_size


def size_of(path: Path, pixels: Any, rings: Sequence[npt.NDArray[Any]]) -> tuple[int, int]:
    """Height and width of the labels of a file that holds nothing but outlines.

    Those of the image where it is known, of the provenance that an export of ours has, or what
    the outlines reach.
    """
    if pixels is not None:
        return int(pixels.shape[0]), int(pixels.shape[1])
    for place in (path.parent / RECORD, path.parent.parent / RECORD):
        if place.exists():
            images = {one["name"]: one["shape"] for one in read_json(place).get("images", [])}
            if path.stem in images:
                height, width = images[path.stem]
                return height, width
    reach = np.max([ring.max(axis=0) for ring in rings] or [(1, 1)], axis=0)
    return ceil(reach[0]), ceil(reach[1])


def beside(folder: Path, stem: str) -> Path | None:
    """Picture of that name in `folder`, whatever its kind."""
    for end in (".tif", ".png", ".jpg", ".jpeg", ".bmp"):
        if (path := folder / f"{stem}{end}").exists():
            return path
    return None


_LEVEL = 1
"""Of PNG's compression: of photographs, higher ones save a tenth and take three times as long."""
GREY = 114
"""Brightness of what nobody reviewed, in pictures for trainers that have no word for ignoring."""


def rgb(item: Item, *, hide: bool = False) -> npt.NDArray[np.uint8]:
    """Colours of an item: ``(Y, X, 3)`` uint8, alike whatever the depth of its image.

    Parameters
    ----------
    item
        With pixels.
    hide
        Whether ignored pixels become :data:`GREY`, so that no cell there is taken for
        background.
    """
    pixels = item.pixels
    if len(pixels.shape) == 2 or pixels.shape[-1] == 1:
        plane = np.asarray(pixels).reshape(item.shape)
        pixels = np.repeat(plane[..., None], 3, axis=-1)
    if pixels.dtype == np.uint8 and pixels.shape[-1] == 3:
        colours = np.array(pixels)
    else:
        colours = np.round(np.asarray(to_rgb(pixels, contrast(pixels)))).astype(np.uint8)
    if hide and item.ignore is not None:
        colours[item.ignore] = GREY
    return colours


def write_png(path: Path, pixels: npt.NDArray[Any]) -> None:
    """Write a PNG of uint8 pixels, losslessly."""
    from PIL import Image

    # By way of memory: Pillow's own writing does not say why it failed.
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=_LEVEL)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
