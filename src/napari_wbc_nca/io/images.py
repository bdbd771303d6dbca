"""Images on disk and in memory: read, and refused with a reason where they cannot be used."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from napari_wbc_nca.io import _files, omezarr, png16, tiff
from napari_wbc_nca.io._files import reason
from napari_wbc_nca.io.pixels import (
    ImageError,
    channels_last,
    check_finite,
    check_type,
    contrast,
    is_lazy,
    require_colours,
    to_rgb,
)
from napari_wbc_nca.types import Contrast, Image

__all__ = [
    "Contrast",
    "ImageError",
    "check",
    "contrast",
    "prepare",
    "read",
    "require_colours",
    "to_rgb",
]

SMALLEST = 8
"""Side in pixels below which nothing can be seen in an image."""
_TIFF = (".tif", ".tiff", ".btf", ".tf8", ".svs", ".lsm", ".stk")
_KNOWN = "PNG, JPEG, TIFF, OME-Zarr"


def read(path: str | Path) -> Image:
    """Image in a PNG, JPEG, BMP, TIFF or OME-Zarr file.

    OME-Zarr and large TIFF are read lazily, when their pixels are needed.

    Returns
    -------
    Image
        Pixels ``(Y, X)`` or ``(Y, X, C)`` as they are stored; the size of a pixel where the
        file says it.

    Raises
    ------
    ImageError
        When the file is missing, truncated, of another kind, a stack, or larger than memory.
    """
    source = Path(path).expanduser()
    try:
        pixels, pixel_size = _read(source)
    except ImageError as error:
        raise ImageError(f"{source}: {error}") from error
    except OSError as error:
        raise ImageError(f"{source}: it cannot be read: {reason(error)}") from error
    return Image(pixels, stem(source), pixel_size, str(source))


def stem(path: Path) -> str:
    """Name of a file without its endings, ``.ome.tif`` and ``.ome.zarr`` included."""
    return path.stem.removesuffix(".ome") or path.name


def _read(path: Path) -> tuple[Any, float | None]:
    if not path.exists():
        raise ImageError("there is no such file; check the path")
    if omezarr.is_zarr(path):
        return omezarr.read(path)
    if path.is_dir():
        raise ImageError("it is a folder and no OME-Zarr image; give an image file")
    if path.stat().st_size == 0:
        raise ImageError("the file is empty (0 bytes); copy or export it again")
    if path.suffix.lower() in _TIFF:
        return tiff.read(path)
    if png16.is_deep(path):
        return png16.read(path), None
    return _picture(path), None


def _picture(path: Path) -> Any:
    from PIL import Image as Pictures
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pictures.DecompressionBombWarning)
            with Pictures.open(path) as picture:
                _check_picture(picture)
                if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
                    return np.asarray(picture.convert("RGB"))
                if picture.mode in ("P", "PA"):
                    return np.asarray(picture.convert("RGBA" if _see_through(picture) else "RGB"))
                return np.asarray(picture)
    except UnidentifiedImageError as error:
        raise ImageError(
            f"it is no image that can be read; expected {_KNOWN}; export it as TIFF"
        ) from error
    except Pictures.DecompressionBombError as error:
        raise ImageError(
            "it has too many pixels for a picture that must be decoded at once; save it as "
            "OME-Zarr or as a tiled TIFF"
        ) from error
    except (OSError, SyntaxError, EOFError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ImageError(
            f"its data cannot be read ({error}); it is truncated or damaged; export it again"
        ) from error


def _see_through(picture: Any) -> bool:
    return picture.mode == "PA" or "transparency" in picture.info


def _check_picture(picture: Any) -> None:
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        raise ImageError(
            f"it is a stack of {frames} planes; choose one plane and save it by itself"
        )
    _check_memory(math.prod(picture.size) * len(picture.getbands()))


def _check_memory(size: int) -> None:
    free = _files.available_memory()
    if size > free:
        raise ImageError(
            f"it needs {_files.gibibytes(size)} at once and {_files.gibibytes(free)} of memory "
            "are free; save it as OME-Zarr or as a tiled TIFF, which are read in parts, or give "
            "a dask array"
        )


def prepare(image: Image) -> Image:
    """Check an image and judge its contrast, once, before anything is computed from it.

    Parameters
    ----------
    image
        As read, or of an array in memory. One that has a contrast comes back as it is.

    Returns
    -------
    Image
        Pixels ``(Y, X, C)`` of 1, 3 or 4 channels and their own type, NumPy or dask, and
        `contrast`. Of a lazy image only a sample is read, and NaN elsewhere is reported when it
        is met.

    Raises
    ------
    ImageError
        Naming the image, what was found, what was expected and what to do.
    """
    if image.contrast is not None:
        return image
    try:
        pixels = channels_last(image.pixels)
        check_type(pixels.dtype)
        if min(pixels.shape[:2]) < SMALLEST:
            raise ImageError(
                f"it is {pixels.shape[0]} by {pixels.shape[1]} pixels; expected at least "
                f"{SMALLEST} by {SMALLEST}"
            )
        _check_fits(pixels)
        meaning = contrast(pixels)
        if not is_lazy(pixels):
            check_finite(pixels)
        _check_size(image.pixel_size)
    except ImageError as error:
        raise ImageError(f"{image.source or image.name}: {error}") from error
    return replace(image, pixels=pixels, contrast=meaning)


def check(image: Image) -> Image:
    """:func:`prepare` an image that must have colours."""
    return require_colours(prepare(image))


in_colours = prepare


def _check_fits(pixels: Any) -> None:
    """Refuse colours, as float32, that do not fit into memory: all, or of one lazy block."""
    parts = pixels.chunks[:2] if is_lazy(pixels) else [(size,) for size in pixels.shape[:2]]
    _check_memory(max(parts[0]) * max(parts[1]) * 3 * np.dtype(np.float32).itemsize)


def _check_size(pixel_size: float | None) -> None:
    if pixel_size is not None and not (math.isfinite(pixel_size) and pixel_size > 0):
        raise ImageError(
            f"its pixel size is {pixel_size} µm; expected a number above 0, or none where unknown"
        )


SAMPLES = {
    "smear-1": "Blood smear with a neutrophil",
    "smear-2": "Blood smear of another laboratory",
    "typed": "Smear with an eosinophil and a neutrophil, low-cost microscope",
}
"""Name and title of each bundled image."""


def sample_path(name: str) -> Path:
    """File of the bundled image called `name`.

    Raises
    ------
    ValueError
        When there is none, with the names there are.

    Examples
    --------
    >>> sample_path("smear-1").name
    'smear-1.jpg'
    """
    if name not in SAMPLES:
        raise ValueError(f"unknown sample {name!r}; known are {', '.join(SAMPLES)}")
    return Path(str(files("napari_wbc_nca") / "samples" / f"{name}.jpg"))
