"""Cells counted by class, and shown in their class's colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_hex
from napari.utils.colormaps import DirectLabelColormap

from napari_wbc_nca.cell_types import BACKGROUND, COLOURS, NONE, OTHER_COLOURS, colours, count
from napari_wbc_nca.widgets.features_table import UNKNOWN
from napari_wbc_nca.widgets.planes import OURS

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Labels


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


_UNKNOWN_COLOUR = to_hex(NEW, keep_alpha=True)
_WIDE = 4
"""Bytes of a label from which on napari sends colours to the screen, not labels."""


def inherit(layer: Labels, parents: Mapping[int, int]) -> None:
    """Give labels that are about to be written the colour of the cells they are made of.

    Parameters
    ----------
    layer
        Labels layer; nothing happens where it is not one of ours, coloured by class.
    parents
        New label to the label whose pixels it takes over.
    """
    colormap = layer.colormap
    if not isinstance(colormap, DirectLabelColormap) or OURS not in layer.metadata:
        return
    for label, parent in parents.items():
        known = colormap.color_dict
        if layer.dtype.itemsize >= _WIDE and parent in known and label not in known:
            _extend(colormap, label, parent)


def recolour(layer: Labels, classes: Mapping[int, str]) -> None:
    """Give cells the colour of their class, in a layer of ours that is coloured by class.

    Parameters
    ----------
    layer
        Labels layer, with its features up to date.
    classes
        Label to the class it has become.
    """
    colormap = layer.colormap
    if not isinstance(colormap, DirectLabelColormap) or OURS not in layer.metadata:
        return
    default = None in colormap.color_dict and _hex(colormap, None) == _UNKNOWN_COLOUR
    if default:  # they are in the right colour without being listed
        listed = colormap.color_dict
        classes = {k: name for k, name in classes.items() if name != UNKNOWN or k in listed}
    twins = {name: _twin(layer, colormap, name, classes) for name in set(classes.values())}
    wanted = {k: class_colour(colormap, twins[name], name) for k, name in classes.items()}
    known = colormap.color_dict
    changed = {k: c for k, c in wanted.items() if k not in known or _hex(colormap, k) != c}
    if changed:
        # Made of text, which napari reads once a colour, not once a label.
        colours = {label: _hex(colormap, label) for label in colormap.color_dict}
        layer.colormap = DirectLabelColormap(color_dict=colours | changed)


def colour_of(layer: Labels, name: str) -> str:
    """Colour ``#rrggbb`` in which a layer shows a class; empty where it shows no cell of it."""
    colormap = layer.colormap
    if not isinstance(colormap, DirectLabelColormap):
        return ""
    twin = _twin(layer, colormap, name, {})
    return "" if twin is None else _hex(colormap, twin)[:7]


def class_colour(colormap: DirectLabelColormap, twin: int | None, name: str) -> str:
    """Colour of a class: that of another cell of it, else one that no cell has yet."""
    if twin is not None:
        return _hex(colormap, twin)
    if name == UNKNOWN:
        return _UNKNOWN_COLOUR
    taken = {_hex(colormap, label) for label in colormap.color_dict}
    choices = [
        to_hex(c, keep_alpha=True) for c in ((COLOURS[name],) if name in COLOURS else OTHER_COLOURS)
    ]
    return next((colour for colour in choices if colour not in taken), choices[0])


def _twin(
    layer: Labels, colormap: DirectLabelColormap, name: str, changing: Mapping[int, str]
) -> int | None:
    """A cell that has had a class, and its colour, for longer."""
    table = layer.features
    for label in table["index"].to_numpy()[(table["class"] == name).to_numpy()].tolist():
        if label in colormap.color_dict and label not in changing:
            return int(label)
    return None


def _extend(colormap: DirectLabelColormap, label: int, twin: int) -> None:
    """Give a new label the colour of another one.

    A colormap made anew would have every pixel of the layer translated again, a fifth of a second
    for 4096² pixels. What napari has worked out from the colours is completed instead.
    """
    colormap.color_dict[label] = colormap.color_dict[twin]
    made = vars(colormap)
    if "_label_mapping_and_color_dict" in made:
        numbers = made["_label_mapping_and_color_dict"][0]
        numbers[label] = numbers[twin]
    if "_array_map" in made:
        old = made["_array_map"]
        # The last entry stands for all labels beyond.
        longer = np.full(max(0, label + 2 - len(old)), old[-1])
        made["_array_map"] = np.concatenate([old, longer]).astype(old.dtype)
        made["_array_map"][label] = old[twin]
    colormap._cache_other.clear()


def _hex(colormap: DirectLabelColormap, label: int | None) -> str:
    return str(to_hex(colormap.color_dict[label], keep_alpha=True))


NO_CELLS = {NONE, BACKGROUND, UNKNOWN}
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
    given = [name.removeprefix(PREFIX) for name in columns] or list(COLOURS)
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
