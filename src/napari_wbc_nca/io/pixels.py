"""Pixels of any kind as RGB in 0–255: channel order, alpha, bit depth; arrays in, arrays out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.io.tables import number
from napari_wbc_nca.types import Contrast, Image

COLOURS = (3, 4)
"""Lengths of a channel axis: RGB and RGBA; one channel is brightness."""
_SAMPLE = 2048
"""Side in pixels up to which a whole image is sampled in full."""
_PATCHES, _PATCH = 16, 64
"""A larger image is sampled by 16 × 16 patches of 64 × 64 pixels."""
_BRIGHTEST_FRACTION = 2.0
"""Floats up to this are fractions of white; interpolation overshoots 1 a little."""
_UNDERSHOOT = 0.02
"""Share of the brightest value by which interpolation may fall below 0."""


class ImageError(ValueError):
    """An image that cannot be used; says what was found, what was expected and what to do."""


def as_array(pixels: Any) -> Any:
    """Return a NumPy array of pixels in memory, else a dask array; nothing is read yet."""
    if hasattr(pixels, "coords") and hasattr(pixels, "dims"):  # xarray wraps one of the others
        pixels = pixels.data
    mapped = isinstance(pixels, np.memmap)
    if (isinstance(pixels, np.ndarray) and not mapped) or hasattr(pixels, "__dask_graph__"):
        return pixels
    if not (hasattr(pixels, "shape") and hasattr(pixels, "dtype")):
        return np.asarray(pixels)
    import dask.array as da

    chunks = getattr(pixels, "chunks", None) or "auto"
    return da.from_array(np.asarray(pixels) if mapped else pixels, chunks=chunks)


def is_lazy(pixels: Any) -> bool:
    """Return whether `pixels` are read when they are needed, not before."""
    return not isinstance(pixels, np.ndarray)


def channels_last(pixels: Any) -> Any:
    """Return an image as ``(Y, X, C)``, whatever the order of its axes; nothing is read.

    Leading axes of length 1 are dropped. An axis of three or four after the plane, else before it,
    holds the channels; a plane alone has one. An empty image, one of another number of channels, or
    a stack raises an ImageError.
    """
    array = as_array(pixels)
    if 0 in array.shape or array.ndim == 0:
        raise ImageError(f"it is empty: its shape is {array.shape}; choose another image")
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        return array[..., None]
    if array.ndim == 3 and array.shape[-1] in (*COLOURS, 1):
        return array
    if array.ndim == 3 and array.shape[0] in (*COLOURS, 1):
        return array.transpose(1, 2, 0)
    raise ImageError(_misshapen(array.shape))


def require_colours(image: Image) -> Image:
    """Return `image` when it has colours; an ImageError when it has one channel."""
    if image.pixels.shape[2:] in ((), (1,)):
        raise ImageError(f"{image.source or image.name}: {_misshapen(image.shape)}")
    return image


def _misshapen(shape: tuple[int, ...]) -> str:
    if len(shape) == 2 or (len(shape) == 3 and min(shape[0], shape[-1]) <= 2):
        few = 1 if len(shape) == 2 else min(shape[0], shape[-1])
        return (
            f"it has {few} channel{'s' * (few > 1)} (shape {shape}) where three channels are "
            "needed: red, green and blue; give the colour image of the stained smear"
        )
    if len(shape) < 2:
        return f"its shape is {shape}; expected (Y, X, 3)"
    return (
        f"it is a stack of planes: its shape is {shape}, expected (Y, X, 3); choose one plane and "
        "save it by itself, or open the stack in napari, where the plane can be chosen"
    )


def check_type(dtype: Any) -> None:
    """Refuse anything but integers and real floats: it cannot be brightness."""
    if np.dtype(dtype).kind not in "uif":
        raise ImageError(
            f"its numbers are {np.dtype(dtype)}; expected integers or floats that mean "
            "brightness, such as uint8, uint16 or float32; convert the image"
        )


def sample(pixels: Any) -> npt.NDArray[Any]:
    """Sample pixels ``(N, C)`` of an image ``(Y, X, C)`` at places that its shape decides.

    All of a small image; of a large one an even grid of patches, so that a lazy one is read in
    few places, and alike however it is cut into chunks.
    """
    rows, columns = (_starts(int(size)) for size in pixels.shape[:2])
    if len(rows) == len(columns) == 1:
        return np.asarray(pixels).reshape(-1, pixels.shape[2])
    height, width = (min(_PATCH, size) if size > _SAMPLE else size for size in pixels.shape[:2])
    patches = [pixels[y : y + height, x : x + width] for y in rows for x in columns]
    if is_lazy(pixels):
        import dask

        patches = list(dask.compute(*patches))
    return np.concatenate([np.asarray(patch).reshape(-1, pixels.shape[2]) for patch in patches])


def _starts(size: int) -> list[int]:
    if size <= _SAMPLE:
        return [0]
    return [round(start) for start in np.linspace(0, size - _PATCH, _PATCHES)]


def contrast(pixels: Any) -> Contrast:
    """Judge what the numbers of an image mean, from a sample of all of it.

    ``uint8`` is taken as it is. Other integers get the smallest even bit depth from 8 on that holds
    the brightest sampled value: cameras store 10, 12 or 14 bits in 16. Floats are fractions of
    white where none exceeds 2, else read as integers are. Pixels are as :func:`channels_last` takes
    them; an ImageError says where they are negative, NaN, infinite, or all transparent.
    """
    array = channels_last(pixels)
    check_type(array.dtype)
    if array.dtype == np.uint8 and array.shape[2] != 4:
        return Contrast()
    values = sample(array)
    check_finite(values)
    lowest, highest = float(values.min()), float(values[:, :3].max())
    if lowest < -_UNDERSHOOT * max(highest, 0.0):
        raise ImageError(
            f"its values reach from {lowest:g} to {highest:g}; expected brightness, 0 or more: "
            "give the image before it was standardised, or add an offset"
        )
    white = _white(array.dtype, highest)
    if array.shape[2] != 4:
        return Contrast(white)
    alpha = float(values[:, 3].max())
    if alpha <= 0:
        raise ImageError(
            "it is transparent all over: its fourth channel is 0; remove the fourth channel"
        )
    return Contrast(white, max(white, _white(array.dtype, alpha)))


def _white(dtype: Any, highest: float) -> float:
    if np.dtype(dtype).kind == "f" and highest <= _BRIGHTEST_FRACTION:
        return 1.0
    bits = math.ceil(np.log2(max(highest, 1.0) + 1))
    return float(2 ** max(8, bits + bits % 2) - 1)


def check_finite(values: npt.NDArray[Any]) -> None:
    """Refuse NaN and infinity, with how many there are."""
    if values.dtype.kind != "f":
        return
    wrong = values.size - int(np.count_nonzero(np.isfinite(values)))
    if wrong:
        raise ImageError(
            f"{wrong} of {values.size} values are NaN or infinite; expected finite brightness: "
            "crop the image, or fill them with the background's colour"
        )


def to_rgb(image: Any, contrast: Contrast | None = None) -> Any:
    """Convert an image to colours in 0–255, ``(Y, X, 3)`` float32, transparent pixels over white.

    Parameters
    ----------
    image
        Image as :func:`~napari_wbc_nca.io.images.prepare` gives it, or pixels ``(Y, X[, C])``,
        ``(C, Y, X)`` of 1, 3 or 4 channels; NumPy, dask or zarr. The result of lazy ones is a dask
        array.
    contrast
        What the numbers mean, where pixels are only a part of an image; that of the image, else
        judged by :func:`contrast`, when None.

    Raises
    ------
    ImageError
        When it is no image; of a lazy image NaN is found when it is computed.

    Examples
    --------
    >>> import numpy as np
    >>> to_rgb(np.full((1, 1, 3), 0.5))[0, 0].tolist()
    [127.5, 127.5, 127.5]
    >>> to_rgb(np.uint8([[[10, 20, 30, 0]]]), Contrast())[0, 0].tolist()
    [255.0, 255.0, 255.0]
    """
    if isinstance(image, Image):
        return to_rgb(image.pixels, contrast or image.contrast)
    array = channels_last(image)
    check_type(array.dtype)
    meaning = _contrast(array) if contrast is None else contrast
    if not is_lazy(array):
        return _convert(array, meaning)
    whole = array.rechunk({2: -1})
    return whole.map_blocks(
        _convert, meaning, dtype=np.float32, chunks=(*whole.chunks[:2], (3,)), meta=_EMPTY
    )


_contrast = contrast
_EMPTY = np.empty((0, 0, 0), np.float32)


def _convert(block: npt.NDArray[Any], contrast: Contrast) -> npt.NDArray[np.float32]:
    check_finite(block)
    # 255 first: 16-bit numbers times 255 are exact in float32.
    colours = block[..., :3].astype(np.float32) * np.float32(255) / np.float32(contrast.white)
    np.clip(colours, 0, 255, out=colours)
    if block.shape[2] == 4:
        alpha = block[..., 3:].astype(np.float32) / np.float32(contrast.opaque)
        np.clip(alpha, 0, 1, out=alpha)
        colours = colours * alpha + 255 * (1 - alpha)
    return np.asarray(np.repeat(colours, 3, axis=2) if block.shape[2] == 1 else colours, np.float32)


MICROMETRES = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("å", "angstrom"), 1e-4),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
    **dict.fromkeys(("in", "inch"), 25_400.0),
}
"""How many µm a unit of length is."""
OBLONG = 0.01
"""Relative difference of a pixel's sides above which it has no one size."""
MICROSCOPY = (0.01, 20.0)
"""Sides in µm that a pixel of a microscope's image of cells can have."""
_PRINT_DPI = (1440, 1800, 2000, 2400, 3000, 3200, 3600, 4000, 4800, 6400, 9600)
"""Dots an inch of printers and scanners whose pixels would be as small as a microscope's."""


def plane(pixels: Any, axes: str, *, rgba: bool = False) -> Any:
    """Return the plane ``(Y, X)`` or ``(Y, X, C)`` of an array with one letter an axis.

    Axes of length 1 are dropped. ``S`` (samples) and ``C`` hold channels; so does an axis without a
    meaning (``Q``, ``I``) of length three or four where there is no other. Four channels ``C`` are
    RGBA only where `rgba` says so: they may be four stains. An ImageError says when more than one
    plane remains.
    """
    keep = [n for n, letter in enumerate(axes) if letter in "YX" or pixels.shape[n] > 1]
    pixels = pixels[tuple(slice(None) if n in keep else 0 for n in range(len(axes)))]
    left = "".join(axes[n] for n in keep)
    others = [letter for letter in left if letter not in "YX"]
    named = [letter for letter in others if letter in "SC"]
    channels = [n for n, a in zip(pixels.shape, left, strict=True) if a in "QI" and n in COLOURS]
    if len(others) > 1 or (others and not named and not channels):
        found = ", ".join(f"{a} {n}" for a, n in zip(left, pixels.shape, strict=True))
        raise ImageError(
            f"it is a stack of planes ({found}); choose one plane and save it by itself, or open "
            "the stack in napari, where the plane can be chosen"
        )
    if others == ["C"] and pixels.shape[left.index("C")] != (4 if rgba else 3):
        raise ImageError(
            f"it has {pixels.shape[left.index('C')]} channels where three channels are needed: "
            "red, green and blue; give the colour image of the stained smear"
        )
    return pixels.transpose([left.index(letter) for letter in ("Y", "X", *others)])


def micrometres(length: Any, unit: str | None) -> float:
    """Convert a length to µm; NaN where `length` is no number or `unit` no unit of length.

    Examples
    --------
    >>> micrometres(250, "nm"), micrometres("0,25", "micron"), micrometres(1, "pixel")
    (0.25, 0.25, nan)
    >>> micrometres(" 0.5 ", "um"), micrometres("about 1", "um")
    (0.5, nan)
    """
    name = str(unit or "").strip().lower().replace("\\u00b5", "µ")
    try:
        return number(str(length).strip()) * MICROMETRES.get(name, math.nan)
    except ValueError:
        return math.nan


def side(y: float, x: float) -> float | None:
    """Return the side of a pixel in µm, given those along y and x; None where it is unknown.

    Sizes that no microscope has, such as a resolution for printing, are unknown; so are those of
    oblong pixels.

    Examples
    --------
    >>> side(0.25, 0.25), side(0.2, 0.4), side(84.7, 84.7), side(float("nan"), 1)
    (0.25, None, None, None)
    """
    if not (MICROSCOPY[0] <= x <= MICROSCOPY[1] and math.isclose(x, y, rel_tol=OBLONG)):
        return None
    return None if any(math.isclose(25_400 / x, dpi, rel_tol=1e-3) for dpi in _PRINT_DPI) else x


def oriented(pixels: Any, orientation: int) -> Any:
    """Turn a plane ``(Y, X[, C])`` as the orientation tag of TIFF and EXIF says (1–8).

    Examples
    --------
    >>> import numpy as np
    >>> oriented(np.array([[1, 2]]), 6).tolist(), oriented(np.array([[1, 2]]), 3).tolist()
    ([[1], [2]], [[2, 1]])
    """
    if orientation not in range(2, 9):
        return pixels
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    turned = pixels[rows, columns]
    return turned if is_lazy(turned) else np.ascontiguousarray(turned)
