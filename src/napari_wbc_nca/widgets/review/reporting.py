"""Reports of what a viewer shows, written in a thread."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io.images import ImageError, prepare
from napari_wbc_nca.widgets.planes import OURS, Index
from napari_wbc_nca.widgets.review.canvas import image_under
from napari_wbc_nca.widgets.review.crops import image_index
from napari_wbc_nca.workflow.cell_sources import ImageCells

if TYPE_CHECKING:
    import pandas as pd
    from napari import Viewer
    from napari.layers import Labels

    from napari_wbc_nca.types import Image
    from napari_wbc_nca.widgets.review.open_projects import OpenProject


def cells_of(layer: Labels, table: pd.DataFrame, viewer: Viewer) -> ImageCells:
    """Return the cells of a layer for a report, as they are now.

    `table` is the rated one of :class:`~napari_wbc_nca.widgets.review.model.ReviewModel`.
    """
    source = image_under(layer, viewer)
    runs = layer.metadata.get(OURS, {}).get("provenance") or [{}]
    record = dict(runs[0] if isinstance(runs, list) else runs)
    decided = [str(time) for time in table["reviewed_at"] if time]
    if decided:
        record |= {"corrections": len(decided), "corrected": max(decided)}
    labels = np.array(layer.data)

    def read_image(index: Index) -> Image:
        if source is None:
            raise ImageError("the image of these cells is not open; open it and report again")
        return prepare(source.image(image_index(layer, index)))

    name = layer.name if source is None else source.layer.name
    return ImageCells(name, table.copy(), record, lambda: labels, read_image)


def report_open(
    images: Iterable[ImageCells], output: Path, title: str
) -> Generator[None, None, Path]:
    """Write the report of open images; runs in a thread."""
    from napari_wbc_nca.workflow.report import write_report

    yield
    return write_report(images, output, title)


def report_folder(
    place: Path, output: Path, projects: Iterable[OpenProject]
) -> Generator[None, None, Path]:
    """Write the report of a folder whose `projects` are open here; runs in a thread."""
    from napari_wbc_nca.workflow.report import report

    yield
    opened: Mapping[Path, Any] = {
        project.folder: project.submit(lambda one: one).result() for project in projects
    }
    return report(place, output, opened=opened)
