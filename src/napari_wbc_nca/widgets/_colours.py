"""One colour a class, the same in layers, legend and pictures of the docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from napari.utils.colormaps import DirectLabelColormap

if TYPE_CHECKING:
    import pandas as pd

KNOWN = {
    "neutrophil": "#009e73",
    "eosinophil": "#d55e00",
    "basophil": "#0072b2",
    "lymphocyte": "#f0e442",
    "monocyte": "#56b4e9",
}
"""Of the palette by Okabe and Ito, which people with any colour vision tell apart."""
OTHERS = ("#e69f00", "#cc79a7", "#44aa99", "#aa4499", "#999933", "#882255", "#88ccee", "#117733")
NEW = "#ffffff"
"""Cells that a person added, whose class nobody knows yet."""


def colours(classes: Iterable[str]) -> dict[str, str]:
    """Colour of each class; unknown classes take free colours in their order, then again.

    Examples
    --------
    >>> colours(["monocyte", "blast"])
    {'monocyte': '#56b4e9', 'blast': '#e69f00'}
    """
    found, free = {}, 0
    for name in dict.fromkeys(classes):
        if name in KNOWN:
            found[name] = KNOWN[name]
        else:
            found[name] = OTHERS[free % len(OTHERS)]
            free += 1
    return found


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
    """Number and name of cells.

    Examples
    --------
    >>> count(1, "lymphocyte"), count(2, "neutrophil")
    ('1 lymphocyte', '2 neutrophils')
    """
    return f"{number} {name if number == 1 else plural(name)}"


def summary(names: Iterable[str]) -> str:
    """Sentence that counts cells by class, the commonest class first.

    Examples
    --------
    >>> summary(["neutrophil", "lymphocyte", "neutrophil"])
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
