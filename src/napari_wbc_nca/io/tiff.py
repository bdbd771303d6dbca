"""TIFF files of any maker: the full plane, whole or lazily, and the size of a pixel."""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.io import _files
from napari_wbc_nca.io.pixels import ImageError, is_lazy, micrometres, oriented, plane, side

LAZY = 2**28
"""Bytes of pixels above which a file is read in parts, when they are needed."""
_CHUNK = 2**23
"""Bytes read at a time."""
_DAMAGE = (ValueError, KeyError, IndexError, struct.error, zlib.error, EOFError, RuntimeError)
"""What tifffile and imagecodecs raise where bytes are missing."""
_MALFORMED = (
    *(ValueError, KeyError, TypeError, IndexError, AttributeError, ZeroDivisionError),
    ElementTree.ParseError,
)
"""What reading metadata of another form than expected raises."""
_TAG_LIMIT = 5.0
"""Largest side of a pixel in µm by the tags of resolution; larger ones are meant for printing."""
_AUXILIARY = re.compile(r"\b(label|macro|overview|thumbnail)\b")
"""Names of what scanners store beside the image of a slide."""
_SAME_ASPECT = 0.05
_THUMBNAIL = 256
"""Longest side in pixels of a picture that shows what a larger one shows, in any aspect."""
_BLACK_AND_WHITE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
"""ReferenceBlackWhite of YCbCr that uses the full range."""


def is_tiff(start: bytes) -> bool:
    """Return whether a file begins as TIFF or BigTIFF does."""
    return start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read(path: Path, *, indices: bool = False, lazy: bool = False) -> tuple[Any, float | None]:
    """Read the first full plane of a file, ``(Y, X[, C])``, and the side of a pixel in µm or None.

    Thumbnails, masks and the smaller levels of a pyramid are passed over. Large planes, and those
    of a pyramid, are dask arrays, as are all where `lazy`. With `indices`, numbers stay as they are
    stored, as in label images, rather than become the colours of a palette. An ImageError says when
    the file is truncated, damaged, a stack, or has colours or a compression that cannot be read.
    """
    try:
        with _open(path) as file:
            series = _full_series(file)
            _check_whole(series)
            pixels, axes = _pixels(path, file, series, indices=indices, lazy=lazy)
            size = pixel_size(file, series)
            orientation = series.keyframe.tags.valueof("Orientation", 1)
    except ImageError:
        raise
    except _DAMAGE as error:
        raise ImageError(
            f"its data cannot be read: {error}; it is truncated or damaged; export it again"
        ) from error
    return oriented(plane(pixels, axes), int(orientation)), size


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """Open a file; one that is only called NDPI has no offsets of 64 bits."""
    import tifffile

    flags = {}
    if path.suffix.lower() == ".ndpi":
        with path.open("rb") as file:
            start = file.read(12)
        flags = {"is_ndpi": int.from_bytes(start[4:], "little") < path.stat().st_size}
    with tifffile.TiffFile(path, **flags) as opened:  # type: ignore[arg-type]
        yield opened


def _full_series(file: Any) -> Any:
    """Return the first series that is no thumbnail, no mask and no copy of a larger one."""
    if not file.series:
        raise ImageError("it holds no image; it is truncated or damaged: copy or export it again")
    full = [
        series
        for series in file.series
        if not (series.keyframe.is_reduced or series.keyframe.is_mask)
        and not _AUXILIARY.search(series.name.lower())
    ]
    first = (full or file.series)[0]
    height, width = first.keyframe.imagelength, first.keyframe.imagewidth
    larger = [
        series
        for series in full
        if (y := series.keyframe.imagelength) >= 2 * height
        and (x := series.keyframe.imagewidth) >= 2 * width
        and (
            math.isclose(x * height, y * width, rel_tol=_SAME_ASPECT)
            or max(height, width) <= _THUMBNAIL
        )
    ]
    return max(larger, key=lambda series: series.keyframe.imagewidth, default=first)


def _check_whole(series: Any) -> None:
    """Refuse a file that ends before its last pixel; tifffile may fill such tiles with 0."""
    for page in series.pages:
        if page is None:
            continue
        size = page.parent.filehandle.size  # of an OME-TIFF in several files, the page's own
        ends = zip(page.dataoffsets, page.databytecounts, strict=False)
        needed = max((offset + count for offset, count in ends), default=0)
        if needed > size:
            raise ImageError(
                f"it is truncated: its pixels need {needed} bytes and it has {size}; copy or "
                "export it again"
            )


def _pixels(path: Path, file: Any, series: Any, *, indices: bool, lazy: bool) -> tuple[Any, str]:
    """Return the pixels of a series in RGB or grey, and a letter for each of their axes."""
    from tifffile import COMPRESSION, PHOTOMETRIC

    page = series.keyframe
    kind, axes = page.photometric, series.axes
    decoded = kind == PHOTOMETRIC.YCBCR and "JPEG" in COMPRESSION(page.compression).name
    if kind == PHOTOMETRIC.YCBCR and not decoded:
        return _ycbcr(path, page), "YXS"
    pixels: Any
    if lazy or series.nbytes > LAZY or len(series.levels) > 1:
        pixels = _lazy(path, file, series)
    else:
        pixels = series.asarray()
    if indices:
        return _colours_and_alpha(pixels, series), axes
    if decoded or kind in (PHOTOMETRIC.RGB, PHOTOMETRIC.MINISBLACK):
        return _over_white(_colours_and_alpha(pixels, series), series), axes
    if kind == PHOTOMETRIC.PALETTE:
        table = np.moveaxis(page.colormap, 0, -1)
        if not is_lazy(pixels):
            return table[pixels], axes + "S"
        chunks, axis = (*pixels.chunks, (3,)), pixels.ndim
        colours = pixels.map_blocks(
            table.__getitem__, dtype=table.dtype, chunks=chunks, new_axis=axis
        )
        return colours, axes + "S"
    if kind == PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "b":
        return ~pixels, axes
    if kind == PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
        white = pixels.dtype.type(2**page.bitspersample - 1)
        return white - pixels, axes
    named = {PHOTOMETRIC.SEPARATED: "CMYK, meant for printing"}
    name = named.get(kind, getattr(kind, "name", str(kind)))
    raise ImageError(f"its colours are {name}; convert it to RGB")


def _colours_and_alpha(pixels: Any, series: Any) -> Any:
    """Drop samples beside red, green and blue that are no alpha."""
    from tifffile import EXTRASAMPLE

    extra = series.keyframe.extrasamples
    if len(extra) != series.keyframe.samplesperpixel - 3 or EXTRASAMPLE.UNSPECIFIED not in extra:
        return pixels
    known = [n for n, kind in enumerate(extra, start=3) if kind != EXTRASAMPLE.UNSPECIFIED]
    return pixels[(slice(None),) * series.axes.index("S") + ([0, 1, 2, *known[:1]],)]


def _over_white(pixels: Any, series: Any) -> Any:
    """Lay colours that are stored multiplied by their alpha over white; the rest is kept."""
    from tifffile import EXTRASAMPLE

    if series.keyframe.extrasamples != (EXTRASAMPLE.ASSOCALPHA,) or pixels.dtype.kind != "u":
        return pixels
    axis = series.axes.index("S")
    count = pixels.shape[axis]
    before = (slice(None),) * axis
    colours, alpha = pixels[(*before, slice(count - 1))], pixels[(*before, slice(count - 1, None))]
    missing = np.iinfo(pixels.dtype).max - alpha
    return colours + np.minimum(missing, np.iinfo(pixels.dtype).max - colours)


def _ycbcr(path: Path, page: Any) -> npt.NDArray[np.uint8]:
    """Decode YCbCr that is not compressed as JPEG; tifffile leaves it as it is."""
    from PIL import Image

    reference = page.tags.valueof("ReferenceBlackWhite", _BLACK_AND_WHITE)
    levels = np.asarray(reference, float).ravel()
    if len(levels) == 12:  # as rational numbers
        levels = levels[::2] / levels[1::2]
    if page.bitspersample != 8 or tuple(levels) != _BLACK_AND_WHITE:
        raise ImageError("its colours are YCbCr of a limited range; convert it to RGB")
    with Image.open(path) as picture:
        picture.seek(page.index)
        return np.asarray(picture.convert("RGB"))


def _lazy(path: Path, file: Any, series: Any) -> Any:
    """Return a dask array over a memory map, or over tiles that are decoded when needed."""
    import dask.array as da
    from dask.array.core import normalize_chunks

    dtype = np.dtype(series.dtype)
    chunks = partial(normalize_chunks, "auto", shape=series.shape, limit=_CHUNK, dtype=series.dtype)
    if series.dataoffset is not None:
        order = dtype.newbyteorder(file.byteorder)
        mapped = np.memmap(path, order, "r", series.dataoffset, series.shape)
        return da.from_array(mapped, chunks=chunks()).astype(dtype)
    blocks = _Blocks(str(path), file.series.index(series), series.shape, dtype)
    stored = blocks.chunks
    size = math.prod(stored) * dtype.itemsize
    if size > (free := _files.available_memory()):
        raise ImageError(
            f"it is stored in blocks of {_files.gibibytes(size)}, more than the "
            f"{_files.gibibytes(free)} of free memory; save it as OME-Zarr or as a tiled TIFF"
        )
    # Chunks of whole stored blocks that are worth a read each
    return da.from_array(blocks, chunks=chunks(previous_chunks=stored))


@dataclass(frozen=True)
class _Blocks:
    """Array that opens its file for each block: nothing stays open, and it can be sent away."""

    path: str
    series: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of what is decoded at once."""
        with self._array() as array:
            return tuple(array.chunks)

    def __getitem__(self, index: Any) -> Any:
        with self._array() as array:
            return array[index]

    @contextmanager
    def _array(self) -> Iterator[Any]:
        import zarr

        with _open(Path(self.path)) as file:
            store: Any = file.series[self.series].aszarr(level=0)
            try:
                yield zarr.open(store, mode="r")
            finally:
                store.close()


def pixel_size(file: Any, series: Any) -> float | None:
    """Find the side of a pixel in µm: by OME-XML, the maker's own words, or the resolution.

    None where it is not said, cannot be read, or can be no microscope's.
    """
    try:
        if file.is_ome:
            return _ome_size(file.ome_metadata, file.series.index(series))
        if file.is_imagej:
            unit = str((file.imagej_metadata or {}).get("unit", ""))
            return _resolution_size(series.keyframe, unit)
        if file.is_svs:
            mpp = re.search(r"MPP\s*=\s*([\d.,]+)", file.pages.first.description)
            return side(*[micrometres(mpp[1], "um")] * 2) if mpp else None
        if file.is_lsm:
            return side(*(micrometres(file.lsm_metadata[f"VoxelSize{a}"], "m") for a in "YX"))
        if file.is_stk:
            found = file.stk_metadata
            unit = str(found.get("CalibrationUnits", ""))
            return side(*(micrometres(found[f"{a}Calibration"], unit) for a in "YX"))
        unit = {2: "inch", 3: "cm"}.get(series.keyframe.tags.valueof("ResolutionUnit", 2), "")
        size = _resolution_size(series.keyframe, unit)
    except _MALFORMED:
        return None  # the pixels are there; only their size stays unknown
    return size if size is not None and size <= _TAG_LIMIT else None


def _resolution_size(page: Any, unit: str) -> float | None:
    (nx, dx), (ny, dy) = (page.tags[f"{axis}Resolution"].value for axis in "XY")
    return side(micrometres(dy / ny, unit), micrometres(dx / nx, unit))


def _ome_size(text: str, index: int) -> float | None:
    root = ElementTree.fromstring(text)
    found = [element for element in root.iter() if element.tag.rpartition("}")[2] == "Pixels"]
    pixels = found[index if index < len(found) else 0]
    return side(
        *(
            micrometres(
                pixels.get(f"PhysicalSize{axis}", ""), pixels.get(f"PhysicalSize{axis}Unit", "µm")
            )
            for axis in "YX"
        )
    )
