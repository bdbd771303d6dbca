"""Operations that correct cells: their names and keys, and what they do to a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer, Points

from napari_wbc_nca.io.pixels import as_array
from napari_wbc_nca.ops import edit
from napari_wbc_nca.ops.split import labels_along, labels_at, split_by_line, split_by_seeds
from napari_wbc_nca.widgets.features_sync import Follower, follow
from napari_wbc_nca.widgets.missed_places import MISSED
from napari_wbc_nca.widgets.planes import (
    Index,
    content_of,
    current_index,
    labels_source,
    on_plane,
    to_plane,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari import Viewer

    from napari_wbc_nca.ops.edit import Edit


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane of a Labels layer that the viewer shows: its index, and labels ``(Y, X)``."""

    layer: Labels
    index: Index
    labels: Any


def active_labels(viewer: Viewer) -> Labels:
    """Return the Labels layer that is selected, or the only one; a ValueError where neither is."""
    active = viewer.layers.selection.active
    if isinstance(active, Labels):
        return active
    found = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    if len(found) != 1:
        raise ValueError("select the Labels layer that you want to correct, in the list of layers")
    return found[0]


def shown_plane(viewer: Viewer, layer: Labels) -> Plane:
    """Return the plane of `layer` that is shown; a ValueError says why it cannot be corrected."""
    reason = _obstacle(viewer, layer)
    if reason:
        raise ValueError(f"{layer.name} cannot be corrected: {reason}")
    index = current_index(labels_source(layer), viewer.dims.point)
    data = layer.data if isinstance(layer.data, np.ndarray) or not index else as_array(layer.data)
    return Plane(layer, index, data[index] if index else data)


def pointed_cell(viewer: Viewer, plane: Plane) -> int:
    """Return the label of the cell under the mouse; away from the picture, the selected label."""
    if not viewer.mouse_over_canvas:
        return int(plane.layer.selected_label)
    y, x = to_pixel(plane.layer, viewer.cursor.position)
    height, width = plane.labels.shape
    label = int(plane.labels[y, x]) if 0 <= y < height and 0 <= x < width else 0
    if label == 0:
        raise ValueError("there is no cell under the mouse; point at one and press the key again")
    return label


def to_pixel(layer: Layer, position: Any) -> tuple[int, int]:
    """Convert a position in the world to row and column."""
    inside = layer.world_to_data(tuple(position)[-layer.ndim :])[-2:]
    y, x = (int(np.round(at)) for at in inside)
    return y, x


def seeds(viewer: Viewer, plane: Plane) -> npt.NDArray[np.float64]:
    """Return the topmost visible points on `plane`: ``(N, 2)`` y, x in pixels."""
    layers = [
        layer
        for layer in viewer.layers
        if isinstance(layer, Points) and layer.visible and content_of(layer) != MISSED
    ]
    if not layers:
        raise ValueError(
            "there are no points; add a Points layer, set a point in each part of the cell, "
            "select the labels again and repeat"
        )
    points = to_plane(labels_source(plane.layer), layers[-1], np.asarray(layers[-1].data, float))
    return points[on_plane(points, plane.index)][:, len(plane.index) :]


def _obstacle(viewer: Viewer, layer: Labels) -> str:
    """Say why a layer cannot be edited, and the remedy; empty where it can."""
    shown = {axis - (viewer.dims.ndim - layer.ndim) for axis in viewer.dims.displayed}
    if layer.multiscale:
        return "it has several resolutions, which napari only shows; open the full one by itself"
    if type(layer.data).__module__.startswith("dask"):
        return "it is a dask array; load it with layer.data = layer.data.compute(), or save as zarr"
    if not layer.editable:
        return "it is locked; unlock it in the list of layers"
    if not layer.visible:
        return "it is hidden; show it first"
    if viewer.dims.ndisplay != 2:
        return "the viewer shows 3D; switch to 2D at the bottom left"
    if shown != {layer.ndim - 2, layer.ndim - 1}:
        return "the viewer shows other axes than its rows and columns; set their order back"
    return ""


CELL, LINE, POINTS, LAYER = "cell", "line", "points", "layer"
"""What an operation needs: the cell under the mouse, a line, points, or nothing."""


@dataclass(frozen=True)
class Operation:
    """One kind of correction: `name` is that of its command and of its action in napari."""

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
    Operation("relabel", "Renumber", "Alt-Shift-R", LAYER, "Number all cells 1, 2, 3 and so on"),
)
OPERATIONS: Mapping[str, Operation] = MappingProxyType({item.name: item for item in _LIST})
CLASS_KEYS = tuple(f"Alt-{number}" for number in range(1, 10))
"""Keys that give a cell the first, second, ... class of its layer."""
HIDE_KEY = "H"
"""Key that hides the labels while it is held."""

_OF_CELL: Mapping[str, Callable[..., Edit]] = {
    "delete": edit.delete,
    "fill_holes": edit.fill_holes,
    "smooth": edit.smooth,
    "grow": edit.dilate,
    "shrink": edit.erode,
    "keep_largest": edit.keep_largest,
}


def correct(viewer: Viewer, layer: Labels, name: str) -> str:
    """Do an operation that needs no line; return what was done; a ValueError says why not."""
    plane, follower = shown_plane(viewer, layer), follow(layer)
    if name == "relabel":
        follower.write(edit.relabel(layer.data), (), name)
        return f"renumbered {len(layer.features)} cells"
    if name == "split":
        points = seeds(viewer, plane)
        return _split(plane, follower, split_by_seeds, points, labels_at(plane.labels, points))
    label = pointed_cell(viewer, plane)
    boxes = follower.boxes([label]) if label else {}
    follower.write(_OF_CELL[name](plane.labels, label, boxes=boxes), plane.index, name)
    return f"{OPERATIONS[name].title.lower()}: cell {label}"


def correct_by_line(viewer: Viewer, layer: Labels, name: str, line: npt.ArrayLike) -> str:
    """Do an operation along a line of pixels; returns and raises as :func:`correct`."""
    plane, follower = shown_plane(viewer, layer), follow(layer)
    labels = labels_along(plane.labels, line)
    if name == "cut":
        return _split(plane, follower, split_by_line, line, labels)
    follower.write(edit.merge(plane.labels, labels, follower.boxes(labels)), plane.index, name)
    return f"merged {len(labels)} cells into cell {labels[0]}"


def classify(viewer: Viewer, layer: Labels, name: str) -> str:
    """Give the cell under the mouse a class; returns and raises as :func:`correct`."""
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
    follower.write(done, plane.index, "split")
    return f"split into {len(done.parents) + len(set(done.parents.values()))} cells"
