"""TIFF files: pixels of the one plane, whole or lazily, and the size of a pixel."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from napari_wbc_nca.io import _files
from napari_wbc_nca.io.pixels import ImageError, plane, side

LAZY = 2**28
"""Bytes of pixels above which a file is read in parts, when they are needed."""
_CHUNK = 2**23
"""Bytes read at a time."""
_DAMAGE = (ValueError, KeyError, IndexError, struct.error, zlib.error, EOFError)
"""What tifffile raises where bytes are missing."""
_SMEAR = (0.01, 5.0)
"""Sides in µm that a pixel of a microscope may have; others are meant for printing."""


def read(path: Path) -> tuple[Any, float | None]:
    """Pixels ``(Y, X[, C])`` of the only plane, and the side of a pixel in µm.

    Raises
    ------
    ImageError
        When the file is truncated, damaged, a stack, or compressed in a way that cannot be read.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            _check_whole(file, path)
            pixels, axes = _pixels(path, file.series[0])
            size = pixel_size(file)
    except ImageError:
        raise
    except _DAMAGE as error:
        if "imagecodecs" in str(error):
            return _by_pillow(path, error), None
        raise ImageError(
            f"its data cannot be read: {error}; it is truncated or damaged; export it again"
        ) from error
    return plane(pixels, axes), size


def _check_whole(file: Any, path: Path) -> None:
    """Refuse a file that ends before its last pixel; tifffile may fill such tiles with 0."""
    size = path.stat().st_size
    pages = [page for page in file.series[0].pages if page is not None]
    needed = max(
        offset + count
        for page in pages
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    )
    if needed > size:
        raise ImageError(
            f"it is truncated: its pixels need {needed} bytes and it has {size}; copy or export "
            "it again"
        )


def _pixels(path: Path, series: Any) -> tuple[Any, str]:
    """Pixels of the first series, and a letter for each of their axes."""
    import tifffile

    kind = series.keyframe.photometric
    if kind == tifffile.PHOTOMETRIC.SEPARATED:
        raise ImageError("its colours are CMYK, meant for printing; convert it to RGB")
    if series.nbytes > LAZY:
        return _lazy(path, series), series.axes
    pixels, colours = series.asarray(), series.keyframe.colormap
    if kind == tifffile.PHOTOMETRIC.PALETTE and colours is not None:
        return np.moveaxis(colours[:, pixels], 0, -1), series.axes + "S"
    return pixels, series.axes


def _lazy(path: Path, series: Any) -> Any:
    """A dask array over a memory map, or over tiles that are decoded when they are needed."""
    import dask.array as da
    import tifffile

    if series.dataoffset is not None:
        mapped = tifffile.memmap(path, series=0, mode="r")
        return da.from_array(mapped, chunks=_chunks(series, None))
    blocks = _Blocks(str(path), series.shape, series.dtype)
    stored = blocks.chunks
    size = math.prod(stored) * series.dtype.itemsize
    if size > (free := _files.available_memory()):
        raise ImageError(
            f"it is stored in blocks of {_files.gibibytes(size)}, more than the "
            f"{_files.gibibytes(free)} of free memory; save it as OME-Zarr or as a tiled TIFF"
        )
    return da.from_array(blocks, chunks=_chunks(series, stored))


def _chunks(series: Any, stored: tuple[int, ...] | None) -> Any:
    """Chunks of whole stored blocks that are worth a read each."""
    from dask.array.core import normalize_chunks

    return normalize_chunks(
        "auto", shape=series.shape, limit=_CHUNK, dtype=series.dtype, previous_chunks=stored
    )


@dataclass(frozen=True)
class _Blocks:
    """Array that opens its file for each block: nothing stays open, and it can be sent away."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of what is decoded at once."""
        with self._open() as array:
            return tuple(array.chunks)

    def __getitem__(self, index: Any) -> Any:
        with self._open() as array:
            return array[index]

    @contextmanager
    def _open(self) -> Iterator[Any]:
        import tifffile
        import zarr

        store: Any = tifffile.imread(self.path, series=0, level=0, aszarr=True)
        try:
            yield zarr.open(store, mode="r")
        finally:
            store.close()


def _by_pillow(path: Path, error: Exception) -> Any:
    """Pixels of the compressions that Pillow knows, which has no 16-bit colours."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            bits = picture.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
            if set(bits) == {8} and getattr(picture, "n_frames", 1) == 1:
                return np.asarray(picture)
    except (UnidentifiedImageError, OSError) as failed:
        raise ImageError(
            f"its data cannot be read: {failed}; it is truncated or damaged; export it again"
        ) from failed
    raise ImageError(
        f"{error}; run: pip install imagecodecs, or save it without compression"
    ) from error


def pixel_size(file: Any) -> float | None:
    """Side of a pixel in µm by OME-XML, ImageJ, or the resolution in cm; None where unknown."""
    if file.is_ome:
        return _ome(file.ome_metadata)
    tags = file.pages[0].tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    (nx, dx), (ny, dy) = tags["XResolution"].value, tags["YResolution"].value
    if not nx or not ny:
        return None
    if file.is_imagej:
        return side(dy / ny, dx / nx, str((file.imagej_metadata or {}).get("unit", "")))
    if "ResolutionUnit" not in tags or tags["ResolutionUnit"].value != 3:  # centimetre
        return None
    found = side(dy / ny, dx / nx, "cm")
    return found if found is not None and _SMEAR[0] <= found <= _SMEAR[1] else None


def _ome(text: str) -> float | None:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None  # the pixels are there; only their size stays unknown
    for element in root.iter():
        if element.tag.rpartition("}")[2] == "Pixels":
            y, x = (float(element.get(f"PhysicalSize{axis}", "nan")) for axis in "YX")
            return side(y, x, element.get("PhysicalSizeXUnit", "µm"))
    return None
