"""``report``: a page to read, print and sign, of a folder of results or an annotation project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_wbc_nca.cli import console
from napari_wbc_nca.cli.options import make, with_fields
from napari_wbc_nca.workflow.params import ReportParams


@with_fields({"report": ReportParams})
def report(
    results: Annotated[
        Path, typer.Argument(help="Folder that `segment` wrote into, or annotation project.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Page, such as report.html.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the page.")] = False,
    **values: Any,
) -> None:
    """Write a report of one HTML file: differential, gallery, doubtful cells, provenance.

    The page opens in any browser, without a network, and prints on A4. Cells
    that were corrected are reported as they are now.
    """
    from napari_wbc_nca.workflow.report import report as write

    console.refuse_existing(output, force)
    with console.exit_on_error():
        write(results, output, make(ReportParams, values, "report"))
        console.print_result(f"Written: {output}")
