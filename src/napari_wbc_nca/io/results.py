"""The files of a segmentation, all of them or none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io._files import plain, write_files
from napari_wbc_nca.io.overlay import draw

if TYPE_CHECKING:
    import numpy.typing as npt
    from tifffile import TiffFile

    from napari_wbc_nca.types import Image, Segmentation

LABELS = {
    "cell": "_labels.tif",
    "nucleus": "_nuclei.tif",
    "class": "_classes.tif",
    "contribution": "_contributions.tif",
}
"""Name of a label image to what follows the image's name in the name of its file."""
TABLE, OVERLAY, RECORD, MAPS = "_cells.csv", "_overlay.png", ".json", "_maps.tif"
SUFFIXES = (*LABELS.values(), TABLE, OVERLAY, RECORD, MAPS)
"""What follows the image's name in the names of all files."""
_TILE = 512


def write(segmentation: Segmentation, image: Image, folder: str | Path) -> list[Path]:
    """Write labels, table, overlay picture and provenance of an image into `folder`.

    ``NAME_labels.tif`` and, where the method gives them, ``NAME_nuclei.tif``,
    ``NAME_classes.tif`` and ``NAME_contributions.tif`` (uint16, or uint32 where needed, with the
    size of a pixel where it is known), ``NAME_cells.csv``, ``NAME_overlay.png``, ``NAME.json``,
    and ``NAME_maps.tif`` where there are maps. What is read lazily is written tile by tile. Files
    of that name are replaced, and only when all new ones are complete.

    Returns
    -------
    list of Path
        The files, in that order.

    Raises
    ------
    OutputError
        When one cannot be written; then none is.
    """
    size = image.pixel_size
    writers: dict[str, Callable[[Path], object]] = {
        suffix: partial(_write_labels, labels=segmentation.labels[name], pixel_size=size)
        for name, suffix in LABELS.items()
        if name in segmentation.labels
    }
    writers |= {
        TABLE: lambda path: segmentation.cells.to_csv(path, index=False, encoding="utf-8"),
        OVERLAY: lambda path: draw(image, segmentation).save(path, format="PNG"),
        RECORD: lambda path: _write_json(path, segmentation.provenance),
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


def _write_labels(path: Path, labels: Any, pixel_size: float | None) -> None:
    """Write a label image so that Fiji and others know its numbers and its scale."""
    import tifffile

    if isinstance(labels, np.ndarray) and int(labels.max(initial=0)) <= np.iinfo(np.uint16).max:
        known = pixel_size is not None
        tifffile.imwrite(
            path,
            labels.astype(np.uint16),
            imagej=True,
            compression="zlib",
            resolution=_per_unit(pixel_size, 1),
            metadata={"axes": "YX", **({"unit": "um"} if known else {})},
        )
        return
    tifffile.imwrite(  # ImageJ's own form has neither tiles nor uint32
        path,
        _tiles(labels, np.uint32),
        shape=labels.shape,
        dtype=np.uint32,
        tile=(_TILE, _TILE),
        bigtiff=True,
        photometric="minisblack",
        compression="zlib",
        resolution=_per_unit(pixel_size, 1e4),
        resolutionunit="NONE" if pixel_size is None else "CENTIMETER",
    )


def _per_unit(pixel_size: float | None, unit: float) -> tuple[float, float] | None:
    """Return the pixels across and down in a unit of so many µm."""
    return None if pixel_size is None else (unit / pixel_size, unit / pixel_size)


def _tiles(values: Any, dtype: type[np.generic]) -> Iterator[npt.NDArray[Any]]:
    """Yield tiles in raster order; those that reach over the edge are filled up with 0."""
    height, width = values.shape
    for y in range(0, height, _TILE):
        for x in range(0, width, _TILE):
            tile = np.zeros((_TILE, _TILE), dtype)
            part = np.asarray(values[y : y + _TILE, x : x + _TILE])
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile


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
    tifffile.imwrite(  # ImageJ's own form has no tiles, and no more than 4 GB
        path,
        (tile for values in maps.values() for tile in _tiles(values, np.float32)),
        shape=shape,
        dtype=np.float32,
        tile=(_TILE, _TILE),
        bigtiff=True,
        ome=True,
        photometric="minisblack",
        compression="zlib",
        metadata={"axes": "CYX", "Channel": {"Name": list(maps)}},
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


def _write_json(path: Path, provenance: Mapping[str, Any]) -> None:
    text = json.dumps(plain(provenance), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
