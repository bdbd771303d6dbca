"""Which classes the cells of a layer may have, and in which order the keys give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wbc_nca.cell_types import KNOWN, NONE
from napari_wbc_nca.widgets._features import UNKNOWN
from napari_wbc_nca.widgets._planes import OURS

if TYPE_CHECKING:
    from napari.layers import Labels

NO_CELLS = {NONE, "background", UNKNOWN}
"""Outputs of models, and words, that are no class of cells."""
NAMED = "classes"
"""Where the layer's metadata keep classes that a person added."""
PREFIX = "p_"
"""Of the columns that hold the probability of a class."""


def classes_of(layer: Labels) -> list[str]:
    """Classes in the order of the model's outputs, then those that were added, then others found.

    Where no model told of classes, they are the five types of mature white blood cells.
    """
    table = layer.features
    columns = [str(name) for name in table if str(name).startswith(PREFIX)]
    given = [name.removeprefix(PREFIX) for name in columns] or list(KNOWN)
    found = sorted(set(table["class"].dropna())) if "class" in table else []
    added = layer.metadata.get(OURS, {}).get(NAMED, [])
    names = dict.fromkeys([*given, *added, *found])
    return [name for name in names if name not in NO_CELLS]


def add_class(layer: Labels, name: str) -> None:
    """Offer another class in `layer`.

    Raises
    ------
    ValueError
        Where the name is empty or there already.
    """
    name = name.strip()
    if not name:
        raise ValueError("the class has no name; type one")
    known = classes_of(layer)
    if name in known:
        raise ValueError(f"there is a class {name} already")
    ours = dict(layer.metadata.get(OURS, {}))
    layer.metadata[OURS] = ours | {NAMED: [*known, name]}
