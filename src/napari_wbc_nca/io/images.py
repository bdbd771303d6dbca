"""Images on disk and in memory: read, and refused with a reason where they cannot be used."""

from __future__ import annotations

import math
import struct
import threading
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io import _files, omezarr, tiff
from napari_wbc_nca.io._files import reason, stem
from napari_wbc_nca.io.pixels import (
    ImageError,
    channels_last,
    check_finite,
    check_type,
    contrast,
    is_lazy,
    oriented,
    require_colours,
    to_rgb,
)
from napari_wbc_nca.types import Image

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL.Image import Image as PictureFile

__all__ = ["ImageError", "prepare", "read", "read_labels", "require_colours", "size", "to_rgb"]

SMALLEST = 8
"""Side in pixels below which nothing can be seen in an image."""
_TIFF = (".tif", ".tiff", ".btf", ".tf8", ".svs", ".ndpi", ".scn", ".lsm", ".stk")
_KNOWN = "PNG, JPEG, TIFF, OME-Zarr"


def read(path: str | Path) -> Image:
    """Read the pixels of an image file: PNG, JPEG, BMP, TIFF of any maker, or OME-Zarr.

    Pixels are ``(Y, X)`` or ``(Y, X, C)`` with the numbers that are stored, turned as a viewer
    shows them; the size of a pixel is known where the file says it. OME-Zarr, pyramids and large
    TIFF are read lazily, when their pixels are needed.

    Raises
    ------
    ImageError
        When the file is missing, truncated, of another kind, a stack, or larger than memory.
    """
    return _named(path)


def as_image(image: Any) -> Image:
    """Read an image file, or wrap an array; an image stays as it is."""
    if isinstance(image, Image):
        return image
    return read(image) if isinstance(image, (str, Path)) else Image(image)


def read_labels(path: str | Path) -> tuple[npt.NDArray[Any], float | None]:
    """Read labels ``(Y, X)``, integers or bool, and the side of a pixel in µm, None if unknown.

    The indices of a palette are its labels, not its colours. A grey image that was saved in colour
    is one plane; transparent pixels are background; floats without fractions are integers. An
    ImageError is raised as by :func:`read`, and for colours, fractions and JPEG.
    """
    image = _named(path, indices=True)
    labels = np.asarray(image.pixels)
    if labels.ndim == 3:
        labels = _one_plane(labels)
    if labels.dtype.kind == "f" and (np.abs(labels) < 2**32).all() and not (labels % 1).any():
        labels = labels.astype(np.int64)  # 32 bits in Fiji are floats
    if labels.ndim != 2 or labels.dtype.kind not in "uib":
        found = labels.dtype if labels.ndim == 2 else "colours"
        raise ImageError(
            f"{path}: it holds {found}; expected integers (Y, X), a label a cell and 0 outside of "
            "all, such as segment writes"
        )
    return labels, image.pixel_size


def _one_plane(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the plane ``(Y, X)`` of grey in 1–4 channels; colours stay ``(Y, X, C)``."""
    has_alpha = values.shape[-1] in (2, 4)
    channels = values[..., :-1] if has_alpha else values
    if not (channels == channels[..., :1]).all():
        return values
    return np.where(values[..., -1] > 0, channels[..., 0], 0) if has_alpha else channels[..., 0]


def size(path: str | Path) -> tuple[int, int]:
    """Read height and width of an image in pixels as :func:`read` does, mostly from its header."""
    return _named(path, lazy=True).shape


def _named(path: str | Path, *, indices: bool = False, lazy: bool = False) -> Image:
    """Read an image; errors name the file."""
    source = Path(path).expanduser()
    try:
        pixels, pixel_size = _read(source, indices, lazy)
    except ImageError as error:
        raise ImageError(f"{source}: {error}") from error
    except OSError as error:
        raise ImageError(f"{source}: it cannot be read: {reason(error)}") from error
    return Image(pixels, stem(source), pixel_size, str(source))


def _read(path: Path, indices: bool, lazy: bool) -> tuple[Any, float | None]:
    if not path.exists():
        raise ImageError("there is no such file; check the path")
    if omezarr.is_zarr(path):
        return omezarr.read(path)
    if path.is_dir():
        raise ImageError("it is a folder and no OME-Zarr image; give an image file")
    with path.open("rb") as file:
        start = file.read(26)
    if not start:
        raise ImageError("the file is empty (0 bytes); copy or export it again")
    if indices and start.startswith(b"\xff\xd8"):
        raise ImageError("it is a JPEG, whose compression changes labels; export it as PNG or TIFF")
    named_tiff = path.suffix.lower() in _TIFF and not start.startswith((b"\x89PNG", b"\xff\xd8"))
    if tiff.is_tiff(start) or named_tiff:
        return tiff.read(path, indices=indices, lazy=lazy)
    # A PNG with colours of 16 bits, of which Pillow keeps 8
    deep = start.startswith(b"\x89PNG") and start[24:25] == b"\x10" and start[25:26] in b"\2\6"
    return _picture(path, deep, indices, lazy), None


def _picture(path: Path, deep: bool, indices: bool, lazy: bool) -> Any:
    from PIL import UnidentifiedImageError

    try:
        with _open_picture(path) as picture:
            _check_picture(picture)
            if lazy:
                pixels = np.broadcast_to(np.uint8(0), picture.size[::-1])
            else:
                pixels = _decode_deep(path) if deep else _decode(picture, indices)
            return oriented(pixels, _orientation(picture))
    except UnidentifiedImageError as error:
        raise ImageError(
            f"it is no image that can be read; expected {_KNOWN}; export it as TIFF"
        ) from error
    except (OSError, SyntaxError, EOFError, ValueError, TypeError) as error:
        if isinstance(error, ImageError) or (isinstance(error, OSError) and error.errno):
            raise
        raise ImageError(
            f"its data cannot be read ({error}); it is truncated or damaged; export it again"
        ) from error


_PIXEL_LIMIT = threading.Lock()


def _open_picture(path: Path) -> PictureFile:
    """Open a file without Pillow's limit of pixels: memory is checked before they are decoded."""
    from PIL import Image as Pictures

    with _PIXEL_LIMIT:
        limit, Pictures.MAX_IMAGE_PIXELS = Pictures.MAX_IMAGE_PIXELS, None
        try:
            return Pictures.open(path)
        finally:
            Pictures.MAX_IMAGE_PIXELS = limit


def _orientation(picture: PictureFile) -> int:
    try:
        return int(picture.getexif().get(0x0112, 1))
    except (ValueError, TypeError, KeyError, SyntaxError, struct.error):
        return 1  # a camera's metadata may be damaged where its picture is not


def _decode_deep(path: Path) -> Any:
    import imagecodecs

    try:
        return imagecodecs.png_decode(path.read_bytes())
    except imagecodecs.PngError as error:
        raise ImageError("it is truncated or damaged; copy or export it again") from error


def _decode(picture: PictureFile, indices: bool) -> Any:
    """Return the pixels of a picture in RGB, RGBA or grey; indices of a palette where asked."""
    mode = picture.mode
    if mode in ("P", "PA", "RGB") and not indices:  # a colour, or an index, may be transparent
        mode = "RGBA" if mode == "PA" or "transparency" in picture.info else "RGB"
    elif mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
        mode = "RGB"
    elif mode == "1" and not indices:
        mode = "L"
    pixels = np.asarray(picture if mode == picture.mode else picture.convert(mode))
    return pixels[..., 0] if mode == "PA" else pixels


def _check_picture(picture: PictureFile) -> None:
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # the first of a camera's JPEG is the picture
        raise ImageError(
            f"it is a stack of {frames} planes; choose one plane and save it by itself"
        )
    check_memory(math.prod(picture.size) * len(picture.getbands()))


def check_memory(amount: float) -> None:
    """Refuse an image that needs more bytes at once than are free."""
    free = _files.available_memory()
    if amount > free:
        raise ImageError(
            f"it needs {_files.gibibytes(amount)} at once and {_files.gibibytes(free)} of memory "
            "are free; save it as OME-Zarr or as a tiled TIFF, which are read in parts, or give "
            "a dask array"
        )


def prepare(image: Image) -> Image:
    """Check an image and judge its contrast, once, before anything is computed from it.

    Its pixels become ``(Y, X, C)`` of 1, 3 or 4 channels and their own type, NumPy or dask. Of a
    lazy image only a sample is read, and NaN elsewhere is reported when it is met. An image that
    has a contrast comes back as it is.

    Raises
    ------
    ImageError
        Naming the image, what was found, what was expected and what to do.
    """
    if image.contrast is not None:
        return image
    try:
        pixels = from_other_colours(channels_last(image.pixels), image.source)
        check_type(pixels.dtype)
        if min(pixels.shape[:2]) < SMALLEST:
            raise ImageError(
                f"it is {pixels.shape[0]} by {pixels.shape[1]} pixels; expected at least "
                f"{SMALLEST} by {SMALLEST}"
            )
        # Colours as float32 must fit into memory: all, or those of one lazy block.
        parts = pixels.chunks[:2] if is_lazy(pixels) else [(side,) for side in pixels.shape[:2]]
        check_memory(max(parts[0]) * max(parts[1]) * 3 * np.dtype(np.float32).itemsize)
        meaning = contrast(pixels)
        if not is_lazy(pixels):
            check_finite(pixels)
        if image.pixel_size is not None and not 0 < image.pixel_size < math.inf:
            raise ImageError(
                f"its pixel size is {image.pixel_size} µm; expected a number above 0, or none "
                "where unknown"
            )
    except ImageError as error:
        raise ImageError(f"{image.source or image.name}: {error}") from error
    return replace(image, pixels=pixels, contrast=meaning)


def from_other_colours(pixels: Any, source: str | None) -> Any:
    """Convert pixels as another program read them from `source` to RGB or grey; others are kept.

    Such programs, napari's own reader among them, show CMYK, YCbCr, CIELAB and inverted grey as if
    they were RGB and grey. An ImageError is raised where they cannot be converted.
    """
    from PIL import Image as Pictures

    path = None if source is None else Path(source)
    if path is None or not path.is_file():
        return pixels
    kind, _ = _header(path, path.stat().st_mtime_ns)
    if _CHANNELS.get(kind) != pixels.shape[-1] or (kind == _INVERTED and is_lazy(pixels)):
        return pixels
    if is_lazy(pixels) or pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise ImageError(f"its colours are {kind}; convert it to RGB")
    if np.array_equal(channels_last(_read(path, indices=False, lazy=False)[0]), pixels):
        return pixels  # read by us
    if kind == _INVERTED:
        return 255 - pixels
    shown = Pictures.frombytes(kind, pixels.shape[1::-1], pixels.tobytes())
    return np.asarray(shown.convert("RGB"))


_INVERTED = "inverted grey"
_CHANNELS = {"CMYK": 4, "YCbCr": 3, "LAB": 3, _INVERTED: 1}
"""Numbers of a pixel in each kind of colours that are shown wrongly, by Pillow's name of it."""


def turn_as_stated(pixels: Any, source: str | None) -> npt.NDArray[Any] | None:
    """Turn pixels as another program read them from `source` as the file states.

    Such programs, napari's own reader among them, show pictures of phones as they are stored. None
    where the file states no orientation, or `pixels` are not what it stores.
    """
    path = None if source is None else Path(source)
    if path is None or not path.is_file():
        return None
    _, orientation = _header(path, path.stat().st_mtime_ns)
    if orientation not in range(2, 9) or is_lazy(pixels):
        return None
    try:
        found = np.asarray(_read(path, indices=False, lazy=False)[0])
    except (ImageError, OSError):
        return None
    return found if np.array_equal(oriented(pixels, orientation), found) else None


@lru_cache(maxsize=16)
def _header(path: Path, changed: int) -> tuple[str, int]:
    """Read the kind of a file's colours, Pillow's mode or inverted grey, and its orientation."""
    try:
        with _open_picture(path) as picture:
            tags = getattr(picture, "tag_v2", {})
            kind = _INVERTED if tags.get(_PHOTOMETRIC) == 0 else picture.mode
            return kind, _orientation(picture)
    except (OSError, ValueError, SyntaxError):  # no picture that Pillow reads
        return "", 1


_PHOTOMETRIC = 262
"""Tag of TIFF that is 0 where 0 is white."""


SAMPLES = {
    "smear-1": "Blood smear with a neutrophil",
    "smear-2": "Blood smear of another laboratory",
    "typed": "Smear with an eosinophil and a neutrophil, low-cost microscope",
}
"""Name and title of each bundled image."""


def sample_path(name: str) -> Path:
    """Return the file of the bundled image `name`; a ValueError with their names for others.

    Examples
    --------
    >>> sample_path("smear-1").name
    'smear-1.jpg'
    """
    if name not in SAMPLES:
        raise ValueError(f"unknown sample {name!r}; known are {', '.join(SAMPLES)}")
    return Path(str(files("napari_wbc_nca") / "samples" / f"{name}.jpg"))
