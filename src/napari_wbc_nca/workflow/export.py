"""Corrected labels out to other programs, and back in."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from napari_wbc_nca.datasets.masks import sample_from_masks
from napari_wbc_nca.datasets.samples import LabelError, Masks, Sample
from napari_wbc_nca.datasets.splits import assign_splits
from napari_wbc_nca.formats import files, provenance, registry
from napari_wbc_nca.formats.geometry import read_regions
from napari_wbc_nca.formats.items import (
    ExportError,
    Item,
    cell_measurements,
    item,
    keep_reviewed,
    nuclei_of_cells,
    unique_names,
)
from napari_wbc_nca.formats.params import ExportParams
from napari_wbc_nca.formats.tiff import find_cells, find_label_images, read_segmentation
from napari_wbc_nca.io import results
from napari_wbc_nca.io._files import array_sha256
from napari_wbc_nca.io.images import as_image
from napari_wbc_nca.params import check, from_mapping
from napari_wbc_nca.progress import Progress, run_to_end
from napari_wbc_nca.types import Image, Segmentation


@dataclass(frozen=True)
class ExportResult:
    """Files that an export wrote.

    Attributes
    ----------
    folders, failed
        Folder of each format that was written, and why the others could not be.
    files
        All files, below these folders.
    notes
        What must be known of them, such as cells that were left out.
    """

    folders: dict[str, Path]
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    failed: dict[str, str] = field(default_factory=dict)


def export(
    labels: Any,
    folder: str | Path,
    formats: str | Sequence[str],
    image: Any = None,
    cells: Any = None,
    reviewed: Any = None,
    groups: str | Path | None = None,
    **options: Any,
) -> ExportResult:
    """Write labels with their classes in the formats of other programs.

    Parameters
    ----------
    labels
        Label image ``(Y, X)``, file of one, folder that ``segment`` wrote, segmentation, or a
        list of :class:`~napari_wbc_nca.formats.items.Item`.
    folder
        Gets a folder for each format.
    formats
        Names of formats, see :data:`~napari_wbc_nca.formats.registry.FORMATS`, or ``all``.
    image
        The image of the labels: file, array or :class:`~napari_wbc_nca.types.Image`.
    cells
        Table of cells, or its file: ``label``, ``class``, ``origin``.
    reviewed
        ``(Y, X)`` pixels, or a file, of regions that were reviewed in full; the rest is ignored.
    groups
        CSV of slides, patients or splits by image.
    **options
        Fields of :class:`~napari_wbc_nca.formats.params.ExportParams`.

    Returns
    -------
    ExportResult
        Folders, files, notes, and formats that could not be written while others could.

    Raises
    ------
    ExportError
        When something cannot be used, or no format can be written; then nothing is written.

    Examples
    --------
    >>> import tempfile
    >>> labels = np.array([[0, 1], [0, 1]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sorted(path.name for path in export(labels, folder, "qupath").files)
    ['image.geojson', 'provenance.json']
    """
    params = from_mapping(ExportParams, options)
    items = collect_items(labels, image, cells, params.pixel_size)
    if reviewed is not None:
        items = [keep_reviewed(one, _regions(reviewed, one.shape)) for one in items]
    names = [formats] if isinstance(formats, str) else list(formats)
    return run_to_end(run(items, names, Path(folder), params, groups))


def collect_items(labels: Any, image: Any, cells: Any, pixel_size: float = 0.0) -> list[Item]:
    """Make items of whatever :func:`export` takes."""
    if isinstance(labels, (list, tuple)) and all(isinstance(one, Item) for one in labels):
        return list(labels)
    shown = None if image is None else as_image(image)
    if not isinstance(labels, (str, Path)):
        return [_item_of_arrays(labels, shown, cells, pixel_size)]
    paths = find_label_images([labels])
    if len(paths) > 1 and (shown is not None or cells is not None):
        raise ExportError(
            f"{labels} holds {len(paths)} label images; give them one by one with their image"
        )
    return [read_segmentation(path, shown, cells, pixel_size or None) for path in paths]


def _item_of_arrays(labels: Any, image: Image | None, cells: Any, pixel_size: float) -> Item:
    """Make an item of a label array or a segmentation, and of its image."""
    run: Any = {}
    nucleus = None
    if isinstance(labels, Segmentation):
        run, nucleus = labels.provenance, labels.labels.get("nucleus")
        cells = labels.cells if cells is None else cells
        labels = labels.labels["cell"]
    name, pixels, size = "image", None, None
    if image is not None:
        name, pixels, size = image.name, image.pixels, image.pixel_size
    origin = {"source": None, "sha256": array_sha256(np.asarray(labels))}
    entry = provenance.item_record(name, image, origin, run)
    one = item(name, labels, find_cells(cells), pixels, pixel_size or size, entry)
    return one if nucleus is None else replace(one, nucleus=np.asarray(nucleus))


def _regions(reviewed: Any, shape: tuple[int, int]) -> Any:
    is_file = isinstance(reviewed, (str, Path))
    return read_regions(Path(reviewed), shape) if is_file else np.asarray(reviewed) > 0


def training_sample(one: Item) -> Sample:
    """Make a training sample of labels as they are exported; a LabelError without a picture."""
    if one.pixels is None:
        raise LabelError(
            f"{one.name} has labels but no picture; open the picture that they were drawn on"
        )
    masks = Masks(one.labels, (), nuclei_of_cells(one), one.ignore)
    colours = files.to_colours(one)
    found = sample_from_masks(Path(one.name), masks, one.classes(), one.shape, colours)
    return replace(found, group=one.name, source="layers")


def run(
    items: Sequence[Item],
    names: Sequence[str],
    folder: Path,
    params: ExportParams,
    groups: str | Path | None = None,
) -> Generator[Progress, None, ExportResult]:
    """Export `items` step by step; parameters as in :func:`export`.

    All formats are written under temporary names, which become final together. A format that
    cannot hold these items is named with the reason, and the others are written; a disk that
    cannot be written to fails all.
    """
    check(params)
    chosen = list(registry.FORMATS) if list(names) == [registry.ALL] else list(dict.fromkeys(names))
    table = None if groups is None else Path(groups)
    items = split_items(_check_items(items, names, params), params, table)
    classes = sorted({name for one in items for name in one.cells["class"]})
    failed: dict[str, str] = {}
    with files.stage_folders([folder / name for name in chosen], force=params.force) as parts:
        for done, (name, part) in enumerate(zip(chosen, parts, strict=True)):
            form = registry.get(name)
            yield Progress(done, len(chosen), form.title)
            try:
                _check_needs(items, [name])
                options = {one: getattr(params, one) for one in form.options}
                registry.load(form.write)(items, classes, part, **options)
            except ExportError as error:
                failed[name] = str(error)
                shutil.rmtree(part)
                continue
            made = [path.relative_to(part).as_posix() for path in _list_files(part)]
            record = provenance.export_record(name, items, classes, params, made, table)
            files.write_record(part / files.RECORD, record)
        if len(failed) == len(chosen):
            raise ExportError("; ".join(dict.fromkeys(failed.values())))
        yield Progress(len(chosen), len(chosen), "done")  # the last chance to cancel
    folders = {name: folder / name for name in chosen if name not in failed}
    written = [path for place in folders.values() for path in _list_files(place)]
    notes = {name: provenance.export_notes(name, items) for name in folders}
    return ExportResult(folders, tuple(written), provenance.merge_notes(notes), failed)


def split_items(
    items: Sequence[Item], params: ExportParams, table: Path | None = None
) -> list[Item]:
    """Assign items to training, validation and test by :func:`assign_splits`, or an ExportError."""
    keys = ("source", "title")
    names = [[*(str(one.record.get(key) or one.name) for key in keys), one.name] for one in items]
    shares = {"test": params.test, "val": params.validation}
    try:
        sides = assign_splits(names, shares, params.split_by, params.seed, table)
    except LabelError as error:
        raise ExportError(str(error)) from error
    return [replace(one, split=side) for one, side in zip(items, sides, strict=True)]


def _list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _check_items(items: Sequence[Item], names: Sequence[str], params: ExportParams) -> list[Item]:
    """Return the items under different names, when they and the named formats go together."""
    if not names:
        raise ExportError(f"no format is named; choose from {', '.join(registry.FORMATS)}")
    if not items:
        raise ExportError("there are no labels; segment an image, or draw cells in a Labels layer")
    if not any(len(one.cells) for one in items):
        raise ExportError(
            f"there is no cell in {', '.join(one.name for one in items)}; segment or draw some, or "
            "widen the reviewed regions, before you export"
        )
    if list(names) != [registry.ALL]:
        _check_needs(items, names)
    return [
        replace(one, pixel_size=params.pixel_size or one.pixel_size, name=name)
        for one, name in zip(items, unique_names(items), strict=True)
    ]


def _check_needs(items: Sequence[Item], names: Sequence[str]) -> None:
    needing = [name for name in names if registry.get(name).needs == "image"]
    without = [one.name for one in items if one.pixels is None]
    if needing and without:
        raise ExportError(
            f"{without[0]}: {', '.join(needing)} cannot do without the image; give it, or leave "
            "these formats out"
        )


def import_labels(path: str | Path, form: str = "auto", image: Any = None) -> list[Item]:
    """Import labels with classes from the formats that :func:`export` writes.

    Parameters
    ----------
    path, form
        File or folder that another program saved, and the name of its format, or ``auto``.
    image
        The image of a single file of labels, which says how large they are.

    Returns
    -------
    list of Item
        Their `notes` list the objects that were left out.

    Raises
    ------
    ExportError
        When nothing there can be read, or no cell is in it, saying why.
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise ExportError(f"{place} does not exist; check the path")
    entry = registry.get(registry.detect(place) if form == "auto" else form)
    shown = None if image is None else as_image(image)
    found: list[Item] = registry.load(entry.read)(place, None if shown is None else shown.pixels)
    if shown is not None and len(found) > 1:
        raise ExportError(
            f"{place} holds the labels of {len(found)} images, such as {found[0].name} and "
            f"{found[1].name}, and one image is given: leave it out, or import the files one by "
            "one"
        )
    empty = [one.name for one in found if not len(one.cells)]
    if len(empty) == len(found):
        notes = "".join(f"; {note}" for one in found for note in one.notes)
        raise ExportError(f"{place}: no cell in it{notes}")
    if empty:
        note = f"without any cell: {', '.join(empty)}"
        found[0] = replace(found[0], notes=(*found[0].notes, note))
    if shown is None:
        return found
    size, record = found[0].pixel_size or shown.pixel_size, {"source": shown.source}
    return [replace(found[0], pixel_size=size, record=record)]


_REVIEWED = "_reviewed.png"
"""What follows an image's name in the name of the picture of what was reviewed."""


def write_imported(
    items: Sequence[Item], folder: str | Path, source: str | Path, *, force: bool = False
) -> list[Path]:
    """Write imported labels as ``segment`` writes its results, so that napari opens them alike.

    ``NAME_reviewed.png`` is added where pixels are unreviewed. `source`, what was imported, goes
    into the record. An ExportError says when a file exists, unless `force` is set, or is the one
    that is imported, and an OutputError when a file cannot be written.
    """
    target, names = Path(folder), unique_names(items)
    there = [path for name in names for path in results.existing_files(name, target)]
    there += [path for name in names if (path := target / f"{name}{_REVIEWED}").exists()]
    if any(path.resolve() == Path(source).resolve() for path in there):
        raise ExportError(f"{source} would be replaced by its record; choose another folder")
    if there and not force:
        raise ExportError(f"{there[0]} exists; choose another folder, or replace it with --force")
    written: list[Path] = []
    for name, one in zip(names, items, strict=True):
        pixels = (
            np.full((*one.shape, 3), 255, np.uint8) if one.pixels is None else files.to_colours(one)
        )
        image = {"name": name, "source": one.record.get("source"), "shape": list(one.shape)}
        entry = {
            "program": f"{files.PROGRAM} {version(files.PROGRAM)}",
            "imported": str(source),
            "input": {**image, "pixel_size": one.pixel_size},
            "notes": list(one.notes),
        }
        nuclei = {} if one.nucleus is None else {"nucleus": one.nucleus}
        found = Segmentation({"cell": one.labels, **nuclei}, cell_measurements(one), {}, entry)
        written += results.write(found, Image(pixels, name, one.pixel_size), target)
        if one.ignore is not None:
            written.append(target / f"{name}{_REVIEWED}")
            files.write_png(written[-1], np.where(one.ignore, 0, 255).astype(np.uint8))
    return written
