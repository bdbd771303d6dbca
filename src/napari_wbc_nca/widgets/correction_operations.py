"""What can be corrected: each operation with its name, key and what it does to a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_wbc_nca.ops import edit
from napari_wbc_nca.ops.split import labels_along, labels_at, split_by_line, split_by_seeds
from napari_wbc_nca.widgets.correction_target import Plane, pointed_cell, seeds, shown_plane
from napari_wbc_nca.widgets.features_sync import Follower, follow

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari import Viewer
    from napari.layers import Labels

    from napari_wbc_nca.ops.edit import Edit

CELL, LINE, POINTS, LAYER = "cell", "line", "points", "layer"
"""What an operation is told by: the cell pointed at, a drawn line, points, or nothing."""


@dataclass(frozen=True)
class Operation:
    """One kind of correction.

    Attributes
    ----------
    name
        Of the command and of the action in napari's preferences.
    title
        Text of the button and of the menu entry.
    key
        Key that starts it.
    needs
        What it is told by.
    tip
        What it does.
    """

    name: str
    title: str
    key: str
    needs: str
    tip: str


_LIST = (
    Operation("merge", "Merge", "Alt-M", LINE, "Draw a line over cells: they become one"),
    Operation("cut", "Split by a line", "Alt-C", LINE, "Draw a line across a cell to cut it"),
    Operation(
        "split",
        "Split by points",
        "Alt-Shift-C",
        POINTS,
        "Divide cells between the points of the topmost Points layer",
    ),
    Operation("delete", "Delete", "Alt-D", CELL, "Remove the cell"),
    Operation("fill_holes", "Fill holes", "Alt-O", CELL, "Fill the holes in the cell"),
    Operation("smooth", "Smooth", "Alt-S", CELL, "Round the cell's outline"),
    Operation("grow", "Grow", "Alt-G", CELL, "Make the cell one pixel wider all around"),
    Operation("shrink", "Shrink", "Alt-Shift-G", CELL, "Make the cell one pixel narrower"),
    Operation(
        "keep_largest", "Keep largest piece", "Alt-K", CELL, "Remove the cell's other pieces"
    ),
    Operation("relabel", "Renumber", "Alt-N", LAYER, "Number all cells 1, 2, 3 and so on"),
)
OPERATIONS: Mapping[str, Operation] = MappingProxyType({item.name: item for item in _LIST})
CLASS_KEYS = tuple(f"Alt-{number}" for number in range(1, 10))
"""Keys that give a cell the first, second, ... class of its layer."""
HIDE_KEY = "H"
"""Key that hides the labels while it is held."""

_OF_CELL: Mapping[str, Callable[..., Edit]] = MappingProxyType(
    {
        "delete": edit.delete,
        "fill_holes": edit.fill_holes,
        "smooth": edit.smooth,
        "grow": edit.dilate,
        "shrink": edit.erode,
        "keep_largest": edit.keep_largest,
    }
)


def correct(viewer: Viewer, layer: Labels, name: str) -> str:
    """Do an operation that needs no line; return what was done, in words.

    Raises
    ------
    ValueError
        Saying why nothing was done, and what to do.
    """
    plane, follower = shown_plane(viewer, layer), follow(layer)
    if name == "relabel":
        follower.write(edit.relabel(layer.data), ())
        return f"renumbered {len(layer.features)} cells"
    if name == "split":
        points = seeds(viewer, plane)
        return _split(plane, follower, split_by_seeds, points, labels_at(plane.labels, points))
    label = pointed_cell(viewer, plane)
    boxes = follower.boxes([label]) if label else {}
    follower.write(_OF_CELL[name](plane.labels, label, boxes=boxes), plane.index)
    return f"{OPERATIONS[name].title.lower()}: cell {label}"


def correct_by_line(viewer: Viewer, layer: Labels, name: str, line: npt.ArrayLike) -> str:
    """Do an operation along a line of pixels; returns and raises as :func:`correct`."""
    plane, follower = shown_plane(viewer, layer), follow(layer)
    labels = labels_along(plane.labels, line)
    if name == "cut":
        return _split(plane, follower, split_by_line, line, labels)
    follower.write(edit.merge(plane.labels, labels, follower.boxes(labels)), plane.index)
    return f"merged {len(labels)} cells into cell {labels[0]}"


def classify(viewer: Viewer, layer: Labels, name: str) -> str:
    """Give the cell pointed at a class; returns and raises as :func:`correct`."""
    plane, follower = shown_plane(viewer, layer), follow(layer)
    label = pointed_cell(viewer, plane)
    if not follower.boxes([label]):
        raise ValueError(f"there is no cell {label} here; point at a cell, or select one")
    follower.classify(label, name)
    return f"cell {label}: {name}"


def _split(
    plane: Plane,
    follower: Follower,
    split: Callable[..., Edit],
    where: npt.ArrayLike,
    cells: list[int],
) -> str:
    """Split along a line or at points, both given by their pixels; `cells` lie under them."""
    done = split(plane.labels, where, follower.fresh_label, follower.boxes(cells))
    follower.write(done, plane.index)
    return f"split into {len(done.parents) + len(set(done.parents.values()))} cells"
