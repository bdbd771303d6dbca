"""Colours, counts and classes of the cells of a Labels layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_hex
from napari.utils.colormaps import DirectLabelColormap

from napari_wbc_nca.cell_types import (
    BACKGROUND,
    COLOURS,
    NONE,
    OTHER_COLOURS,
    UNSURE,
    UNSURE_COLOUR,
    colours,
    format_count,
)
from napari_wbc_nca.ops.edit import Box, union_box
from napari_wbc_nca.widgets.features_table import UNKNOWN, row_box, rows_by_label
from napari_wbc_nca.widgets.planes import OURS

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Labels


NEW = "#ffffffff"
"""Colour of cells of unknown class, such as those that a person added."""
_GREY = UNSURE_COLOUR + "ff"
HIDDEN = "#00000000"
"""Colour of the background, and of what is not shown."""
OUTLINE = 2
"""Width of the outlines of cells, in pixels of the image."""


def class_colours(table: pd.DataFrame) -> dict[str, str]:
    """Return the colour of each class of a table of cells, as in the overlay picture."""
    return colours(sorted(set(table["class"])))


def colormap(table: pd.DataFrame, classes: Mapping[str, str]) -> DirectLabelColormap:
    """Make the colormap of a Labels layer: each cell in the colour of its class.

    `table` has the columns ``label`` and ``class``; `classes` are class name to colour.
    """
    pairs = zip(table["label"], table["class"], strict=True)
    cells = {int(label): classes[name] for label, name in pairs}
    rest: dict[int | None, str] = {None: NEW, 0: HIDDEN}
    return DirectLabelColormap(color_dict=rest | cells)


def show_outlines(layer: Labels) -> None:
    """Show cells by their outlines, which part cells that touch and leave the stain in sight."""
    layer.contour, layer.opacity = OUTLINE, 1.0


def class_rows(classes: Iterable[str]) -> pd.DataFrame:
    """Make the features of a label image of classes, numbered from 1 without the background."""
    import pandas as pd

    names = [name for name in classes if name != BACKGROUND]
    numbers = range(1, len(names) + 1)
    return pd.DataFrame({"index": numbers, "label": numbers, "class": names})


def count_summary(names: Iterable[str], nothing: str = "No white blood cell found") -> str:
    r"""Count cells by class in a sentence, the commonest class first; `nothing` without cells.

    Examples
    --------
    >>> count_summary(["neutrophil", "lymphocyte", "neutrophil"]).replace("\xa0", " ")
    '3 cells: 2 neutrophils, 1 lymphocyte'
    """
    counts = count_classes(names)
    total = sum(counts.values())
    if not total:
        return nothing
    kinds = ", ".join(format_count(number, name) for name, number in counts.items())
    return f"{format_count(total, 'cell')}: {kinds}"


def legend(
    names: Iterable[str], classes: Mapping[str, str], uncounted: Collection[str] = ()
) -> str:
    """Write a line for each class, with its colour and its number of cells, as rich text.

    Touching cells of the `uncounted` classes are not separated: their number is left out.
    """
    return "<br>".join(
        f'<span style="color: {classes[name]}">■</span> '
        f"{name if name in uncounted else format_count(number, name)}"
        for name, number in count_classes(names).items()
    )


def count_classes(names: Iterable[str]) -> dict[str, int]:
    """Count the cells of each class, the commonest first, then by name."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


_JOINED = 6
"""Area of a box around some cells, over that of their own boxes, up to which it is drawn whole."""
_FEW = 200
"""Cells that are drawn again one by one; of more, the whole layer is."""
_WIDE = 4
"""Bytes of a label from which on napari sends colours to the screen, not labels."""


def inherit_colours(layer: Labels, parents: Mapping[int, int]) -> None:
    """Give labels that are about to be written the colour of the cells they are made of.

    `parents` are new label to the label whose pixels it takes over; layers that are not ours stay.
    """
    colormap = layer.colormap
    if not isinstance(colormap, DirectLabelColormap) or OURS not in layer.metadata:
        return
    known = colormap.color_dict
    for label, parent in parents.items():
        if layer.dtype.itemsize >= _WIDE and parent in known and label not in known:
            _extend(colormap, label, parent)


def recolour(layer: Labels, classes: Mapping[int, str]) -> None:
    """Give cells the colour of their class, in a layer of ours that is coloured by class.

    `classes` are label to new class; the features may be those from before or after the change.
    """
    colormap = layer.colormap
    if not classes or not isinstance(colormap, DirectLabelColormap) or OURS not in layer.metadata:
        return
    known = colormap.color_dict
    if as_hex(known[None]) == NEW:  # labels that are not listed have this colour already
        classes = {k: name for k, name in classes.items() if name != UNKNOWN or k in known}
    chosen = layer_colours(layer, without=classes)
    for name in classes.values():
        if name not in chosen:
            chosen[name] = _free_colour(name, {as_hex(colour) for colour in known.values()})
    changed = {
        k: chosen[name]
        for k, name in classes.items()
        if k not in known or as_hex(known[k]) != chosen[name]
    }
    if changed and not _recolour_in_place(layer, changed):
        # As text, which napari reads once a colour, not once a label.
        texts = {label: as_hex(colour) for label, colour in known.items()}
        layer.colormap = DirectLabelColormap(color_dict=texts | changed)


def _recolour_in_place(layer: Labels, changed: Mapping[int, str]) -> bool:
    """Give a few cells colours that others have, and draw only these cells again.

    With a new colormap napari would translate and outline every pixel of the layer, seconds for
    4096² pixels. False where that cannot be helped.
    """
    colormap, table = layer.colormap, layer.features
    usual = layer.dtype.itemsize >= _WIDE and layer.visible and not layer.multiscale
    # Without outlines napari draws from its store of colours, not from the labels.
    usual = usual and layer.contour > 0 and layer._slice_input.ndisplay == 2
    if len(changed) > _FEW or not (
        usual and "box_y0" in table and hasattr(layer, "_partial_labels_refresh")
    ):
        return False
    twins = _twins(colormap, set(changed.values()), changed)
    if len(twins) < len(set(changed.values())):
        return False
    for label, colour in changed.items():
        _extend(colormap, label, twins[colour])
    boxes = [row_box(row) for row in rows_by_label(table, changed).values() if row is not None]
    for box in _joined(boxes):
        lead = (slice(0, 1),) * (layer.ndim - 2)  # napari takes the plane that is shown
        layer._updated_slice = (*lead, *box)
        layer._partial_labels_refresh()
    return True


def _joined(boxes: list[Box]) -> list[Box]:
    """Return one box around all where that is not much larger, since each takes its time."""
    if len(boxes) < 2:
        return boxes
    around = union_box(boxes)
    small = _area(around) < _JOINED * sum(map(_area, boxes))
    return [around] if small else boxes


def _area(box: Box) -> int:
    y, x = box
    return int((y.stop - y.start) * (x.stop - x.start))


def _twins(
    colormap: DirectLabelColormap, colours: Collection[str], without: Collection[int]
) -> dict[str, int]:
    """Return a label that has each of some colours, of those that have one."""
    found: dict[str, int] = {}
    for label, colour in colormap.color_dict.items():
        if len(found) == len(colours):
            break
        if label and label not in without and (text := as_hex(colour)) in colours:
            found.setdefault(text, label)
    return found


def layer_colours(layer: Labels, without: Collection[int] = ()) -> dict[str, str]:
    """Return the colour ``#rrggbbaa`` of each class that a layer coloured by class shows.

    Labels `without` do not count. Empty where the layer is coloured otherwise.
    """
    colormap, table = layer.colormap, layer.features
    found: dict[str, str] = {}
    if not isinstance(colormap, DirectLabelColormap) or "class" not in table:
        return found
    for label, name in zip(table["index"].tolist(), table["class"].tolist(), strict=True):
        if name not in found and label in colormap.color_dict and label not in without:
            colour = as_hex(colormap.color_dict[label])
            if colour != _GREY or name == UNSURE:  # grey says nothing of a class
                found[name] = colour
    return {UNKNOWN: NEW} | found


def _free_colour(name: str, taken: Collection[str]) -> str:
    """Return the colour of a class that no cell has had yet."""
    if name in (UNKNOWN, UNSURE):
        return NEW if name == UNKNOWN else _GREY
    choices = [as_hex(c) for c in ((COLOURS[name],) if name in COLOURS else OTHER_COLOURS)]
    return next((colour for colour in choices if colour not in taken), choices[0])


def _extend(colormap: DirectLabelColormap, label: int, twin: int) -> None:
    """Give a new label the colour of another one.

    With a new colormap napari would translate every pixel again; its cache is extended instead.
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


def as_hex(colour: Any) -> str:
    """Return a colour, in any form that Matplotlib takes, as ``#rrggbbaa``."""
    key = colour if isinstance(colour, str) else tuple(map(float, colour))
    return str(_hex(key, keep_alpha=True))


# Matplotlib takes 0.1 ms, and layers have thousands of labels in a few colours.
_hex = lru_cache(maxsize=4096)(to_hex)
NO_CELLS = {NONE, BACKGROUND, UNKNOWN}
"""Outputs of models, and words, that are no class of cells."""
NAMED, PREFIX = "classes", "p_"
"""Key in the metadata of classes that a person added; start of columns of probabilities."""


def layer_classes(layer: Labels) -> list[str]:
    """List the classes of a layer: outputs of its model, then classes added, then others found.

    Without a model they are the five types of mature white blood cells.
    """
    table = layer.features
    columns = [str(name) for name in table if str(name).startswith(PREFIX)]
    given = [name.removeprefix(PREFIX) for name in columns] or list(COLOURS)
    found = sorted(table["class"].dropna().unique()) if "class" in table else []
    added = layer.metadata.get(OURS, {}).get(NAMED, [])
    names = dict.fromkeys([*given, *added, *found])
    return [name for name in names if name not in NO_CELLS]


def add_class(layer: Labels, name: str) -> None:
    """Offer another class in `layer`; a ValueError says that it has no name or is there already."""
    name = name.strip()
    if not name:
        raise ValueError("the class has no name; type one")
    known = layer_classes(layer)
    if name in known:
        raise ValueError(f"there is a class {name} already")
    ours = dict(layer.metadata.get(OURS, {}))
    layer.metadata[OURS] = ours | {NAMED: [*known, name]}
