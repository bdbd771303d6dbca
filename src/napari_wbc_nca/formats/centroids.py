"""Cells by their centres: pictures with a table of points, and single-cell crops by class.

``points.csv`` names the centres and classes of the cells of the pictures beside it; an image
without cells has a row without a point, and what nobody reviewed is grey. Crops lie in a folder for
each class, have the same side in µm, and are mirrored where they reach outside of the image;
``cells.csv`` says where each was cut.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.formats import files
from napari_wbc_nca.formats.items import ExportError, Item, item, note_hidden, row_image
from napari_wbc_nca.io._files import stem

if TYPE_CHECKING:
    import pandas as pd

POINTS, CROPS = "points.csv", "cells.csv"
_COLUMNS = ["image", "y", "x", "class", "label", "origin"]
_CROP_COLUMNS = ["file", "image", "height", "width", "y", "x"]
"""First columns of the tables."""


def write(items: Sequence[Item], classes: Sequence[str], folder: Path) -> None:
    """Write pictures and their table, in a folder for each split."""
    import pandas as pd

    for split in dict.fromkeys(one.split for one in items):
        place = files.make_folder(folder / split)
        tables = []
        for one in (one for one in items if one.split == split):
            file = f"{one.name}.png"
            files.write_png(place / file, files.to_colours(one, hide=True))
            y, x = _centres(one).T.round(2)
            tables.append(one.cells.assign(image=file, y=y, x=x))
            if not len(one.cells):
                tables[-1] = pd.DataFrame({"image": [file]}, dtype=object)
        _write_table(place / POINTS, tables, _COLUMNS)


def write_crops(
    items: Sequence[Item], classes: Sequence[str], folder: Path, *, crop: float
) -> None:
    """Write crops with a side of `crop` µm, in a folder for each split and class.

    ExportError where the size of an image's pixels is unknown.
    """
    tables = []
    for one in items:
        if one.pixel_size is None:
            raise ExportError(
                f"{one.name}: the size of its pixels is unknown, so that a crop of {crop:g} µm "
                "cannot be cut; give the pixel size"
            )
        side, centres = max(1, round(crop / one.pixel_size)), _centres(one)
        margin = side // 2 + 1
        frame = ((margin, margin), (margin, margin), (0, 0))
        padded = np.pad(files.to_colours(one), frame, mode="symmetric")
        names = []
        for (label, kind), centre in zip(one.classes().items(), centres, strict=True):
            top, left = (round(middle + 0.5 - side / 2) + margin for middle in centre)
            safe = re.sub(r'[\\/:*?"<>|\0]', "_", kind).strip(". ") or "wbc"
            place = Path(one.split) / safe / f"{one.name}_{label}.png"
            files.write_png(folder / place, padded[top : top + side, left : left + side])
            names.append(place.as_posix())
        y, x = centres.T
        size = dict(zip(("height", "width"), one.shape, strict=True))
        tables.append(one.cells.assign(file=names, image=one.name, y=y, x=x, **size))
    _write_table(folder / CROPS, [table for table in tables if len(table)], _CROP_COLUMNS)


def _write_table(path: Path, tables: Sequence[pd.DataFrame], first: Sequence[str]) -> None:
    import pandas as pd

    table = pd.concat(tables)
    others = [name for name in table if name not in first]
    files.write_cells(path, table.reindex(columns=[*first, *others]))


def _centres(one: Item) -> npt.NDArray[np.float64]:
    """Compute the ``(N, 2)`` mean y and x of each cell's pixels, in the order of the table."""
    cells = row_image(one)
    y, x = np.nonzero(cells)
    number = cells[y, x]
    count = np.bincount(number, minlength=len(one.cells) + 1)[1:]
    sums = [np.bincount(number, axis, len(one.cells) + 1)[1:] for axis in (y, x)]
    return np.stack(sums, axis=1) / count[:, None]


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Read points as cells of one labelled pixel each: centres do not hold an outline."""
    items = []
    for file in files.find_files(path, [f"**/{POINTS}"], f"no {POINTS}"):
        for name, rows in _read_groups(file, ["y", "x"]):
            own = pixels
            if pixels is None:
                own, _ = files.read_picture(files.find_picture(file.parent, name))
            if own is None:
                raise ExportError(f"{file} lists {name}, which is not beside it")
            one = _item(stem(name), rows.dropna(subset=["y", "x"], how="all"), own, own.shape[:2])
            items.append(replace(one, split=files.split_of(file.parent)))
    return items


def read_crops(path: Path, pixels: Any = None) -> list[Item]:
    """Read a point for each cell, where it was cut: crops do not hold its outline."""
    hint = f"no {CROPS}, which says where the crops were cut"
    (file,) = files.find_files(path, [CROPS], hint)
    items = []
    for name, rows in _read_groups(file, _CROP_COLUMNS):
        shape = int(rows["height"].iloc[0]), int(rows["width"].iloc[0])
        cells = rows.drop(columns=["file", "height", "width"])
        items.append(_item(name, cells, pixels, shape))
    return items


def _read_groups(path: Path, columns: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """Read the rows of each image of a table."""
    table = files.read_cells(path)
    missing = {"image", "class", *columns} - set(() if table is None else table)
    if table is None or missing:
        raise ExportError(f"{path}: its table has no column {', '.join(sorted(missing))}")
    return [(str(name), rows) for name, rows in table.groupby("image", sort=False)]


def _item(name: str, table: pd.DataFrame, pixels: Any, shape: tuple[int, int]) -> Item:
    """Make an item with one pixel a cell, at ``y`` and ``x`` of the table."""
    import pandas as pd

    places = table[["y", "x"]].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    inside = ((places >= -0.5) & (places <= shape)).all(axis=1)  # never for NaN
    outside = len(table) - np.count_nonzero(inside)
    note = f"{name}: {outside} points that are no numbers or outside of the image are left out"
    table, places = table[inside], places[inside]
    known = "label" in table and table["label"].notna().all() and table["label"].is_unique
    numbers = table["label"].to_numpy(int) if known else np.arange(1, len(table) + 1)
    labels = np.zeros(shape, np.uint32)
    at = np.clip(np.round(places).astype(int), 0, np.array(shape) - 1)
    labels[at[:, 0], at[:, 1]] = numbers
    cells = table.drop(columns=["image", "y", "x"]).assign(label=numbers)
    one = item(name, labels, cells, pixels)
    notes = [note] * bool(outside)
    return replace(one, notes=(*notes, *note_hidden(numbers.tolist(), labels)))
