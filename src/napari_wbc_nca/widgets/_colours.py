"""Cells counted by class, and shown in their class's colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from napari.utils.colormaps import DirectLabelColormap

from napari_wbc_nca.cell_types import colours

if TYPE_CHECKING:
    import pandas as pd

ABBREVIATIONS = ("wbc", "rbc")
"""Classes whose names people write in capitals."""
NEW = "#ffffff"
"""Cells that a person added, whose class nobody knows yet."""
BACKGROUND = "background"
"""Class of pixels that show no cell, 0 in label images."""


def class_colours(table: pd.DataFrame) -> dict[str, str]:
    """Colour of every class that a table of cells has, as in the overlay picture."""
    return colours(sorted(set(table["class"])))


def colormap(table: pd.DataFrame, classes: Mapping[str, str]) -> DirectLabelColormap:
    """Colormap of a labels layer: every cell in the colour of its class.

    Parameters
    ----------
    table
        Cells with the columns ``label`` and ``class``.
    classes
        Class name to colour.
    """
    cells = {
        int(label): classes[name]
        for label, name in zip(table["label"], table["class"], strict=True)
    }
    rest: dict[int | None, str] = {None: NEW, 0: "transparent"}
    return DirectLabelColormap(color_dict=rest | cells)


def class_rows(provenance: Mapping[str, Any]) -> pd.DataFrame:
    """One row a class of a label image whose integers are classes: its integer and its name.

    Parameters
    ----------
    provenance
        Of the segmentation. Integers count the model's classes from 1, background left out.
    """
    import pandas as pd

    names = [name for name in provenance["model"]["classes"] if name != BACKGROUND]
    numbers = range(1, len(names) + 1)
    return pd.DataFrame({"index": numbers, "label": numbers, "class": names})


def plural(name: str) -> str:
    """Name of several cells of a class; only words that take an s are changed."""
    takes = ("phil", "cyte", "blast", "cell", "platelet", "BC")
    return name + "s" if name.endswith(takes) else name


def count(number: int, name: str) -> str:
    r"""Number and name of cells, which no line break parts.

    Examples
    --------
    >>> count(1, "lymphocyte"), count(2, "neutrophil")
    ('1\xa0lymphocyte', '2\xa0neutrophils')
    """
    shown = name.upper() if name in ABBREVIATIONS else name
    return f"{number}\N{NO-BREAK SPACE}{shown if number == 1 else plural(shown)}"


def summary(names: Iterable[str], nothing: str = "No white blood cell found") -> str:
    r"""Sentence that counts cells by class, the commonest class first; `nothing` without cells.

    Examples
    --------
    >>> summary(["neutrophil", "lymphocyte", "neutrophil"]).replace("\xa0", " ")
    '3 cells: 2 neutrophils, 1 lymphocyte'
    """
    counts = tally(names)
    total = sum(counts.values())
    if not total:
        return nothing
    kinds = ", ".join(count(number, name) for name, number in counts.items())
    return f"{count(total, 'cell')}: {kinds}"


def legend(names: Iterable[str], classes: Mapping[str, str]) -> str:
    """Rich text: one line a class, with its colour and its number of cells."""
    return "<br>".join(
        f'<span style="color: {classes[name]}">■</span> {count(number, name)}'
        for name, number in tally(names).items()
    )


def tally(names: Iterable[str]) -> dict[str, int]:
    """Class name to number of cells, the commonest first, then by name."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
