"""Cells counted by class, and shown in their class's colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from napari.utils.colormaps import DirectLabelColormap

from napari_wbc_nca.io.palette import colours

if TYPE_CHECKING:
    import pandas as pd

NEW = "#ffffff"
"""Cells that a person added, whose class nobody knows yet."""


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


def plural(name: str) -> str:
    """Name of several cells of a class; only words that take an s are changed."""
    return name + "s" if name.endswith(("phil", "cyte", "blast", "cell")) else name


def count(number: int, name: str) -> str:
    r"""Number and name of cells, which no line break parts.

    Examples
    --------
    >>> count(1, "lymphocyte"), count(2, "neutrophil")
    ('1\xa0lymphocyte', '2\xa0neutrophils')
    """
    return f"{number}\N{NO-BREAK SPACE}{name if number == 1 else plural(name)}"


def summary(names: Iterable[str]) -> str:
    r"""Sentence that counts cells by class, the commonest class first.

    Examples
    --------
    >>> summary(["neutrophil", "lymphocyte", "neutrophil"]).replace("\xa0", " ")
    '3 cells: 2 neutrophils, 1 lymphocyte'
    """
    counts = tally(names)
    total = sum(counts.values())
    if not total:
        return "No white blood cell found"
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
