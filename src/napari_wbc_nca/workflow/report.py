"""Files of an evaluation: tables, plots, provenance."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from napari_wbc_nca.workflow import _plots

if TYPE_CHECKING:
    import pandas as pd

    from napari_wbc_nca.workflow.evaluate import Evaluation

TABLES = ("summary", "classes", "confusion", "images", "cells")


def write(measured: Evaluation, folder: str | Path) -> list[Path]:
    """Write ``summary.md``, a CSV a table, plots and ``evaluation.json`` into `folder`.

    The files appear only when all of them are complete.

    Returns
    -------
    list of Path
        The files written.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".part-") as part:
        new = Path(part)
        for name in TABLES:
            getattr(measured, name).to_csv(new / f"{name}.csv", index=False)
        (new / "summary.md").write_text(text(measured), encoding="utf-8")
        record = json.dumps(measured.provenance, indent=2)
        (new / "evaluation.json").write_text(record, encoding="utf-8")
        _plots.draw(measured, new)
        written = []
        for path in sorted(new.iterdir()):
            os.replace(path, Path(folder) / path.name)
            written.append(Path(folder) / path.name)
    return written


def text(measured: Evaluation) -> str:
    """Summary, classes and confusion of an evaluation as Markdown, for people."""
    title = f"# {measured.provenance['model']}\n"
    across = measured.summary.set_index("projection").T.rename_axis("figure").reset_index()
    tables = {"Summary": across, "Classes": measured.classes, "Confusion": measured.confusion}
    return title + "".join(
        f"\n## {name}\n\n{markdown(table)}\n" for name, table in tables.items() if not table.empty
    )


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
