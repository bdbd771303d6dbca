"""Report of a differential as one page of HTML that needs nothing else, to be read and signed."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.cell_types import AUTO, REJECTED, colours
from napari_wbc_nca.io import model_store
from napari_wbc_nca.io._files import OutputError, file_sha256, write_whole
from napari_wbc_nca.ops.crops import BOX, crop_side
from napari_wbc_nca.ops.doubt import reasons
from napari_wbc_nca.params import check
from napari_wbc_nca.workflow.cell_sources import ImageCells, find_sources
from napari_wbc_nca.workflow.params import ReportParams
from napari_wbc_nca.workflow.report_pictures import Picture, Pictures

if TYPE_CHECKING:
    import pandas as pd

    from napari_wbc_nca.project.project import Project

WARNING = "Not for diagnosis. For research use only."
_LIBRARIES = ("napari-wbc-nca", "numpy", "scikit-image", "torch")
_CARD = ("data", "licence", "metrics", "epochs", "parent")


@dataclass(frozen=True, eq=False)
class ReportedCell:
    """Cell of the gallery, or of the list of doubtful ones; `picture` None where it is unknown."""

    label: int
    row: Mapping[str, Any]
    picture: Picture | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ReportedImage:
    """One image of a report.

    Attributes
    ----------
    name
        Of the image.
    counts
        Rows of :func:`~napari_wbc_nca.ops.differential.differential`.
    groups
        Type to its cells that are shown; `left_out` to how many are not.
    doubtful
        Cells that wait for a review, the most doubtful first.
    missed
        Likely missed places: score, reason and picture.
    record
        Of the run and the corrections.
    model
        Card of the model; empty where the model is not at hand.
    notes
        What is missing in the report, and why.
    """

    name: str
    counts: Sequence[Mapping[str, Any]]
    groups: Mapping[str, Sequence[ReportedCell]]
    left_out: Mapping[str, int]
    doubtful: Sequence[ReportedCell]
    missed: Sequence[tuple[float, str, Picture]]
    field: Picture | None
    record: Mapping[str, Any]
    model: Mapping[str, Any]
    reviewers: Sequence[str]
    notes: Sequence[str]


def report(
    results: str | Path,
    output: str | Path,
    params: ReportParams | None = None,
    opened: Mapping[Path, Project] | None = None,
) -> Path:
    """Write a report of the cells of a folder of results, or of an annotation project.

    Parameters
    ----------
    results
        Folder that ``segment`` wrote into, subfolders included, or folder of a project; corrected
        cells are reported as they are now.
    output
        File of the page, whose name ends with ``.html``; an older one is replaced.
    params
        What is shown.
    opened
        As in :func:`~napari_wbc_nca.workflow.cell_sources.find_sources`.

    Returns
    -------
    Path
        `output`.

    Raises
    ------
    ValueError
        When there are no cells, or the page cannot be written. An image that cannot be read is
        named in the report.
    """
    failed: dict[str, str] = {}

    def read() -> Iterator[ImageCells]:
        for source in find_sources(results, opened):
            try:
                found = source.read()
            except (ValueError, OSError) as error:
                failed[source.name] = str(error)
            else:
                yield replace(found, name=source.name)

    return write_report(read(), output, Path(results).resolve().name, params, failed)


def write_report(
    images: Iterable[ImageCells],
    output: str | Path,
    title: str,
    params: ReportParams | None = None,
    failed: Mapping[str, str] | None = None,
) -> Path:
    """Write a report of images; the names of those that `failed`, with the reason, are listed.

    `title` names what is reported. A ValueError says that there are no cells, an OutputError that
    the page cannot be written.
    """
    chosen, path = params or ReportParams(), Path(output)
    check(chosen)
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"{path} is no page; choose a name that ends with .html")
    tables: dict[str, pd.DataFrame] = {}
    shown: list[ReportedImage] = []
    for found in images:
        tables[found.name] = found.cells
        shown.append(_reported(found, chosen, whole=len(shown) < chosen.max_fields))
    if not tables:
        why = "; ".join(f"{name}: {text}" for name, text in (failed or {}).items())
        raise ValueError(
            f"{title} holds no cells ({why or 'no NAME_cells.csv'}); give the folder that "
            "`segment` wrote into, or the folder of an annotation project"
        )
    page = _render(shown, tables, title, failed or {})
    with write_whole(path) as (part,):
        part.write_text(page, encoding="utf-8")
    return path


def _render(
    images: Sequence[ReportedImage],
    tables: Mapping[str, pd.DataFrame],
    title: str,
    failed: Mapping[str, str],
) -> str:
    """Fill in the template."""
    import pandas as pd
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("napari_wbc_nca", "workflow/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cells = pd.concat(tables.values(), ignore_index=True)
    classes = [str(row["class"]) for row in _counts(cells)]
    return environment.get_template("report.html").render(
        title=title,
        warning=WARNING,
        images=images,
        failed=failed,
        counts=_counts(cells),
        colours=colours(classes),
        reviewers=sorted({name for image in images for name in image.reviewers}),
        models=_models(images),
        made=datetime.now().astimezone().strftime("%d %B %Y, %H:%M %Z"),
        versions={"Python": platform.python_version()} | {n: version(n) for n in _LIBRARIES},
    )


def _reported(found: ImageCells, params: ReportParams, *, whole: bool) -> ReportedImage:
    """Gather what the report says of one image."""
    cells, notes = found.cells, []
    pictures: Pictures | None = None
    if not set(BOX) <= set(cells):
        notes.append("The table does not say where the cells are, so that they are not shown.")
    else:
        try:
            pictures = Pictures(found, crop_side(cells))
        except (ValueError, OSError) as error:
            notes.append(f"There are no pictures of cells: {error}")
    notes += [str(note) for note in found.record.get("notes", ())]
    palette = colours(sorted(cells["group"].astype(str).unique()))
    make = partial(_cell, cells, pictures, palette)
    groups, left_out = _groups(cells, params.max_crops)
    doubtful = cells[cells["doubtful"].astype(bool) & (cells["status"] == AUTO)]
    by_label = {int(n): palette[str(g)] for n, g in zip(cells.index, cells["group"], strict=True)}
    return ReportedImage(
        name=found.name,
        counts=_counts(cells),
        groups={name: [make(label) for label in labels] for name, labels in groups.items()},
        left_out=left_out,
        doubtful=[make(int(n)) for n in doubtful.sort_values("doubt", ascending=False).index],
        missed=[] if pictures is None else list(_missed(found.record, pictures)),
        field=pictures.field(by_label) if pictures is not None and whole else None,
        record=_with_hash(found.record),
        model=_card(found.record.get("model", {})),
        reviewers=sorted({str(name) for name in cells["reviewer"] if name}),
        notes=notes,
    )


def _groups(cells: pd.DataFrame, most: int) -> tuple[dict[str, list[int]], dict[str, int]]:
    """List the labels of each type that are shown, and count those that are not."""
    shown, left_out = {}, {}
    for row in _counts(cells):
        name = str(row["class"])
        own = cells[(cells["group"].astype(str) == name) & (cells["status"] != REJECTED)]
        labels = [int(n) for n in own.sort_values("doubt", ascending=False).index]
        if labels:
            shown[name], left_out[name] = labels[:most], max(len(labels) - most, 0)
    return shown, left_out


def _cell(
    cells: pd.DataFrame, pictures: Pictures | None, palette: Mapping[str, str], label: int
) -> ReportedCell:
    row = {str(name): value for name, value in cells.loc[label].items()}
    picture = None if pictures is None else pictures.cell(label, palette[str(row["group"])])
    return ReportedCell(label, row, picture, tuple(reason for reason, _ in reasons(row)))


def _missed(record: Mapping[str, Any], pictures: Pictures) -> Iterator[tuple[float, str, Picture]]:
    """Return the likely missed places on which there is still no cell."""
    for place in record.get("likely_missed", ()):
        y, x = float(place["y"]), float(place["x"])
        if not pictures.is_cell(y, x):
            yield float(place["score"]), str(place["reason"]), pictures.place(y, x)


def _counts(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of the differential, by the class by which cells are counted."""
    from napari_wbc_nca.ops.differential import differential

    rows = differential(cells.assign(**{"class": cells["group"]})).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _with_hash(record: Mapping[str, Any]) -> dict[str, Any]:
    """Record whose input has the hash that the file had, and whether it still has it."""
    given = dict(record.get("input", {}))
    given["pixel_size"] = given.get("pixel_size") or "unknown"
    now = file_sha256(given.get("source"))
    if now is None:
        given["file"] = "missing now"
    elif given.get("sha256"):
        given["file"] = "unchanged" if now == given["sha256"] else f"changed since: {now}"
    return {**record, "input": given}


def _card(model: Mapping[str, Any]) -> dict[str, Any]:
    """Read a model's card; empty where it is not installed, or has changed."""
    try:
        card = model_store.info(str(model.get("name", "")))
    except ValueError:
        return {}
    if card["sha256"] != model.get("sha256"):
        return {}
    return {name: card["card"][name] for name in _CARD if name in card["card"]}


def _models(images: Sequence[ReportedImage]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return the models that found the cells, each once, with their cards."""
    known = {}
    for image in images:
        model = image.record.get("model", {})
        if model:
            known[str(model.get("sha256"))] = (model, image.model)
    return list(known.values())
