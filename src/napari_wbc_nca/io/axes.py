"""One colour plane out of an array whose axes have names, and lengths in µm."""

from __future__ import annotations

import math
from typing import Any

from napari_wbc_nca.io.pixels import COLOURS, ImageError

MICROMETRES = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
    **dict.fromkeys(("in", "inch"), 25_400.0),
}
"""How many µm a unit of length is."""
OBLONG = 0.01
"""Relative difference of a pixel's sides above which it has no one size."""


def plane(pixels: Any, axes: str) -> Any:
    """``(Y, X)`` or ``(Y, X, C)`` of an array with one letter an axis.

    Axes of length 1 are dropped. ``S`` (samples) and ``C`` hold channels; so does an axis
    without a meaning (``Q``, ``I``) of length three or four where there is no other.

    Raises
    ------
    ImageError
        When more than one plane remains.
    """
    keep = [n for n, letter in enumerate(axes) if letter in "YX" or pixels.shape[n] > 1]
    pixels = pixels[tuple(slice(None) if n in keep else 0 for n in range(len(axes)))]
    left = "".join(axes[n] for n in keep)
    others = [letter for letter in left if letter not in "YX"]
    named = [letter for letter in others if letter in "SC"]
    if len(others) > 1 or (others and not named and not _may_be_channels(pixels, left, others[0])):
        found = ", ".join(f"{a} {n}" for a, n in zip(left, pixels.shape, strict=True))
        raise ImageError(
            f"it is a stack of planes ({found}); choose one plane and save it by itself, or open "
            "the stack in napari, where the plane can be chosen"
        )
    if others == ["C"] and pixels.shape[left.index("C")] != 3:
        raise ImageError(
            f"it has {pixels.shape[left.index('C')]} channels where three channels are needed: "
            "red, green and blue; give the colour image of the stained smear"
        )
    return pixels.transpose([left.index(letter) for letter in ("Y", "X", *others)])


def _may_be_channels(pixels: Any, axes: str, letter: str) -> bool:
    return letter in "QI" and pixels.shape[axes.index(letter)] in COLOURS


def side(y: float, x: float, unit: str | None) -> float | None:
    """Side of a pixel in µm; None where the unit is no length, or the pixel is oblong.

    Examples
    --------
    >>> side(250, 250, "nm"), side(1, 1, "pixel"), side(0.2, 0.4, "µm")
    (0.25, None, None)
    """
    factor = MICROMETRES.get((unit or "").strip().lower().replace("\\u00b5", "µ"))
    if factor is None or not (math.isfinite(x) and math.isfinite(y) and x > 0 and y > 0):
        return None
    return x * factor if math.isclose(x, y, rel_tol=OBLONG) else None
