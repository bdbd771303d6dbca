"""``count``: differential counts of a folder of results, or of an annotation project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_wbc_nca.cli import console


def count(
    folder: Annotated[
        Path, typer.Argument(help="Folder that `segment` wrote into, or annotation project.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV file for the counts.")
    ] = None,
    cells: Annotated[
        Path | None, typer.Option("--cells", help="CSV file for all cells of all images.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files.")] = False,
) -> None:
    """Count the cells of a batch by type, with 95 % intervals (Wilson).

    Red cells, platelets and rejected cells are not counted; percentages are
    shares of all white cells. The exit status is 1 when a table could not be
    read; it is named, and the others are counted.
    """
    from napari_wbc_nca.workflow.count import count_cells

    for path in (output, cells):
        console.refuse_existing(path, force)
    with console.exit_on_error():
        counted = count_cells(folder)
        for path, table in ((output, counted.differentials), (cells, counted.cells)):
            if path is not None:
                table.to_csv(path, index=False, encoding="utf-8")
                console.print_result(f"Written: {path}")
    console.print_table(
        ("image", "type", "n", "%", "95 % interval", "doubtful", "reviewed"),
        [
            (
                str(row["image"]),
                str(row["class"]),
                str(row["n"]),
                f"{row['percent']:.1f}",
                f"{row['low']:.1f}–{row['high']:.1f}",
                str(row["doubtful"]),
                str(row["reviewed"]),
            )
            for _, row in counted.differentials.iterrows()
            if row["n"]
        ],
    )
    for name, why in counted.failed.items():
        console.print_message(f"Failed: {name}: {why}")
    if counted.failed:
        raise typer.Exit(1)
