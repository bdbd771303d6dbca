"""Single-cell crops in a folder for each class: what the NCA methods train from.

Every crop has the same side in µm. ``cells.csv`` says where each was cut. Parts of a crop that lie
outside of the image are its mirror image.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_wbc_nca.formats.centroids import centres, points
from napari_wbc_nca.formats.files import read_cells, rgb, write_cells, write_png
from napari_wbc_nca.formats.items import ExportError, Item

if TYPE_CHECKING:
    from napari_wbc_nca.formats.params import ExportParams

TABLE = "cells.csv"


def write(
    items: Sequence[Item], classes: Sequence[str], folder: Path, params: ExportParams
) -> None:
    """Write the crops, in a folder for each split and class.

    Raises
    ------
    ExportError
        When the size of an image's pixels is unknown.
    """
    listed = []
    for one in items:
        side = _side(one, params)
        pixels = rgb(one)
        margin = side // 2 + 1
        padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
        names = one.cells["class"].tolist()
        labels = one.cells["label"].tolist()
        for label, name, (y, x) in zip(labels, names, centres(one), strict=True):
            top, left = (round(at + 0.5 - side / 2) + margin for at in (y, x))
            place = Path(one.split) / _folder(name) / f"{one.name}_{label}.png"
            write_png(folder / place, padded[top : top + side, left : left + side])
            listed.append((place.as_posix(), one.name, label, y, x, name, *one.shape))
    columns = ["file", "image", "label", "y", "x", "class", "height", "width"]
    write_cells(folder / TABLE, pd.DataFrame(listed, columns=columns))


def _side(one: Item, params: ExportParams) -> int:
    if one.pixel_size is None:
        raise ExportError(
            f"{one.name}: the size of its pixels is unknown, so that a crop of {params.crop:g} µm "
            "cannot be cut; give the pixel size"
        )
    return max(1, round(params.crop / one.pixel_size))


def _folder(name: str) -> str:
    return re.sub(r'[\\/:*?"<>|\0]', "_", name).strip(". ") or "wbc"


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Items with a point for each cell, where it was cut: crops do not hold its outline."""
    table = read_cells(path / TABLE)
    if table is None:
        raise ExportError(f"{path}: no {TABLE}, which says where the crops were cut")
    return [
        points(str(name), some, pixels, (int(some["height"].iloc[0]), int(some["width"].iloc[0])))
        for name, some in table.groupby("image", sort=False)
    ]
