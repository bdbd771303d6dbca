"""``segment``: segment images, and write labels, table, overlay and provenance."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_wbc_nca.cli import console
from napari_wbc_nca.cli.options import make, with_fields
from napari_wbc_nca.methods import registry
from napari_wbc_nca.workflow.batch import find_inputs

if TYPE_CHECKING:
    from napari_wbc_nca.datasets.label_files import Prompts
    from napari_wbc_nca.methods.params import PredictParams
    from napari_wbc_nca.types import Checkpoint, Image, Segmentation


MODEL = "wbc-smear"
"""Default model."""
PREDICT = {name: method.predict_params for name, method in registry.METHODS.items()}

Model = Annotated[str, typer.Option(help="Name of a model, or file of a checkpoint.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace files of an earlier run, with their corrections.")
]


@dataclass(frozen=True, eq=False)
class RunSettings:
    """Model, parameters and output of all images of a run."""

    checkpoint: Checkpoint
    params: PredictParams
    output: Path
    force: bool = False
    points: Prompts | None = None
    boxes: Prompts | None = None


@with_fields(PREDICT)
def segment(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Images (PNG, JPEG, TIFF, OME-Zarr), folders or patterns like 's*.tif'."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")],
    model: Model = MODEL,
    points: Annotated[
        Path | None, typer.Option(help="CSV of y,x[,image] in pixels, for --locate points.")
    ] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="CSV of y0,x0,y1,x1[,image] in px, for --locate boxes.")
    ] = None,
    force: Force = False,
    **values: Any,
) -> None:
    """Segment and type the white blood cells of images.

    For each image, NAME_labels.tif, NAME_cells.csv, NAME_overlay.png and
    NAME.json are written, and depending on the model's method
    NAME_nuclei.tif, NAME_classes.tif or NAME_contributions.tif, with --pca
    NAME_pca.tif, and with --maps NAME_maps.tif. An image that has such files
    in the output folder is not segmented without --force, since they may hold
    corrections. Options that name methods are for models of these methods
    only. The exit status is 1 when some inputs failed; the others are
    segmented.
    """
    checkpoint = load(model)
    params: PredictParams = make(
        PREDICT[checkpoint.method], values, f"{model} is a model of {checkpoint.method}"
    )
    found = find_inputs(inputs)
    prompts = _prompts({"points": points, "boxes": boxes}, params, len(found.files))
    job = RunSettings(checkpoint, params, output, force, **prompts)
    rows = {argument: ("failed", why, "") for argument, why in found.failed.items()}
    for argument, why in found.failed.items():
        console.print_message(f"Failed: {argument}: {why}")
    last = None
    for path, name in found.files.items():
        row, last = _one(path, name, job)
        rows[str(path)] = row
    if len(rows) == 1 and last is not None:
        console.print_cells(last.cells)
    console.print_table(
        ["input", "cells", "types", "time"], [(key, *row) for key, row in rows.items()]
    )
    console.print_result(f"Results are in {output}")
    if any(cells == "failed" for cells, _, _ in rows.values()):
        raise typer.Exit(1)


def load(model: str) -> Checkpoint:
    """Load the checkpoint of a name or file; wrong usage where there is none."""
    from napari_wbc_nca.io import model_store

    try:
        return model_store.resolve(model)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--model") from error


def run(
    image: Image, job: RunSettings, path: Path | None = None
) -> tuple[Segmentation, list[Path]]:
    """Segment one image and write its files.

    A ValueError says when an earlier run wrote files of this image and ``job.force`` is not set,
    and when an image or a prompt cannot be used.
    """
    from napari_wbc_nca.io import results
    from napari_wbc_nca.io.images import prepare
    from napari_wbc_nca.workflow import segment as workflow

    existing = results.existing_files(image.name, job.output)
    if existing and not job.force:
        raise ValueError(
            f"{existing[0]} exists and may hold corrections; choose another folder, or give --force"
        )
    checked = prepare(image)
    given = {
        name: prompts.of(path or Path(image.name), checked.shape)
        for name, prompts in (("points", job.points), ("boxes", job.boxes))
        if prompts is not None
    }
    steps = workflow.run(checked, job.checkpoint, job.params, **given)
    found = console.run_with_progress(steps, image.name)
    for note in found.provenance.get("notes", []):
        console.print_message(f"Note: {image.name}: {note}")
    sized = replace(checked, pixel_size=job.params.pixel_size or checked.pixel_size)
    return found, results.write(found, sized, job.output)


def _one(
    path: Path, name: str, job: RunSettings
) -> tuple[tuple[str, str, str], Segmentation | None]:
    """Segment one input and return its row of the table; a failure is printed, not raised."""
    from napari_wbc_nca.io.images import read

    start = time.perf_counter()
    try:
        found, _ = run(replace(read(path), name=name), job, path)
    except Exception as error:
        why = console.describe_error(error).removeprefix(f"{path}: ")
        console.print_message(f"Failed: {path}: {why}")
        return ("failed", why, ""), None
    spent = f"{time.perf_counter() - start:.1f} s"
    regions = found.provenance.get("regions", {})
    count = len(found.cells) - sum(region["regions"] for region in regions.values())
    types = console.count_types(found.cells, regions)
    if found.provenance.get("channel_order") == "bgr":
        types += " (red and blue exchanged)"
    return (str(count), types, spent), found


def _prompts(
    files: dict[str, Path | None], params: PredictParams, count: int
) -> dict[str, Prompts | None]:
    """Read points and boxes of files; wrong usage where they and `locate` do not agree."""
    from napari_wbc_nca.datasets import label_files

    found: dict[str, Prompts | None] = {}
    for name, path in files.items():
        if (path is None) == (getattr(params, "locate", None) == name):
            raise typer.BadParameter(f"--locate {name} and --{name} FILE need each other")
        if path is None:
            continue
        try:
            forms = label_files.POINTS if name == "points" else label_files.BOXES
            found[name] = given = label_files.read_prompts(path, forms)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint=f"--{name}") from error
        if count > 1 and not given.images:
            raise typer.BadParameter(
                f"{path} has no column image, and there are {count} images", param_hint=f"--{name}"
            )
    return found
