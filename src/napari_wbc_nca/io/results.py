"""The files of a segmentation, all of them or none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.cell_types import colours, rgb
from napari_wbc_nca.io._files import to_json, write_files
from napari_wbc_nca.io.pixels import channels_last, contrast, to_rgb

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from PIL.Image import Image as Picture
    from tifffile import TiffFile

    from napari_wbc_nca.types import Image, Segmentation

LABELS = {
    "cell": "_labels.tif",
    "nucleus": "_nuclei.tif",
    "class": "_classes.tif",
    "contribution": "_contributions.tif",
    "pca": "_pca.tif",
}
"""Name of a label image to what follows the image's name in the name of its file."""
TABLE, OVERLAY, RECORD, MAPS = "_cells.csv", "_overlay.png", ".json", "_maps.tif"
SUFFIXES = (*LABELS.values(), TABLE, OVERLAY, RECORD, MAPS)
"""What follows the image's name in the names of all files."""
_TILE = 512


def write(segmentation: Segmentation, image: Image, folder: str | Path) -> list[Path]:
    """Write labels, table, overlay picture and provenance of an image into `folder`.

    ``NAME_labels.tif`` and, where a run gives them, ``NAME_nuclei.tif``, ``NAME_classes.tif``,
    ``NAME_contributions.tif`` and ``NAME_pca.tif`` (uint16, or uint32 where needed, with the size
    of a pixel where it is known), ``NAME_cells.csv``, ``NAME_overlay.png``, ``NAME.json``, and
    ``NAME_maps.tif`` where there are maps; returned in that order. What is read lazily is written
    tile by tile. Files of that name are replaced, and only when all new ones are complete; where
    one cannot be written, an OutputError is raised and none is.
    """
    size = image.pixel_size
    writers: dict[str, Callable[[Path], object]] = {
        suffix: partial(write_labels, labels=segmentation.labels[name], pixel_size=size)
        for name, suffix in LABELS.items()
        if name in segmentation.labels
    }
    writers |= {
        TABLE: lambda path: segmentation.cells.to_csv(path, index=False, encoding="utf-8"),
        OVERLAY: lambda path: draw(image, segmentation).save(path, format="PNG"),
        RECORD: lambda path: write_json(path, segmentation.provenance),
    }
    if segmentation.maps:
        writers[MAPS] = lambda path: _write_maps(path, segmentation.maps)
    return write_files(
        {_output_file(image.name, suffix, folder): writer for suffix, writer in writers.items()}
    )


def existing_files(name: str, folder: str | Path) -> list[Path]:
    """Return the files that :func:`write` would replace, or that would lie beside newer ones."""
    files = (_output_file(name, suffix, folder) for suffix in SUFFIXES)
    return [file for file in files if file.exists()]


def _output_file(name: str, suffix: str, folder: str | Path) -> Path:
    stem = re.sub(r'[\\/:*?"<>|\0]', "_", name) or "image"
    return Path(folder) / f"{stem}{suffix}"


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON that people can read."""
    text = json.dumps(to_json(record), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def write_labels(path: Path, labels: Any, pixel_size: float | None) -> None:
    """Write a label image so that Fiji and others know its numbers and its scale."""
    import tifffile

    size = pixel_size or 1.0
    small = isinstance(labels, np.ndarray) and labels.ndim <= 4
    if small and int(labels.max(initial=0)) <= np.iinfo(np.uint16).max:
        tifffile.imwrite(
            path,
            labels.astype(np.uint16),
            imagej=True,
            compression="zlib",
            resolution=None if pixel_size is None else (1 / size, 1 / size),
            metadata={
                "axes": "TZYX"[-labels.ndim :],
                **({} if pixel_size is None else {"unit": "um"}),
            },
        )
        return
    _write_tiles(  # ImageJ's own form has neither tiles nor uint32
        path,
        [labels],
        labels.shape,
        np.uint32,
        resolution=None if pixel_size is None else (1e4 / size, 1e4 / size),
        resolutionunit="NONE" if pixel_size is None else "CENTIMETER",
    )


def _write_maps(path: Path, maps: Mapping[str, Any]) -> None:
    """Write maps as channels, each with its name."""
    import tifffile

    shape = (len(maps), *next(iter(maps.values())).shape)
    if all(isinstance(values, np.ndarray) for values in maps.values()):
        tifffile.imwrite(
            path,
            (values.astype(np.float32) for values in maps.values()),
            shape=shape,
            dtype=np.float32,
            imagej=True,
            compression="zlib",
            metadata={"axes": "CYX", "Labels": list(maps)},
        )
        return
    metadata = {"axes": "CYX", "Channel": {"Name": list(maps)}}
    # ImageJ's own form has no tiles, and no more than 4 GB
    _write_tiles(path, [*maps.values()], shape, np.float32, ome=True, metadata=metadata)


def _write_tiles(
    path: Path,
    planes: Sequence[Any],
    shape: tuple[int, ...],
    dtype: type[np.generic],
    **options: Any,
) -> None:
    """Write planes tile by tile, in raster order; those over the edge are filled up with 0."""
    import tifffile

    def tiles() -> Iterator[npt.NDArray[Any]]:
        for plane, y, x in product(planes, *(range(0, side, _TILE) for side in shape[-2:])):
            part = np.asarray(plane[y : y + _TILE, x : x + _TILE], dtype)
            yield np.pad(part, [(0, _TILE - side) for side in part.shape])

    tifffile.imwrite(
        path,
        tiles(),
        shape=shape,
        dtype=dtype,
        tile=(_TILE, _TILE),
        bigtiff=True,
        photometric="minisblack",
        compression="zlib",
        **options,
    )


def read_map_names(file: TiffFile) -> list[str]:
    """Read the names of the maps in an open ``NAME_maps.tif``, in their order."""
    import tifffile

    if file.ome_metadata:
        channels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]["Channel"]
        listed = channels if isinstance(channels, list) else [channels]
        return [str(channel.get("Name", "map")) for channel in listed]
    names = (file.imagej_metadata or {}).get("Labels", [])
    return [names] if isinstance(names, str) else list(names)  # a single one is a text


LARGEST_OVERLAY = 4096
"""Side in pixels of the largest picture; of a larger field every n-th pixel is shown."""


def draw(image: Image, segmentation: Segmentation) -> Picture:
    """Draw outlines of cells and nuclei over an image, with the label and class of each cell."""
    from PIL import Image as Pictures

    step = max(1, ceil(max(segmentation.labels["cell"].shape) / LARGEST_OVERLAY))
    array = channels_last(image.pixels)
    background = np.asarray(to_rgb(array[::step, ::step], image.contrast or contrast(array)))
    canvas = np.round(background).astype(np.uint8)
    thickness = max(1, round(max(canvas.shape) / 400))
    names = colours(sorted(set(segmentation.cells["class"])))
    lookup = _lookup(segmentation.cells, names)
    for name, width in (("nucleus", max(1, thickness // 2)), ("cell", thickness)):
        if name in segmentation.labels:
            labels = np.asarray(segmentation.labels[name][::step, ::step])
            edge = _edges(labels, width)
            canvas[edge] = lookup[np.minimum(labels[edge], len(lookup) - 1)]
    picture = Pictures.fromarray(canvas)
    _annotate(picture, segmentation.cells, names, step)
    return picture


def _edges(labels: npt.NDArray[Any], thickness: int) -> npt.NDArray[np.bool_]:
    """Find the pixels of cells that lie within `thickness` of another label, or of none."""
    from scipy.ndimage import maximum_filter, minimum_filter

    size = 2 * thickness + 1
    edge = minimum_filter(labels, size) != maximum_filter(labels, size)
    return np.asarray(edge & (labels > 0))


def _lookup(cells: pd.DataFrame, names: dict[str, str]) -> npt.NDArray[np.uint8]:
    """Return the colour of each label; labels without a row, such as the last, are white."""
    table = np.full((int(cells["label"].max() if len(cells) else 0) + 2, 3), 255, np.uint8)
    for label, name in zip(cells["label"], cells["class"], strict=True):
        table[label] = rgb(names[name])
    return table


def _annotate(picture: Picture, cells: pd.DataFrame, names: dict[str, str], step: int) -> None:
    """Write label and class above each cell, inside the picture, on whatever is there."""
    from PIL import ImageDraw, ImageFont

    size = max(12, round(max(picture.size) / 40))
    font = ImageFont.load_default(size)
    pen = ImageDraw.Draw(picture)
    rows = cells[["label", "class", "box_y0", "box_x0", "box_y1"]].itertuples(index=False)
    for label, name, top, left, bottom in rows:
        text = f"{label} {name}"
        _, _, right, height = pen.textbbox((0, 0), text, font=font, stroke_width=2)
        above = top / step - height - 2
        y = above if above >= 0 else min(bottom / step + 2, picture.height - height)
        x = max(0, min(left / step, picture.width - right))
        # Letters in the class's colour, edged so that they stand out from any stain.
        light = sum(rgb(names[name])) > 330
        pen.text(
            (x, y),
            text,
            names[name],
            font=font,
            stroke_width=max(1, size // 8),
            stroke_fill="black" if light else "white",
        )
