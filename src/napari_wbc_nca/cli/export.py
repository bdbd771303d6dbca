"""``export`` and ``import``: write labels for other programs, and read theirs."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_wbc_nca.cli import console
from napari_wbc_nca.cli.options import make, with_fields
from napari_wbc_nca.formats.params import ExportParams

if TYPE_CHECKING:
    from napari_wbc_nca.formats.items import Item

_NAMES = (
    "tiff, coco, coco-polygons, qupath, imagej, nnunet, omezarr, cellpose, yolo, yolo-segments, "
    "crops, centroids"
)
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]


@with_fields({"export": ExportParams})
def export(
    labels: Annotated[
        list[Path], typer.Argument(help="Label images, folders that segment wrote, or projects.")
    ],
    output: Output,
    formats: Annotated[
        list[str],
        typer.Option("--format", "-f", help=f"Once for each format, or all. Known: {_NAMES}."),
    ],
    image: Annotated[
        list[Path] | None,
        typer.Option(help="Image of each label image. Default: the one its record names."),
    ] = None,
    cells: Annotated[
        list[Path] | None,
        typer.Option(help="Table of cells of each. Default: NAME_cells.csv beside it."),
    ] = None,
    reviewed: Annotated[
        list[Path] | None,
        typer.Option(help="What of each was reviewed: GeoJSON or a mask; the rest is ignored."),
    ] = None,
    groups: Annotated[
        Path | None, typer.Option(help="CSV of image and slide, patient or split.")
    ] = None,
    **values: Any,
) -> None:
    """Export corrected labels as training data for other programs.

    Each format gets a folder in the output, with a provenance.json that says
    where every cell came from. Formats that cannot mark unreviewed pixels show
    them grey, so that they are never taken for background. A format that cannot
    be written is named, the others are written, and the exit status is 1.
    """
    from napari_wbc_nca.formats.registry import ALL, FORMATS
    from napari_wbc_nca.workflow import export as workflow

    params: ExportParams = make(ExportParams, values)
    names = list(chain.from_iterable(name.split(",") for name in formats))
    if unknown := [name for name in names if name not in (*FORMATS, ALL)]:
        raise typer.BadParameter(
            f"unknown format {', '.join(unknown)}; known are {_NAMES}", param_hint="--format"
        )
    with console.exit_on_error():
        items = _items(labels, image or [], cells or [], reviewed or [], params.pixel_size)
        steps = workflow.run(items, [ALL] if ALL in names else names, output, params, groups)
        done = console.run_with_progress(steps, "export")
    rows = [
        (name, str(folder), str(sum(folder in path.parents for path in done.files)))
        for name, folder in done.folders.items()
    ]
    console.print_table(["format", "folder", "files"], rows)
    for note in done.notes:
        console.print_result(f"Note: {note}")
    for name, why in done.failed.items():
        console.print_result(f"Not written: {name}: {why}")
    if done.failed:
        raise typer.Exit(1)


def _items(
    labels: list[Path],
    images: list[Path],
    cells: list[Path],
    reviewed: list[Path],
    pixel_size: float,
) -> list[Item]:
    """Read the label images with the image, table and regions of each."""
    from napari_wbc_nca.formats.geometry import read_regions
    from napari_wbc_nca.formats.items import keep_reviewed
    from napari_wbc_nca.formats.tiff import find_label_images, read_segmentation
    from napari_wbc_nca.workflow.projects import label_files

    files = find_label_images([label_files(path) for path in labels])
    options = {"--image": images, "--cells": cells, "--reviewed": reviewed}
    for name, some in options.items():
        if some and len(some) != len(files):
            raise typer.BadParameter(
                f"{len(some)} for {len(files)} label images; give one for each, in their order",
                param_hint=name,
            )
    found = []
    for number, path in enumerate(files):
        image, table, region = (some[number] if some else None for some in options.values())
        one = read_segmentation(path, image, table, pixel_size or None)
        found.append(keep_reviewed(one, read_regions(region, one.shape)) if region else one)
    return found


def import_(
    path: Annotated[Path, typer.Argument(help="File or folder of another program.")],
    output: Output,
    form: Annotated[
        str, typer.Option("--format", "-f", help=f"Its format: {_NAMES}, or auto.")
    ] = "auto",
    image: Annotated[
        Path | None, typer.Option(help="Image of a single file of labels; gives their size.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace labels of the same name.")
    ] = False,
) -> None:
    """Import labels with classes, as NAME_labels.tif with NAME_cells.csv.

    They open in napari like those that segment wrote.
    """
    from napari_wbc_nca.workflow import export as workflow

    with console.exit_on_error():
        items = workflow.import_labels(path, form, image)
        files = workflow.write_imported(items, output, path, force=force)
    rows = [(one.name, str(len(one.cells)), console.count_types(one.cells)) for one in items]
    console.print_table(["image", "cells", "types"], rows)
    for note in dict.fromkeys(note for one in items for note in one.notes):
        console.print_result(f"Note: {note}")
    console.print_files(files)
