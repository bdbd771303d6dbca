"""Blood cells: names of classes, their synonyms and plurals, typical sizes, colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import cycle

TYPES = ("neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte")
"""The five types of white blood cells in normal blood."""
IMMATURE = ("metamyelocyte", "myelocyte", "promyelocyte")
"""Immature granulocytes, which healthy blood holds few of."""
ERYTHROBLAST = "erythroblast"
"""A nucleated red cell."""
WBC, RBC, PLATELET = "wbc", "rbc", "platelet"
"""A white blood cell of unknown type, a red blood cell, a platelet."""
NONE = "none"
"""No white blood cell: red cells, platelets, background."""
FINE = ("segmented neutrophil", "band neutrophil", *TYPES[1:], *IMMATURE, ERYTHROBLAST, NONE)
"""Classes of the fine differential; platelets count as none."""
BACKGROUND = "background"
"""Pixels without any cell, 0 in label images."""

UNSURE = "unsure"
"""Class of cells whose type is too uncertain to be reported as a fact."""
AUTO, EDITED, ADDED = "auto", "edited", "added"
"""Origin of a cell: predicted by a model, edited by a person, or drawn by one."""
ACCEPTED, REJECTED = "accepted", "rejected"
"""Status of a cell that a reviewer confirmed, or removed from the count."""
UNSURE_COLOUR = "#a8a8a8"
"""Grey, which no type has."""

RED_TO_WHITE_DIAMETER = 0.49
"""Diameter of a red cell over a white one's: medians of 9,692 and 1,169 boxes of TXL-PBC."""
CELL_TO_BOX = 0.92
"""Diameter of a cell over the side of a box drawn around it."""
CELL_TO_CROP = 0.55
"""Diameter of a cell over the side of a picture that shows one cell only."""

_TYPE_OF = {name: name for name in TYPES} | dict.fromkeys(FINE[:2], TYPES[0])
_GROUP_OF = _TYPE_OF | dict.fromkeys(IMMATURE, "immature granulocyte")

COLOURS = {
    "neutrophil": "#009e73",
    "eosinophil": "#d55e00",
    "basophil": "#0072b2",
    "lymphocyte": "#f0e442",
    "monocyte": "#56b4e9",
    RBC: "#e69f00",
    WBC: "#cc79a7",
    PLATELET: "#44aa99",
    "segmented neutrophil": "#009e73",
    "band neutrophil": "#66c2a5",
    "metamyelocyte": "#999933",
    "myelocyte": "#117733",
    "promyelocyte": "#aa4499",
    ERYTHROBLAST: "#882255",
}
"""The five types have the palette by Okabe and Ito, distinguishable with any colour vision."""
OTHER_COLOURS = (
    *("#e69f00", "#cc79a7", "#44aa99", "#aa4499"),
    *("#999933", "#882255", "#88ccee", "#117733"),
)

_SYNONYMS = {
    WBC: ("wbcs", "white blood cell", "leukocyte", "leucocyte"),
    RBC: ("rbcs", "red blood cell", "erythrocyte"),
    PLATELET: ("platelets", "thrombocyte"),
    NONE: (BACKGROUND, "artefact", "artifact", "debris"),
}
_CANONICAL = {word: name for name, words in _SYNONYMS.items() for word in words}
_PLURAL_WITH_S = ("phil", "cyte", "blast", "cell", "platelet", "BC")


def detection_class(name: str) -> str:
    """Return the class by which a detector counts a cell: one for all types of white cells.

    Examples
    --------
    >>> [detection_class(name) for name in ("Neutrophil", "erythrocyte", "HeLa", "debris")]
    ['wbc', 'rbc', 'hela', 'none']
    """
    lower = name.strip().lower()
    return WBC if lower in _GROUP_OF else _CANONICAL.get(lower, lower)


def group(name: str) -> str:
    """Return the group of a class: one of the five types, immature granulocyte, or itself.

    Examples
    --------
    >>> [group(name) for name in ("band neutrophil", "myelocyte", "erythroblast", "none")]
    ['neutrophil', 'immature granulocyte', 'erythroblast', 'none']
    """
    return _GROUP_OF.get(name, name)


def five_types(probabilities: Mapping[str, float], added: Iterable[str] = ()) -> dict[str, float]:
    """Sum probabilities of fine classes over each of the five types, and renormalise these.

    Immature cells and erythroblasts, which are none of the five, do not count, but classes that
    were `added` do, each by itself. All are equal where none of these is possible.

    Examples
    --------
    >>> found = five_types({"band neutrophil": 0.2, "segmented neutrophil": 0.1, "myelocyte": 0.7})
    >>> round(found["neutrophil"], 6), found["monocyte"]
    (1.0, 0.0)
    """
    sums = dict.fromkeys(TYPES, 0.0)
    for name, value in probabilities.items():
        if name in _TYPE_OF:
            sums[_TYPE_OF[name]] += value
    sums |= {name: probabilities[name] for name in added}
    total = sum(sums.values())
    return {name: value / total if total else 1 / len(sums) for name, value in sums.items()}


def canonical(name: str) -> str:
    """Convert a class name to lower case; replace synonyms, and all but white cells by ``none``.

    Examples
    --------
    >>> canonical("Neutrophil"), canonical("RBC"), canonical("Leukocyte")
    ('neutrophil', 'none', 'wbc')
    """
    lower = name.strip().lower()
    known = _CANONICAL.get(lower, lower)
    return NONE if known in (RBC, PLATELET) else known


def colours(classes: Iterable[str]) -> dict[str, str]:
    """Assign a colour to each class; unknown classes take free colours in turn, then repeat.

    Examples
    --------
    >>> colours(["monocyte", "blast"])
    {'monocyte': '#56b4e9', 'blast': '#e69f00'}
    """
    names = list(dict.fromkeys(classes))
    taken = {COLOURS[name] for name in names if name in COLOURS}
    free = cycle([colour for colour in OTHER_COLOURS if colour not in taken])
    known = COLOURS | {UNSURE: UNSURE_COLOUR}
    return {name: known[name] if name in known else next(free) for name in names}


def rgb(colour: str) -> tuple[int, int, int]:
    """Convert a colour written ``#rrggbb`` to red, green and blue in 0–255.

    Examples
    --------
    >>> rgb("#ff8000")
    (255, 128, 0)
    """
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def plural(name: str) -> str:
    """Form the plural of a class name; only names that take an s are changed.

    Examples
    --------
    >>> plural("monocyte"), plural("none")
    ('monocytes', 'none')
    """
    return name + "s" if name.endswith(_PLURAL_WITH_S) else name


def format_count(number: int, name: str) -> str:
    r"""Format number and name of cells, joined by a no-break space.

    Examples
    --------
    >>> format_count(1, "lymphocyte"), format_count(2, "neutrophil")
    ('1\xa0lymphocyte', '2\xa0neutrophils')
    """
    text = name.upper() if name in (WBC, RBC) else name
    return f"{number}\N{NO-BREAK SPACE}{text if number == 1 else plural(text)}"
