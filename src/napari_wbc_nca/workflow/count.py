"""Count cells by type over a folder of results, or an annotation project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wbc_nca.io import images
from napari_wbc_nca.io.results import LABELS, TABLE
from napari_wbc_nca.io.tables import TableError, read_table, to_frame
from napari_wbc_nca.project.project import Project, is_project

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Count:
    """Differential counts of several images.

    `differentials` are rows of :func:`~napari_wbc_nca.ops.differential.differential` with a column
    ``image``; the last image, ``all images``, is all of them together. `cells` is every cell, with
    a column ``image``, `failed` each image that could not be counted, and why.
    """

    differentials: pd.DataFrame
    cells: pd.DataFrame
    failed: dict[str, str]


ALL_IMAGES = "all images"
"""Name of the row that counts all images together."""
Read = Callable[[], "tuple[pd.DataFrame, tuple[int, int] | None]"]


def count_cells(folder: str | Path) -> Count:
    """Count the cells of a folder of results, or of an annotation project, by type.

    `folder` is one that ``segment`` wrote into, subfolders included, or a project's, whose
    corrected cells are counted. Where no cell table is there, a ValueError is raised.
    """
    import pandas as pd

    from napari_wbc_nca.ops.differential import differential
    from napari_wbc_nca.ops.doubt import doubt

    place, failed = Path(folder), dict[str, str]()
    tables: dict[str, pd.DataFrame] = {}
    for name, read in _sources(place):
        try:
            table, shape = read()
            if "class" not in table:
                raise TableError(f"has no column 'class', only {', '.join(map(str, table))}")
        except (ValueError, OSError) as error:
            failed[name] = str(error)
            continue
        rated = doubt(table, shape)
        tables[name] = table.join(rated[[column for column in rated if column not in table]])
    if not tables and not failed:
        raise ValueError(
            f"{place} holds no table of cells (NAME{TABLE}); give the folder that `segment` wrote "
            "into, or the folder of an annotation project"
        )
    counts = [differential(t).assign(image=name) for name, t in tables.items()]
    cells = pd.DataFrame(columns=["image", "label", "class"])
    if tables:
        cells = pd.concat([t.assign(image=name) for name, t in tables.items()], ignore_index=True)
    if len(tables) > 1:
        counts.append(differential(cells).assign(image=ALL_IMAGES))
    rows = pd.concat(counts, ignore_index=True) if counts else pd.DataFrame(columns=["image"])
    return Count(_image_first(rows), _image_first(cells), failed)


def _sources(place: Path) -> Iterator[tuple[str, Read]]:
    """Name of each image, and a function that reads its table of cells and its size."""
    if is_project(place):
        with Project(place) as project:
            for image in project.images():
                for layer in project.latest_layers(image):
                    yield image.path.stem, partial(_read_layer, project, layer.id)
        return
    for table in sorted(place.rglob(f"*{TABLE}")):
        name = table.relative_to(place).as_posix().removesuffix(TABLE)
        yield name, partial(_read_result, table)


def _read_result(table: Path) -> tuple[pd.DataFrame, tuple[int, int] | None]:
    """Read a table of cells that `segment` wrote, and the size of the label image beside it."""
    labels = table.with_name(table.name.removesuffix(TABLE) + LABELS["cell"])
    return to_frame(read_table(table)), images.size(labels) if labels.exists() else None


def _read_layer(project: Project, layer: int) -> tuple[pd.DataFrame, tuple[int, int]]:
    """Read the corrected cells of a layer of a project, and the size of its image."""
    import pandas as pd

    labels, rows = project.journal(layer).restore()
    height, width = labels.shape[-2:]
    return pd.DataFrame([rows[label] for label in sorted(rows)]), (height, width)


def _image_first(table: pd.DataFrame) -> pd.DataFrame:
    return table[["image", *(name for name in table if name != "image")]]
