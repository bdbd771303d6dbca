"""Print results on standard output, progress and failures on standard error."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column, Table
from rich.text import Text

from napari_wbc_nca.progress import map_progress, run_to_end

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from napari_wbc_nca.progress import Progress

T = TypeVar("T")

WIDTH = 120
"""Characters a line where the output is no terminal."""
CELL_COLUMNS = {
    "label": "{}",
    "class": "{}",
    "class_probability": "{:.2f}",
    "confidence": "{:.2f}",
    "centroid_y": "{:.0f}",
    "centroid_x": "{:.0f}",
    "area_px": "{}",
    "area_um2": "{:.1f}",
}
"""Columns of the table of cells that are printed, and their formats; the file has all."""


def open_console(stderr: bool = False) -> Console:
    """Return a console on standard output or standard error."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=WIDTH)


def print_result(text: str) -> None:
    """Print a line of a result, unwrapped and without markup."""
    open_console().print(text, markup=False, highlight=False, soft_wrap=True)


def print_message(text: str) -> None:
    """Print a message on standard error."""
    open_console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def print_files(files: Iterable[Path]) -> None:
    """Print which files were written."""
    print_result("\n".join(["Written:", *(f"  {file}" for file in files)]))


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    printed = Table(*(Column(Text(head), overflow="fold") for head in heads))
    for row in rows:
        printed.add_row(*map(Text, row))
    open_console().print(printed)


def print_cells(found: pd.DataFrame) -> None:
    """Print the table of cells."""
    columns = [name for name in CELL_COLUMNS if name in found and not found[name].isna().all()]
    rows = [
        [CELL_COLUMNS[name].format(value) for name, value in zip(columns, row, strict=True)]
        for row in found[columns].itertuples(index=False)
    ]
    print_table([name.replace("_", " ") for name in columns], rows)


def count_types(
    found: pd.DataFrame, regions: Mapping[str, Mapping[str, float]] = MappingProxyType({})
) -> str:
    """Count cells by class, the most frequent first.

    `regions` has, as the provenance of a segmentation, ``regions`` and ``area_share`` of classes
    whose touching cells are not separated: these are no cell counts.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"class": ["monocyte", "rbc", "monocyte"]})
    >>> count_types(table)
    '2 monocyte, 1 rbc'
    >>> count_types(table, {"rbc": {"regions": 1, "area_share": 0.25}})
    '2 monocyte, rbc on 25% of the image'
    """
    texts = [
        f"{name} on {regions[name]['area_share']:.0%} of the image"
        if name in regions
        else f"{count} {name}"
        for name, count in Counter(found["class"]).most_common()
    ]
    return ", ".join(texts) or "none"


def run_with_progress(steps: Generator[Progress, None, T], title: str) -> T:
    """Run a computation with a progress bar, print its values, and return its result."""
    console = open_console(stderr=True)
    bar = Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:g}/{task.total:g}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(title, total=1)

        def show(step: Progress) -> None:
            text = f"{title}: {step.message}" if step.message else title
            bar.update(task, completed=step.done, total=max(step.total, 1), description=text)
            if step.values:
                figures = ", ".join(f"{name} {value:.4g}" for name, value in step.values.items())
                console.print(f"{step.done}/{step.total}: {figures}", markup=False, highlight=False)

        return run_to_end(map_progress(steps, show))


def describe_error(error: Exception) -> str:
    """Describe an error; print a traceback when its message does not say what to do."""
    if isinstance(error, ValueError | OSError):
        return str(error)
    print_message("".join(traceback.format_exception(error)))
    return f"{type(error).__name__}: {error}"


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print an error of what is read, computed or written, and exit with status 1."""
    try:
        yield
    except (ValueError, OSError) as error:
        print_message(f"Error: {error}")
        raise typer.Exit(1) from error


def refuse_existing(path: Path | None, force: bool) -> None:
    """Refuse an output that would replace a file without ``--force``: wrong usage."""
    if path is not None and path.exists() and not force:
        raise typer.BadParameter(f"{path} exists; choose another name, or give --force")
