"""Points and boxes of cells from a CSV file, for ``locate``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_wbc_nca.datasets.label_files import read_table
from napari_wbc_nca.datasets.samples import LabelError
from napari_wbc_nca.io._files import NameIndex
from napari_wbc_nca.io.tables import number

if TYPE_CHECKING:
    import numpy.typing as npt

POINTS = (("y", "x"), ("axis-0", "axis-1"), ("centroid_y", "centroid_x"))
"""Columns of points: plain, of a Points layer that napari saved, of our table of cells."""
BOXES = (("y0", "x0", "y1", "x1"), ("box_y0", "box_x0", "box_y1", "box_x1"))
"""Columns of boxes: plain, of our table of cells."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """Points or boxes, of one image or of several.

    Attributes
    ----------
    path
        File they came from.
    values
        ``(N, 2)`` y, x or ``(N, 4)`` y0, x0, y1, x1 in pixels.
    images
        Name or path of the image of each row; empty where the file has no column ``image``.
    """

    path: Path
    values: npt.NDArray[np.float64]
    images: tuple[str, ...] = ()

    def of(self, image: Path, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
        """Return the prompts of one image, which must lie within its `shape`.

        Raises
        ------
        LabelError
            When one lies outside.
        """
        index = NameIndex({image: True})
        mine = [index.get(name) is not None for name in self.images] or slice(None)
        found: npt.NDArray[np.float64] = self.values[mine]
        limits = np.tile(shape, found.shape[1] // 2)
        outside = ((found < 0) | (found > limits)).any(axis=1)
        if outside.any():
            raise LabelError(
                f"{self.path}: {_numbers(found[outside][0])} lies outside {image.name}, which is "
                f"{shape[0]} by {shape[1]} pixels; coordinates are rows and columns in pixels"
            )
        return found


def read_prompts(path: Path, forms: Sequence[Sequence[str]]) -> Prompts:
    """Read points or boxes from the columns of one of `forms`, and perhaps ``image``.

    Raises
    ------
    LabelError
        For a missing file or column, or a row that cannot be read.
    """
    table = read_table(path)
    columns = next((form for form in forms if set(form) <= set(table.columns)), None)
    if columns is None or "axis-2" in table.columns:
        expected = " or ".join(",".join(form) for form in forms)
        raise LabelError(
            f"{path} has the columns {','.join(table.columns)}; expected {expected}, and image "
            "where there are several images"
        )
    values = [
        _row(table.where(at), [row[name] for name in columns]) for at, row in enumerate(table.rows)
    ]
    images = tuple(row["image"] for row in table.rows) if "image" in table.columns else ()
    return Prompts(path, np.array(values, np.float64).reshape(-1, len(columns)), images)


def _row(where: str, texts: Sequence[str]) -> list[float]:
    try:
        values = [number(text) for text in texts]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise LabelError(f"{where}: {texts}; expected numbers in pixels")
    if len(values) == 4 and not (values[0] < values[2] and values[1] < values[3]):
        raise LabelError(f"{where}: {_numbers(values)}; expected y0 < y1 and x0 < x1")
    return values


def _numbers(values: Sequence[float] | npt.NDArray[np.float64]) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"
