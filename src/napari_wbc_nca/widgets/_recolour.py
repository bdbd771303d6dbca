"""Keep cells in their class's colour while labels come, go and change their class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import to_hex
from napari.utils.colormaps import DirectLabelColormap

from napari_wbc_nca.cell_types import KNOWN, OTHERS
from napari_wbc_nca.widgets._colours import NEW
from napari_wbc_nca.widgets._features import UNKNOWN
from napari_wbc_nca.widgets._planes import OURS

if TYPE_CHECKING:
    from napari.layers import Labels

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
    choices = [to_hex(c, keep_alpha=True) for c in ((KNOWN[name],) if name in KNOWN else OTHERS)]
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
