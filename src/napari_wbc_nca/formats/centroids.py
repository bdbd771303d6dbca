"""Pictures with ``points.csv`` of the cells' centres and classes: what our methods train from.

An image without cells has a row without a point. What nobody reviewed is grey in the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.formats.files import (
    find_picture,
    make_folder,
    read_cells,
    read_picture,
    split_of,
    to_colours,
    write_cells,
    write_png,
)
from napari_wbc_nca.formats.items import ExportError, Item, item, note_hidden, row_image
from napari_wbc_nca.io._files import stem

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from napari_wbc_nca.formats.params import ExportParams

TABLE = "points.csv"
COLUMNS = ["image", "y", "x", "class", "label", "origin"]


def write(
    items: Sequence[Item], classes: Sequence[str], folder: Path, params: ExportParams
) -> None:
    """Write pictures and their table, in a folder for each split."""
    import pandas as pd

    for split in dict.fromkeys(one.split for one in items):
        place = make_folder(folder / split)
        tables = []
        for one in (one for one in items if one.split == split):
            file = f"{one.name}.png"
            write_png(place / file, to_colours(one, hide=True))
            tables.append(place_cells(one).assign(image=file))
            if not len(one.cells):
                tables[-1] = pd.DataFrame({"image": [file]}, dtype=object)
        table = pd.concat(tables)
        others = [name for name in table if name not in COLUMNS]
        write_cells(place / TABLE, table.reindex(columns=[*COLUMNS, *others]))


def place_cells(one: Item) -> pd.DataFrame:
    """Make a table of an item's cells with the mean y and x of their pixels, to hundredths."""
    others = one.cells.drop(columns=["image", "y", "x"], errors="ignore")
    y, x = centres(one).T.round(2)
    return others.assign(y=y, x=x)


def centres(one: Item) -> npt.NDArray[np.float64]:
    """Compute the ``(N, 2)`` mean y and x of each cell's pixels, in the order of the table."""
    cells = row_image(one)
    y, x = np.nonzero(cells)
    number = cells[y, x]
    count = np.bincount(number, minlength=len(one.cells) + 1)[1:]
    sums = [np.bincount(number, axis, len(one.cells) + 1)[1:] for axis in (y, x)]
    return np.stack(sums, axis=1) / count[:, None]


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Read points as cells of one labelled pixel each: centres do not hold an outline."""
    files = [path] if path.is_file() else sorted(path.rglob(TABLE))
    if not files:
        raise ExportError(f"{path}: no {TABLE}")
    return [one for file in files for one in _read(file, pixels)]


def _read(path: Path, pixels: Any) -> list[Item]:
    table = read_cells(path)
    if table is None or not {"image", "y", "x", "class"} <= set(table):
        raise ExportError(f"{path}: expected the columns image, y, x and class")
    items = []
    for name, some in table.groupby("image", sort=False):
        picture = find_picture(path.parent, str(name))
        own = read_picture(picture)[0] if pixels is None else pixels
        if own is None:
            raise ExportError(f"{path} lists {name}, which is not beside it")
        one = points(stem(str(name)), some.dropna(subset=["y", "x"]), own, own.shape[:2])
        items.append(replace(one, split=split_of(path.parent)))
    return items


def points(name: str, table: pd.DataFrame, pixels: Any, shape: tuple[int, int]) -> Item:
    """Make an item with one pixel a cell.

    Parameters
    ----------
    name
        Of the image.
    table
        With ``y``, ``x``, ``class`` and, where known, ``label`` and other columns.
    pixels, shape
        Of the image.
    """
    known = "label" in table and table["label"].notna().all() and table["label"].is_unique
    numbers = table["label"].to_numpy(int) if known else np.arange(1, len(table) + 1)
    labels = np.zeros(shape, np.uint32)
    at = np.round(table[["y", "x"]].to_numpy(float)).astype(int)
    at = np.clip(at, 0, np.array(shape) - 1)
    labels[at[:, 0], at[:, 1]] = numbers
    notes = note_hidden(numbers.tolist(), labels)
    cells = table.drop(columns=["image", "y", "x"]).assign(label=numbers)
    return replace(item(name, labels, cells, pixels), notes=notes)
