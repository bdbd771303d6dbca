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

from napari_wbc_nca.formats.centroids import centres, points
from napari_wbc_nca.formats.files import read_cells, to_colours, write_cells, write_png
from napari_wbc_nca.formats.items import ExportError, Item

if TYPE_CHECKING:
    from napari_wbc_nca.formats.params import ExportParams

TABLE = "cells.csv"
_PLACE = ["file", "image", "height", "width", "y", "x"]
"""Columns that say where a crop was cut."""


def write(
    items: Sequence[Item], classes: Sequence[str], folder: Path, params: ExportParams
) -> None:
    """Write the crops, in a folder for each split and class.

    Raises
    ------
    ExportError
        When the size of an image's pixels is unknown.
    """
    import pandas as pd

    tables = []
    for one in items:
        side, at = _side(one, params), centres(one)
        margin = side // 2 + 1
        padded = np.pad(
            to_colours(one), ((margin, margin), (margin, margin), (0, 0)), mode="symmetric"
        )
        files = []
        for (label, name), centre in zip(one.classes().items(), at, strict=True):
            top, left = (round(middle + 0.5 - side / 2) + margin for middle in centre)
            place = Path(one.split) / _folder(name) / f"{one.name}_{label}.png"
            write_png(folder / place, padded[top : top + side, left : left + side])
            files.append(place.as_posix())
        y, x = at.T
        others = one.cells.drop(columns=_PLACE, errors="ignore")
        size = dict(zip(("height", "width"), one.shape, strict=True))
        tables.append(others.assign(file=files, image=one.name, y=y, x=x, **size))
    table = pd.concat([table for table in tables if len(table)])
    write_cells(folder / TABLE, table[_PLACE + [name for name in table if name not in _PLACE]])


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
    """Read a point for each cell, where it was cut: crops do not hold its outline."""
    table = read_cells(path / TABLE if path.is_dir() else path)
    if table is None:
        raise ExportError(f"{path}: no {TABLE}, which says where the crops were cut")
    if missing := {*_PLACE, "class"} - set(table):
        raise ExportError(f"{path}: its table has no column {', '.join(sorted(missing))}")
    return [
        points(
            str(name),
            some.drop(columns=["file", "height", "width"]),
            pixels,
            (int(some["height"].iloc[0]), int(some["width"].iloc[0])),
        )
        for name, some in table.groupby("image", sort=False)
    ]
