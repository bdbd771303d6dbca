"""Class names of blood cells: types, synonyms and colours."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle

KNOWN = {
    "neutrophil": "#009e73",
    "eosinophil": "#d55e00",
    "basophil": "#0072b2",
    "lymphocyte": "#f0e442",
    "monocyte": "#56b4e9",
    "rbc": "#e69f00",
    "wbc": "#cc79a7",
    "platelet": "#44aa99",
}
"""Of the palette by Okabe and Ito, which people with any colour vision tell apart."""
OTHERS = ("#e69f00", "#cc79a7", "#44aa99", "#aa4499", "#999933", "#882255", "#88ccee", "#117733")


def colours(classes: Iterable[str]) -> dict[str, str]:
    """Colour of each class; unknown classes take free colours in their order, then again.

    Examples
    --------
    >>> colours(["monocyte", "blast"])
    {'monocyte': '#56b4e9', 'blast': '#e69f00'}
    """
    names = list(dict.fromkeys(classes))
    taken = {KNOWN[name] for name in names if name in KNOWN}
    free = cycle([colour for colour in OTHERS if colour not in taken])
    return {name: KNOWN[name] if name in KNOWN else next(free) for name in names}


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour written ``#rrggbb``.

    Examples
    --------
    >>> rgb("#ff8000")
    (255, 128, 0)
    """
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return red, green, blue


TYPES = ("neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte")
"""The five types of white blood cells that normal blood holds."""

WBC = "wbc"
"""A white blood cell of unknown type."""

NONE = "none"
"""No white blood cell: red cells, platelets, background."""


_SYNONYMS = {
    WBC: ("wbcs", "white blood cell", "leukocyte", "leucocyte"),
    NONE: (
        *("rbc", "rbcs", "red blood cell", "erythrocyte", "platelet", "platelets", "thrombocyte"),
        *("background", "artefact", "artifact", "debris"),
    ),
}

_CANONICAL = {name: target for target, names in _SYNONYMS.items() for name in names}


def canonical(name: str) -> str:
    """Class name in the form that is used throughout.

    Lower case; the usual words for red cells, platelets and background become ``none``, those
    for a white blood cell of unknown type ``wbc``.

    Examples
    --------
    >>> canonical("Neutrophil"), canonical("RBC"), canonical("Leukocyte")
    ('neutrophil', 'none', 'wbc')
    """
    lower = name.strip().lower()
    return _CANONICAL.get(lower, lower)
