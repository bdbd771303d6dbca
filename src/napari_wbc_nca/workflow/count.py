"""Count cells by type over a folder of results, or an annotation project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wbc_nca.io.results import TABLE
from napari_wbc_nca.workflow.cell_sources import find_sources

if TYPE_CHECKING:
    import pandas as pd

    from napari_wbc_nca.project.project import Project


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


def count_cells(folder: str | Path, opened: Mapping[Path, Project] | None = None) -> Count:
    """Count the cells of a folder of results, or of an annotation project, by type.

    `folder` is one that ``segment`` wrote into, subfolders included, or a project's. Cells that
    were corrected are counted as they are now, with the arguments of
    :func:`~napari_wbc_nca.workflow.cell_sources.find_sources`. Where no cell table is there, a
    ValueError is raised.
    """
    import pandas as pd

    failed: dict[str, str] = {}
    tables: dict[str, pd.DataFrame] = {}
    for source in find_sources(folder, opened):
        try:
            tables[source.name] = source.read().cells
        except (ValueError, OSError) as error:
            failed[source.name] = str(error)
    if not tables and not failed:
        raise ValueError(
            f"{folder} holds no table of cells (NAME{TABLE}); give the folder that `segment` wrote "
            "into, or the folder of an annotation project"
        )
    counts = [_count(t).assign(image=name) for name, t in tables.items()]
    cells = pd.DataFrame(columns=["image", "label", "class"])
    if tables:
        cells = pd.concat([t.assign(image=name) for name, t in tables.items()], ignore_index=True)
    if len(tables) > 1:
        counts.append(_count(cells).assign(image=ALL_IMAGES))
    rows = pd.concat(counts, ignore_index=True) if counts else pd.DataFrame(columns=["image"])
    return Count(_image_first(rows), _image_first(cells), failed)


def _count(cells: pd.DataFrame) -> pd.DataFrame:
    """Count rated cells by class, *unsure* included."""
    from napari_wbc_nca.ops.differential import differential

    return differential(cells.assign(**{"class": cells["group"]}))


def _image_first(table: pd.DataFrame) -> pd.DataFrame:
    return table[["image", *(name for name in table if name != "image")]]
