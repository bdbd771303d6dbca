"""Files and texts of an evaluation: tables, plots, provenance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd

from napari_wbc_nca.evaluation import plots
from napari_wbc_nca.io._files import replace_all

if TYPE_CHECKING:
    from napari_wbc_nca.evaluation.compare import Comparison
    from napari_wbc_nca.evaluation.cross_validate import Transfer
    from napari_wbc_nca.evaluation.evaluate import Evaluation

TABLES = ("summary", "classes", "confusion", "images", "cells")
COMPARED = ("cell_iou", "nucleus_iou", "f1", "type_balanced", "type_balanced_all", "type_accuracy")
"""Figures that a train × test matrix shows."""


def write(measured: Evaluation, folder: str | Path) -> None:
    """Write ``summary.md``, a CSV a table, plots and ``evaluation.json`` into `folder`.

    The files appear only when all of them are complete.
    """
    with _completed(folder) as part:
        for name in TABLES:
            getattr(measured, name).to_csv(part / f"{name}.csv", index=False)
        (part / "summary.md").write_text(text(measured), encoding="utf-8")
        _record(measured.provenance, part)
        plots.draw(measured, part)


def write_transfer(measured: Transfer, folder: str | Path) -> None:
    """Write ``transfer.md``, a CSV a table, plots of matrices and ``evaluation.json``."""
    with _completed(folder) as part:
        measured.folds.to_csv(part / "folds.csv", index=False)
        measured.table.to_csv(part / "transfer.csv", index=False)
        (part / "transfer.md").write_text(transfer_text(measured), encoding="utf-8")
        _record(measured.provenance, part)
        for (figure, projection), mean, sd in _matrices(measured):
            if len(mean) > 1:
                plots.save(plots.transfer(mean, sd), part / f"{figure}_{projection}.png")


def write_comparison(measured: Comparison, folder: str | Path) -> None:
    """Write ``comparison.md``, CSV tables, plots and ``evaluation.json`` of two models.

    The files appear only when all of them are complete; those of each model by itself stand in
    ``first`` and ``second``.
    """
    with _completed(folder) as part:
        measured.summary.to_csv(part / "comparison.csv", index=False)
        measured.cells.to_csv(part / "cells.csv", index=False)
        (part / "comparison.md").write_text(comparison_text(measured), encoding="utf-8")
        _record(measured.provenance, part)
        if measured.disagreements:
            figure = plots.disagreements(measured.disagreements)
            plots.save(figure, part / "disagreements.png")
    for name, evaluation in zip(("first", "second"), measured.evaluations, strict=True):
        write(evaluation, Path(folder) / name)


def comparison_text(measured: Comparison) -> str:
    """Figures of two models side by side as Markdown."""
    title = f"# {measured.names[0]} and {measured.names[1]}"
    return f"{title}\n\n{markdown(measured.summary)}\n"


@contextmanager
def _completed(folder: str | Path) -> Iterator[Path]:
    """Folder whose files move to `folder` at the end."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".part-") as part:
        yield Path(part)
        replace_all({path: Path(folder) / path.name for path in Path(part).iterdir()})


def _record(provenance: dict[str, Any], folder: Path) -> None:
    text = json.dumps(provenance, indent=2)
    (folder / "evaluation.json").write_text(text, encoding="utf-8")


def text(measured: Evaluation) -> str:
    """Summary, classes and confusion of an evaluation as Markdown."""
    across = measured.summary.set_index("projection").T.rename_axis("figure").reset_index()
    tables = {"Summary": across, "Classes": measured.classes, "Confusion": measured.confusion}
    parts = [f"## {name}\n\n{markdown(table)}" for name, table in tables.items() if len(table)]
    return "\n\n".join([f"# {measured.provenance['model']}", *parts]) + "\n"


def transfer_text(measured: Transfer) -> str:
    """Train × test matrices as Markdown, mean ± SD; training sets in rows."""
    title = f"# {measured.provenance['method']}: mean ± SD by what was measured (columns)"
    tables = []
    for (figure, projection), mean, sd in _matrices(measured):
        both = mean.map("{:.3f}".format) + " ± " + sd.map("{:.3f}".format)
        both.insert(0, "trained on", both.index)
        both.insert(0, "projection", projection)
        both.insert(0, "figure", figure)
        tables.append(both)
    return f"{title}\n\n{markdown(pd.concat(tables))}\n"


def _matrices(
    measured: Transfer,
) -> Iterator[tuple[tuple[str, str], pd.DataFrame, pd.DataFrame]]:
    """Figure and projection, means, and standard deviations of each matrix that is shown."""
    shown = measured.table[measured.table["figure"].isin(COMPARED)]
    for (figure, projection), rows in shown.groupby(["figure", "projection"], sort=False):
        names = list(dict.fromkeys(rows["train"]))
        mean, sd = (
            rows.pivot(index="train", columns="test", values=value).loc[names, names]
            for value in ("mean", "sd")
        )
        yield (str(figure), str(projection)), mean, sd


def markdown(table: pd.DataFrame) -> str:
    """Markdown of a table; floats with three decimals.

    Examples
    --------
    >>> import pandas as pd
    >>> print(markdown(pd.DataFrame({"set": ["a"], "iou": [0.5]})))
    | set | iou |
    |---|---|
    | a | 0.500 |
    """
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    lines = [[str(name) for name in table.columns], *rows]
    head, *body = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(table.columns), *body])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "–" if value != value else f"{value:.3f}"
    return str(value)
