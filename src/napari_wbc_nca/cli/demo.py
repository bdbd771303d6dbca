"""``demo``: segment a bundled smear, or write synthetic cultures to try CellMixer on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_wbc_nca.cli import console
from napari_wbc_nca.cli.segment import MODEL, Force, Model, RunSettings, load, run
from napari_wbc_nca.methods import registry

Sample = Literal["smear-1", "smear-2", "typed"]
TRAINING, TEST = 12, 4
"""Images of each population to train on, and to evaluate on."""
TEST_SEED = 500_000
"""Distance of the seeds of the two, so that no image is in both."""


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path(
        "wbc-demo"
    ),
    sample: Annotated[Sample, typer.Option(help="Which of the bundled images.")] = "smear-1",
    model: Model = MODEL,
    cultures: Annotated[
        bool,
        typer.Option(
            "--cultures",
            help="Write synthetic cultures instead, to train and evaluate cellmixer on.",
        ),
    ] = False,
    force: Force = False,
) -> None:
    """Segment a blood smear that comes with the program, or write synthetic cultures."""
    if cultures:
        _write_cultures(output)
        return
    from napari_wbc_nca.io.images import SAMPLES, read, sample_path

    checkpoint = load(model)
    job = RunSettings(checkpoint, registry.get(checkpoint.method).predict_params(), output, force)
    with console.exit_on_error():
        found, files = run(read(sample_path(sample)), job)
    console.print_result(f"{SAMPLES[sample]}, segmented with {checkpoint.name}:")
    console.print_cells(found.cells)
    console.print_result(
        f"Cells: {console.count_types(found.cells, found.provenance.get('regions', {}))}"
    )
    console.print_files(files)


def _write_cultures(output: Path) -> None:
    """Write data for `train cellmixer` and `evaluate`, and print the commands."""
    from napari_wbc_nca.datasets.synthetic import KINDS, write_known, write_populations

    populations, test, model = (output / name for name in ("populations", "test", "model"))
    with console.exit_on_error():
        write_populations(populations, TRAINING)
        write_known(test, TEST, seed=TEST_SEED)
    console.print_result(f"{populations}: {TRAINING} cultures of each of {', '.join(KINDS)}")
    console.print_result(f"{test}: {TEST} of each, unmixed and mixed, with the class of each pixel")
    console.print_result("Next:")
    console.print_result(f"  napari-wbc-nca train cellmixer {populations} -o {model}.safetensors")
    console.print_result(f"  napari-wbc-nca evaluate {model}.safetensors {test}")
