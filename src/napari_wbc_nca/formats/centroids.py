"""Pictures with ``points.csv`` of the cells' centres and classes: what our methods train from.

An image without cells has a row without a point. What nobody reviewed is grey in the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_wbc_nca.formats.files import made, read_cells, read_picture, rgb, write_cells, write_png
from napari_wbc_nca.formats.items import ExportError, Item, item, rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.formats.params import ExportParams

TABLE = "points.csv"
COLUMNS = ["image", "y", "x", "class", "label"]


def write(
    items: Sequence[Item], classes: Sequence[str], folder: Path, params: ExportParams
) -> None:
    """Write pictures and their table, in a folder for each split."""
    for split in dict.fromkeys(one.split for one in items):
        place, listed = made(folder / split), []
        for one in (one for one in items if one.split == split):
            file = f"{one.name}.png"
            write_png(place / file, rgb(one, hide=True))
            cells = one.cells.itertuples(index=False)
            listed += [
                (file, f"{y:.2f}", f"{x:.2f}", name, label)
                for (label, name, _), (y, x) in zip(cells, centres(one), strict=True)
            ] or [(file, "", "", "", "")]
        write_cells(place / TABLE, pd.DataFrame(listed, columns=COLUMNS))


def centres(one: Item) -> npt.NDArray[np.float64]:
    """``(N, 2)`` mean y and x of each cell's pixels, in the order of the table."""
    cells = rows(one)
    y, x = np.nonzero(cells)
    number = cells[y, x]
    count = np.bincount(number, minlength=len(one.cells) + 1)[1:]
    sums = [np.bincount(number, axis, len(one.cells) + 1)[1:] for axis in (y, x)]
    return np.stack(sums, axis=1) / count[:, None]


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Items with a labelled pixel at each point: centres do not hold an outline."""
    files = [path] if path.is_file() else sorted(path.rglob(TABLE))
    if not files:
        raise ExportError(f"{path}: no {TABLE}")
    return [one for file in files for one in _read(file, pixels)]


def _read(path: Path, pixels: Any) -> list[Item]:
    table = read_cells(path)
    if table is None or not {"image", "y", "x", "class"} <= set(table):
        raise ExportError(f"{path}: expected the columns image, y, x and class")
    items, split = [], path.parent.name
    for name, some in table.groupby("image", sort=False):
        own = read_picture(path.parent / str(name))[0] if pixels is None else pixels
        if own is None:
            raise ExportError(f"{path} lists {name}, which is not beside it")
        one = points(Path(str(name)).stem, some.dropna(subset=["y", "x"]), own, own.shape[:2])
        items.append(replace(one, split=split if split in ("train", "val", "test") else ""))
    return items


def points(name: str, table: pd.DataFrame, pixels: Any, shape: tuple[int, int]) -> Item:
    """Item with one pixel a cell.

    Parameters
    ----------
    name
        Of the image.
    table
        With ``y``, ``x``, ``class`` and, where known, ``label``.
    pixels, shape
        Of the image.
    """
    known = "label" in table and table["label"].notna().all() and table["label"].is_unique
    numbers = table["label"].to_numpy(int) if known else np.arange(1, len(table) + 1)
    labels = np.zeros(shape, np.uint32)
    at = np.round(table[["y", "x"]].to_numpy(float)).astype(int)
    at = np.clip(at, 0, np.array(shape) - 1)
    labels[at[:, 0], at[:, 1]] = numbers
    return item(name, labels, pd.DataFrame({"label": numbers, "class": table["class"]}), pixels)
