"""Corrected labels out to other programs, and back in."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from napari_wbc_nca.formats import inputs, regions, registry, staging
from napari_wbc_nca.formats.files import RECORD, rgb, write_png, write_record
from napari_wbc_nca.formats.items import (
    ExportError,
    Item,
    class_names,
    item,
    measured,
    reviewed_only,
)
from napari_wbc_nca.formats.params import ExportParams
from napari_wbc_nca.formats.provenance import notes, record
from napari_wbc_nca.formats.splits import split
from napari_wbc_nca.io import results
from napari_wbc_nca.io.images import read
from napari_wbc_nca.io.results import LABELS
from napari_wbc_nca.params import check, from_mapping
from napari_wbc_nca.progress import Progress, run_to_end
from napari_wbc_nca.types import Image, Segmentation


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes
    ----------
    folders
        Format to its folder.
    files
        All files, below these.
    notes
        What must be known of them, such as cells that were left out.
    """

    folders: dict[str, Path]
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def export(
    labels: Any,
    folder: str | Path,
    formats: str | Sequence[str],
    image: Any = None,
    cells: Any = None,
    reviewed: Any = None,
    groups: str | Path | None = None,
    **options: Any,
) -> Exported:
    """Write labels with their classes in the formats of other programs.

    Parameters
    ----------
    labels
        Label image ``(Y, X)``, file of one, folder that ``segment`` wrote, segmentation, or a
        list of :class:`~napari_wbc_nca.formats.items.Item`.
    folder
        Gets a folder for each format.
    formats
        Names of formats, see :data:`~napari_wbc_nca.formats.registry.FORMATS`.
    image
        The image of the labels: file, array or :class:`~napari_wbc_nca.types.Image`.
    cells
        Table of cells, or its file: ``label``, ``class``, ``origin``.
    reviewed
        ``(Y, X)`` pixels, or a file, of what was reviewed in full; the rest is ignored.
    groups
        CSV of slides, patients or splits by image.
    **options
        Fields of :class:`~napari_wbc_nca.formats.params.ExportParams`.

    Returns
    -------
    Exported
        Folders, files and notes.

    Raises
    ------
    ExportError
        When something cannot be used or written, saying what to do; then nothing is written.

    Examples
    --------
    >>> import tempfile
    >>> labels = np.array([[0, 1], [0, 1]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sorted(path.name for path in export(labels, folder, "qupath").files)
    ['image.geojson', 'provenance.json']
    """
    params = from_mapping(ExportParams, options)
    items = as_items(labels, image, cells, params.pixel_size)
    if reviewed is not None:
        items = [_reviewed(one, reviewed) for one in items]
    chosen = [formats] if isinstance(formats, str) else list(formats)
    return run_to_end(run(items, chosen, Path(folder), params, groups))


def as_items(labels: Any, image: Any, cells: Any, pixel_size: float = 0.0) -> list[Item]:
    """Items of whatever :func:`export` takes."""
    if isinstance(labels, (list, tuple)) and all(isinstance(one, Item) for one in labels):
        return list(labels)
    if isinstance(labels, (str, Path)):
        files = inputs.find([labels])
        if len(files) > 1 and (image is not None or cells is not None):
            raise ExportError(
                f"{labels} holds {len(files)} label images; give them one by one with their image"
            )
        return [inputs.load(file, image, cells, pixel_size or None) for file in files]
    return [in_memory(labels, image, cells, pixel_size)]


def in_memory(labels: Any, image: Any, cells: Any, pixel_size: float = 0.0) -> Item:
    """Item of a label array or a segmentation, and of the image it belongs to."""
    run: Any = {}
    nucleus = None
    if hasattr(labels, "labels") and hasattr(labels, "provenance"):
        found: Segmentation = labels
        labels, run, nucleus = found.labels["cell"], found.provenance, found.labels.get("nucleus")
        cells = found.cells if cells is None else cells
    shown: Image | None = None if image is None else _as_image(image)
    plane = np.asarray(labels)
    source = None if shown is None else shown.source
    name = "image" if shown is None else shown.name
    entry = {
        "title": name,
        "source": source,
        "sha256": inputs.file_sha256(Path(source)) if source else None,
        "labels": {"source": None, "sha256": inputs.array_sha256(plane)},
        **inputs.run_record(run),
    }
    if shown is not None and source is None:
        entry["sha256"] = inputs.array_sha256(shown.pixels)
    size = pixel_size or (shown.pixel_size if shown else None)
    one = item(name, plane, inputs.table_of(cells), shown.pixels if shown else None, size, entry)
    return one if nucleus is None else replace(one, nucleus=np.asarray(nucleus))


def _as_image(image: Any) -> Image:
    if isinstance(image, Image):
        return image
    return read(image) if isinstance(image, (str, Path)) else Image(image)


def _reviewed(one: Item, reviewed: Any) -> Item:
    if isinstance(reviewed, (str, Path)):
        return reviewed_only(one, regions.read(Path(reviewed), one.shape))
    return reviewed_only(one, np.asarray(reviewed) > 0)


def run(
    items: Sequence[Item],
    names: Sequence[str],
    folder: Path,
    params: ExportParams,
    groups: str | Path | None = None,
) -> Generator[Progress, None, Exported]:
    """Export `items` step by step; parameters as in :func:`export`.

    All formats are written under temporary names, which become final together.

    Yields
    ------
    Progress
        Of the formats.
    """
    check(params)
    chosen = list(dict.fromkeys(names))
    table = None if groups is None else Path(groups)
    items = split(_checked(items, chosen, params), params, table)
    classes = class_names(items)
    targets = [folder / name for name in chosen]
    with staging.staged(targets, overwrite=params.overwrite) as parts:
        for done, (name, part) in enumerate(zip(chosen, parts, strict=True)):
            yield Progress(done, len(chosen), registry.get(name).title)
            registry.load(registry.get(name).write)(items, classes, part, params)
            files = sorted(path.relative_to(part).as_posix() for path in _files(part))
            entry = record(name, items, classes, params, files, table)
            write_record(part / RECORD, entry)
        yield Progress(len(chosen), len(chosen), "done")  # the last chance to cancel
    said: dict[str, list[str]] = {}
    for name in chosen:
        for note in notes(name, items):
            said.setdefault(note, []).append(name)
    written = [path for target in targets for path in sorted(_files(target))]
    return Exported(
        dict(zip(chosen, targets, strict=True)), tuple(written), _told(said, len(chosen))
    )


def _told(said: Mapping[str, Sequence[str]], count: int) -> tuple[str, ...]:
    """Notes, with the formats that they are about where it is not all of them."""
    return tuple(
        note if len(names) == count else f"{', '.join(names)}: {note}"
        for note, names in said.items()
    )


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _checked(items: Sequence[Item], names: Sequence[str], params: ExportParams) -> list[Item]:
    """Items under names of their own, when they and the formats go together."""
    if not names:
        raise ExportError(f"no format is named; choose from {', '.join(registry.FORMATS)}")
    needing = [name for name in names if registry.get(name).needs == "image"]
    if not items:
        raise ExportError("there are no labels; segment an image, or draw cells in a Labels layer")
    if not any(len(one.cells) for one in items):
        raise ExportError(
            f"there is no cell in {', '.join(one.name for one in items)}; segment or draw some, or "
            "widen the reviewed regions, before you export"
        )
    for one in items:
        if one.pixels is None and needing:
            raise ExportError(
                f"{one.name}: {', '.join(needing)} cannot do without the image; give it, or leave "
                "these formats out"
            )
    sized = [
        replace(one, pixel_size=params.pixel_size or one.pixel_size, name=name)
        for one, name in zip(items, _names(items), strict=True)
    ]
    return sized


def _names(items: Sequence[Item]) -> list[str]:
    """A name for each item; a number follows where two have the same."""
    taken: set[str] = set()
    found = []
    for one in items:
        name, number = one.name, 2
        while name.casefold() in taken:
            name, number = f"{one.name}_{number}", number + 1
        taken.add(name.casefold())
        found.append(name)
    return found


def import_labels(path: str | Path, form: str = "auto", image: Any = None) -> list[Item]:
    """Labels with classes from the formats that :func:`export` writes.

    Parameters
    ----------
    path
        File or folder; an export, or what another program saved.
    form
        Name of the format, or ``auto``.
    image
        The image of a single file of labels, which says how large they are.

    Raises
    ------
    ExportError
        When nothing there can be read, saying what to do.
    """
    place = Path(path).expanduser()
    name = registry.detect(place) if form == "auto" else form
    entry = registry.get(name)
    if not place.exists():
        raise ExportError(f"{place} does not exist; check the path")
    shown = None if image is None else _as_image(image)
    found: list[Item] = registry.load(entry.read)(place, None if shown is None else shown.pixels)
    if shown is None or len(found) != 1:
        return found
    return [replace(found[0], pixel_size=found[0].pixel_size or shown.pixel_size)]


def write_labels(
    items: Sequence[Item], folder: str | Path, source: str | Path, *, overwrite: bool = False
) -> list[Path]:
    """Write imported labels as ``segment`` writes its own, so that they open in napari alike.

    ``NAME_reviewed.png`` is added where the labels say what nobody reviewed.

    Parameters
    ----------
    items
        What was imported.
    folder
        Where to.
    source
        What it was imported from, for the record.
    overwrite
        Whether files of these names are replaced.

    Raises
    ------
    ExportError
        When a name exists.
    OutputError
        When a file cannot be written.
    """
    target = Path(folder)
    names = _names(items)
    there = [path for name in names if (path := target / f"{name}{LABELS['cell']}").exists()]
    if there and not overwrite:
        raise ExportError(
            f"{there[0]} exists; choose another folder, or ask for it to be overwritten"
        )
    written: list[Path] = []
    for name, one in zip(names, items, strict=True):
        pixels = np.full((*one.shape, 3), 255, np.uint8) if one.pixels is None else rgb(one)
        entry = {
            "program": f"{staging.PROGRAM} {version(staging.PROGRAM)}",
            "imported": str(source),
            "input": {"name": name, "shape": list(one.shape), "pixel_size": one.pixel_size},
        }
        inner = {} if one.nucleus is None else {"nucleus": one.nucleus}
        found = Segmentation({"cell": one.labels, **inner}, measured(one), {}, entry)
        written += results.write(found, Image(pixels, name, one.pixel_size), target)
        if one.ignore is not None:
            written.append(target / f"{name}_reviewed.png")
            write_png(written[-1], np.where(one.ignore, 0, 255).astype(np.uint8))
    return written
