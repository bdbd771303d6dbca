"""Cells of many images: of the folder of results, and as a project holds them after corrections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.formats.tiff import find_source, read_record
from napari_wbc_nca.io import images
from napari_wbc_nca.io._files import name_outputs
from napari_wbc_nca.io.results import LABELS, RECORD, TABLE
from napari_wbc_nca.io.tables import TableError, read_table, to_frame
from napari_wbc_nca.ops.labels import measure_cells
from napari_wbc_nca.ops.review_table import calibration, rate
from napari_wbc_nca.project.database import FILE, ProjectError
from napari_wbc_nca.project.journal import cell_rows
from napari_wbc_nca.project.project import ENDING, Project, default_folder, is_project
from napari_wbc_nca.project.snapshot import ImageRecord, LayerRecord, layer_record
from napari_wbc_nca.types import Image

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ImageCells:
    """Cells of one image, for counting and reporting.

    Attributes
    ----------
    name
        Of the image.
    cells
        Table of :func:`~napari_wbc_nca.ops.review_table.rate`.
    record
        Of the run that found the cells, and what was corrected since.
    read_labels
        Function that reads ``(..., Y, X)`` labels.
    read_image
        Function that reads the image's plane at a position on the leading axes of the labels; an
        ImageError says why there is none.
    """

    name: str
    cells: pd.DataFrame
    record: Mapping[str, Any]
    read_labels: Callable[[], npt.NDArray[Any]]
    read_image: Callable[[tuple[int, ...]], Image]


@dataclass(frozen=True)
class CellSource:
    """Image whose cells can be read; `read` raises ValueError or OSError where they cannot."""

    name: str
    read: Callable[[], ImageCells]


def find_sources(
    place: str | Path, opened: Mapping[Path, Project] | None = None
) -> Iterator[CellSource]:
    """Find the images of a folder of results or of a project, each of them once.

    Of an image that was corrected, the cells are those of its project, which is looked for in
    `place` and where corrections of the image are kept; of others, those of ``NAME_cells.csv``.
    Where a project cannot be opened, its images cannot be read. Sources are read before the next
    one is asked for, since projects are closed behind the last.

    Parameters
    ----------
    place
        Folder that ``segment`` wrote into, subfolders included, or the folder of a project.
    opened
        Projects that this program has open, by their resolved folders.
    """
    taken: Counter[str] = Counter()
    for source in _sources(Path(place), opened or {}):
        taken[source.name] += 1
        number = taken[source.name]
        yield source if number == 1 else replace(source, name=f"{source.name} ({number})")


def _sources(place: Path, opened: Mapping[Path, Project]) -> Iterator[CellSource]:
    # What a project wrote of its corrected cells may be older than they are.
    tables = [t for t in sorted(place.rglob(f"*{TABLE}")) if not is_project(t.parent)]
    of_table = {table: _project_of(table) for table in tables}
    inside = [file.parent.resolve() for file in sorted(place.rglob(FILE))]
    known: set[str] = set()
    failed: dict[Path | None, ProjectError] = {}
    with ExitStack() as stack:
        for folder in dict.fromkeys([*inside, *filter(None, of_table.values())]):
            try:
                project = opened.get(folder) or stack.enter_context(Project(folder))
                project.database.flush()
            except ProjectError as error:
                failed[folder] = error
                if folder not in of_table.values():
                    yield CellSource(folder.name.removesuffix(ENDING), partial(_fail, error))
            else:
                yield from _corrected(project, known)
        for table, kept in of_table.items():
            name = table.relative_to(place).as_posix().removesuffix(TABLE)
            if kept in failed:
                yield CellSource(name, partial(_fail, failed[kept]))
            elif _record(table).get("input", {}).get("sha256") not in known:
                yield CellSource(name, partial(read_result, table, name))


def _project_of(table: Path) -> Path | None:
    """Find the project that keeps the corrections of the image of a table."""
    source = _record(table).get("input", {}).get("source")
    image = find_source(table, source) if source else None
    folder = None if image is None else default_folder(image.resolve())
    return folder.resolve() if folder is not None and is_project(folder) else None


def _record(table: Path) -> Mapping[str, Any]:
    return read_record(table.with_name(table.name.removesuffix(TABLE) + RECORD))


def _corrected(project: Project, known: set[str]) -> Iterator[CellSource]:
    """Iterate over a project's corrected layers; `known` takes hashes of their images."""
    found = list(project.images())
    names = name_outputs(image.path for image in found)
    for image in found:
        layers = [] if image.sha256 in known else project.latest_layers(image)
        for layer in layers:
            name = f"{names[image.path]}{layer.position}"
            yield CellSource(name, partial(read_layer, project, image, layer, name))
        if layers:
            known.add(image.sha256)


def _fail(error: ProjectError) -> ImageCells:
    raise error


def read_result(table: Path, name: str) -> ImageCells:
    """Read the cells of a table that ``segment`` wrote; labels and image when they are asked for.

    Raises
    ------
    TableError
        When it is no table of cells.
    """
    stem = table.name.removesuffix(TABLE)
    record, labels = _record(table), table.with_name(stem + LABELS["cell"])
    shape = images.size(labels) if labels.exists() else None

    def read_image(index: tuple[int, ...]) -> Image:
        source = str(record.get("input", {}).get("source") or stem)
        return _read_picture(find_source(labels, source), source)

    return ImageCells(
        name,
        _rated(to_frame(read_table(table)), shape, record),
        record,
        lambda: images.read_labels(labels)[0],
        read_image,
    )


def read_layer(project: Project, image: ImageRecord, layer: LayerRecord, name: str) -> ImageCells:
    """Read the corrected cells of a layer of a project."""
    import pandas as pd

    journal = project.journal(layer.id)
    rows, (height, width) = cell_rows(journal.rows()), journal.shape[-2:]
    table = pd.DataFrame(
        [{"label": label, **rows[label], "index": label} for label in sorted(rows)]
    )
    if "box_y0" not in table:
        measured = measure_cells(journal.restore()[0])
        table = table.merge(measured, left_on="index", right_index=True, how="left")
    record = layer_record(image, layer)
    return ImageCells(
        name,
        _rated(table, (height, width), record),
        record,
        lambda: journal.restore()[0],
        lambda index: _read_picture(image.path if image.path.exists() else None, image.path),
    )


def _read_picture(path: Path | None, wanted: object) -> Image:
    if path is None:
        raise images.ImageError(f"{wanted} is missing; put the image back where it was")
    return images.prepare(images.read(path))


def _rated(
    cells: pd.DataFrame, shape: tuple[int, int] | None, record: Mapping[str, Any]
) -> pd.DataFrame:
    """Rate cells by the calibration of the model that found them."""
    for name in ("class", "label"):
        if name not in cells:
            raise TableError(f"has no column {name!r}, only {', '.join(map(str, cells))}")
    temperature, params = calibration(record)
    return rate(cells, shape, params, temperature)
