"""Show and write the results of an evaluation: tables, Markdown, figures and provenance."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from napari_wbc_nca.io._files import write_files

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Report(ABC):
    """Base class of the results of an evaluation.

    Attributes
    ----------
    stem
        Name of the Markdown file, without suffix.
    provenance
        Models, data and every parameter; ``notes`` where a reader must know more.
    """

    stem: ClassVar[str]
    provenance: dict[str, Any]

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables by name; each is written as ``NAME.csv``."""
        import pandas as pd

        return {name: own for name, own in vars(self).items() if isinstance(own, pd.DataFrame)}

    @abstractmethod
    def text(self) -> str:
        """Return the results as Markdown."""

    @abstractmethod
    def headline(self) -> str:
        """Return the main figures in one line."""

    def figures(self) -> dict[str, Figure]:
        """Return the plots by name; each is written as ``NAME.png`` and ``NAME.svg``."""
        return {}

    def parts(self) -> dict[str, Report]:
        """Return the reports that are written into folders inside this one's."""
        return {}

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the results, such as images the model was trained on."""
        return list(self.provenance.get("notes", []))

    def join(self, title: str, parts: Iterable[str]) -> str:
        """Join a title, the notes and other parts of a text."""
        return "\n\n".join([f"# {title}", *(f"Note: {n}" for n in self.notes), *parts]) + "\n"


def write_report(report: Report, folder: str | Path) -> None:
    """Write tables, Markdown, plots and ``evaluation.json`` into `folder`, all or none.

    Parts are written into folders of their names. An OutputError says what cannot be written.
    """
    texts = {f"{report.stem}.md": report.text()}
    texts["evaluation.json"] = json.dumps(report.provenance, indent=2)
    writers: dict[str, Callable[[Path], object]] = {
        name: partial(Path.write_text, data=text, encoding="utf-8") for name, text in texts.items()
    }
    for name, table in report.tables().items():
        writers[f"{name}.csv"] = partial(table.to_csv, index=False)
    for name, figure in report.figures().items():
        for kind in ("png", "svg"):
            save = partial(figure.savefig, format=kind, dpi=120, bbox_inches="tight")
            writers[f"{name}.{kind}"] = save
    write_files({Path(folder) / name: writer for name, writer in writers.items()})
    for name, other in report.parts().items():
        write_report(other, Path(folder) / name)


def markdown(table: pd.DataFrame) -> str:
    """Format a table as Markdown, floats with three decimals.

    Examples
    --------
    >>> import pandas as pd
    >>> print(markdown(pd.DataFrame({"set": ["a"], "iou": [0.5]})))
    | set | iou |
    |---|---|
    | a | 0.500 |
    """
    rows = [[_format(value) for value in row] for row in table.itertuples(index=False)]
    lines = [[str(name) for name in table.columns], *rows]
    head, *body = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(table.columns), *body])


def _format(value: object) -> str:
    if isinstance(value, float):
        return "–" if value != value else f"{value:.3f}"
    return str(value)
