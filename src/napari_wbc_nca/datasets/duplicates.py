"""Finding one picture among others by its pixels, whatever the files are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_wbc_nca.datasets.samples import LabelError

if TYPE_CHECKING:
    import numpy.typing as npt


def same_pictures(
    first: Sequence[Path], second: Sequence[Path], size: int = 32, least: float = 0.95
) -> list[tuple[Path, Path]]:
    """Pairs of files that show the same picture, resized or compressed anew.

    Both are shrunk to ``size × size`` grey pixels; pairs whose Pearson correlation is at least
    `least` are the same. Unrelated smears stay below 0.7, copies of one picture reach 0.99.
    Turned, mirrored or shifted copies are not found.

    Parameters
    ----------
    first, second
        Files of pictures.
    size
        Side in pixels of what is compared.
    least
        Correlation from which two pictures are the same.

    Returns
    -------
    list of (Path, Path)
        Every pair, in the order of `first`, then of `second`.
    """
    if not first or not second:
        return []
    correlation = _shrunk(first, size) @ _shrunk(second, size).T
    return [(first[row], second[column]) for row, column in np.argwhere(correlation >= least)]


def _shrunk(paths: Sequence[Path], size: int) -> npt.NDArray[np.float32]:
    """``(len(paths), size²)`` grey values of mean 0 and norm 1; a flat picture is all 0."""
    grey = np.stack([shrink(path, size) for path in paths]).reshape(len(paths), -1)
    grey -= grey.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(grey, axis=1, keepdims=True)
    grey /= np.where(norm > 0, norm, 1)
    return grey


def shrink(path: Path, size: int) -> npt.NDArray[np.float32]:
    """``(size, size)`` grey values of a picture, averaged over the pixels that each covers.

    Raises
    ------
    LabelError
        When the file is no picture that can be read.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.draft("L", (4 * size, 4 * size))  # JPEG decodes at a fraction of its size
            grey = picture.convert("L").resize((size, size), Image.Resampling.BOX)
    except OSError as error:
        raise LabelError(f"{path} cannot be read as a picture: {error}") from error
    return np.asarray(grey, dtype=np.float32)
