"""``export`` and ``import``: labels out to other programs, and back in."""

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
        list[Path], typer.Argument(help="Label images, or folders that segment wrote.")
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

    Each format gets a folder of its own in the output, with a provenance.json
    that says where every cell came from. Formats that cannot hold what nobody
    reviewed show it grey, so that it is never taken for background.
    """
    from napari_wbc_nca.formats.registry import FORMATS
    from napari_wbc_nca.workflow import export as workflow

    params: ExportParams = make(ExportParams, values)
    wanted = list(chain.from_iterable(name.split(",") for name in formats))
    wanted = list(FORMATS) if wanted == ["all"] else wanted
    if unknown := [name for name in wanted if name not in FORMATS]:
        raise typer.BadParameter(
            f"unknown format {', '.join(unknown)}; known are {_NAMES}", param_hint="--format"
        )
    try:
        items = _items(labels, image or [], cells or [], reviewed or [], params.pixel_size)
        steps = workflow.run(items, wanted, output, params, groups)
        done = console.follow(steps, "export")
    except (ValueError, OSError) as error:
        raise console.stop(error) from error
    rows = [
        (name, str(folder), str(sum(folder in path.parents for path in done.files)))
        for name, folder in done.folders.items()
    ]
    console.table(["format", "folder", "files"], rows)
    for note in done.notes:
        console.say(f"Note: {note}")


def _items(
    labels: list[Path],
    images: list[Path],
    cells: list[Path],
    reviewed: list[Path],
    pixel_size: float,
) -> list[Item]:
    """Items of the label images with what was given for each of them."""
    from napari_wbc_nca.formats import inputs, regions
    from napari_wbc_nca.formats.items import reviewed_only

    files = inputs.find(labels)
    given = {"--image": images, "--cells": cells, "--reviewed": reviewed}
    for name, some in given.items():
        if some and len(some) != len(files):
            raise typer.BadParameter(
                f"{len(some)} for {len(files)} label images; give one for each, in their order",
                param_hint=name,
            )
    found = []
    for number, path in enumerate(files):
        image, table, region = (some[number] if some else None for some in given.values())
        one = inputs.load(path, image, table, pixel_size or None)
        found.append(reviewed_only(one, regions.read(region, one.shape)) if region else one)
    return found


def import_(
    path: Annotated[Path, typer.Argument(help="File or folder of another program.")],
    output: Output,
    form: Annotated[
        str, typer.Option("--format", "-f", help=f"Its format: {_NAMES}; auto looks.")
    ] = "auto",
    image: Annotated[
        Path | None, typer.Option(help="Image of a single file of labels; gives their size.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace labels of the same name.")
    ] = False,
) -> None:
    """Import labels with classes, as NAME_labels.tif with NAME_cells.csv.

    They open in napari like those that segment wrote.
    """
    from napari_wbc_nca.workflow import export as workflow

    try:
        items = workflow.import_labels(path, form, image)
        files = workflow.write_labels(items, output, path, overwrite=overwrite)
    except (ValueError, OSError) as error:
        raise console.stop(error) from error
    rows = [(one.name, str(len(one.cells)), console.types(one.cells)) for one in items]
    console.table(["image", "cells", "types"], rows)
    console.say("Written:")
    for file in files:
        console.say(f"  {file}")
