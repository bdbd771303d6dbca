"""Points and boxes of cells, for ``locate``, from a CSV file."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_wbc_nca.datasets.samples import LabelError

if TYPE_CHECKING:
    import numpy.typing as npt

POINTS = (("y", "x"), ("axis-0", "axis-1"), ("centroid_y", "centroid_x"))
"""Columns of points: plain, of a Points layer that napari saved, of our table of cells."""
BOXES = (("y0", "x0", "y1", "x1"), ("box_y0", "box_x0", "box_y1", "box_x1"))
"""Columns of boxes: plain, of our table of cells."""


@dataclass(frozen=True, eq=False)
class Places:
    """Points or boxes, of one image or of several.

    Attributes
    ----------
    path
        File they came from.
    values
        ``(N, 2)`` y, x or ``(N, 4)`` y0, x0, y1, x1 in pixels.
    images
        File name or stem of the image of each row; empty where the file has no column ``image``.
    """

    path: Path
    values: npt.NDArray[np.float64]
    images: tuple[str, ...] = ()

    def of(self, image: Path, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
        """Those of one image, which must lie within its `shape`.

        Raises
        ------
        LabelError
            When one lies outside.
        """
        names = (image.name, image.stem)
        mine = [name in names for name in self.images] if self.images else slice(None)
        found: npt.NDArray[np.float64] = self.values[mine]
        limits = np.tile(shape, found.shape[1] // 2)
        outside = ((found < 0) | (found > limits)).any(axis=1)
        if outside.any():
            raise LabelError(
                f"{self.path}: {_numbers(found[outside][0])} lies outside {image.name}, which is "
                f"{shape[0]} by {shape[1]} pixels; coordinates are rows and columns in pixels"
            )
        return found


def read(path: Path, forms: Sequence[Sequence[str]]) -> Places:
    """Points or boxes with the columns of one of `forms`, and perhaps ``image``.

    Raises
    ------
    LabelError
        For a missing file or column, or a row that cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"{path} cannot be read: {error}; expected a CSV file") from error
    found = list(rows[0]) if rows else []
    columns = next((form for form in forms if set(form) <= set(found)), None)
    if columns is None or "axis-2" in found:
        expected = " or ".join(",".join(form) for form in forms)
        raise LabelError(
            f"{path} has the columns {','.join(map(str, found)) or 'of no row'}; expected "
            f"{expected}, and image where there are several images"
        )
    values = [_row(path, n, [row[name] for name in columns]) for n, row in enumerate(rows, start=2)]
    images = tuple(row["image"] for row in rows) if "image" in found else ()
    return Places(path, np.array(values, np.float64).reshape(-1, len(columns)), images)


def _row(path: Path, number: int, texts: Sequence[str | None]) -> list[float]:
    try:
        values = [float(text or "") for text in texts]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise LabelError(f"{path}, line {number}: {texts}; expected numbers in pixels")
    if len(values) == 4 and not (values[0] < values[2] and values[1] < values[3]):
        raise LabelError(f"{path}, line {number}: {_numbers(values)}; expected y0 < y1 and x0 < x1")
    return values


def _numbers(values: Sequence[float] | npt.NDArray[np.float64]) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"
