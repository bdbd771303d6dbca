"""Which plane and which cell a correction is meant for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer, Points

from napari_wbc_nca.io.pixels import as_array
from napari_wbc_nca.widgets.planes import Index, Source, current_index, on_plane, to_plane

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari import Viewer


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane of a Labels layer that the viewer shows.

    Attributes
    ----------
    layer
        The layer.
    index
        Position along its leading axes (time, Z).
    labels
        ``(Y, X)``; NumPy, or lazy where the layer is.
    """

    layer: Labels
    index: Index
    labels: Any


def labels_source(layer: Labels) -> Source:
    """The planes of a Labels layer: every axis before the last two leads to one."""
    return Source(layer, layer.data, tuple(layer.data.shape[:-2]), None)


def active_labels(viewer: Viewer) -> Labels:
    """The Labels layer that is selected, or the only one there is.

    Raises
    ------
    ValueError
        Where neither is there.
    """
    active = viewer.layers.selection.active
    if isinstance(active, Labels):
        return active
    found = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    if len(found) != 1:
        raise ValueError("select the Labels layer that you want to correct, in the list of layers")
    return found[0]


def shown_plane(viewer: Viewer, layer: Labels) -> Plane:
    """The plane of `layer` that can be corrected now.

    Raises
    ------
    ValueError
        Saying why the layer cannot be edited, and what to do.
    """
    reason = _obstacle(viewer, layer)
    if reason:
        raise ValueError(f"{layer.name} cannot be corrected: {reason}")
    index = current_index(labels_source(layer), viewer.dims.point)
    data = layer.data if isinstance(layer.data, np.ndarray) or not index else as_array(layer.data)
    return Plane(layer, index, data[index] if index else data)


def pointed_cell(viewer: Viewer, plane: Plane) -> int:
    """Label of the cell under the mouse; away from the picture, the selected label.

    Raises
    ------
    ValueError
        Where the mouse is over the background.
    """
    if not viewer.mouse_over_canvas:
        return int(plane.layer.selected_label)
    y, x = to_pixel(plane.layer, viewer.cursor.position)
    height, width = plane.labels.shape
    label = int(plane.labels[y, x]) if 0 <= y < height and 0 <= x < width else 0
    if label == 0:
        raise ValueError("there is no cell under the mouse; point at one and press the key again")
    return label


def to_pixel(layer: Layer, position: Any) -> tuple[int, int]:
    """Row and column of a position in the world."""
    inside = layer.world_to_data(tuple(position)[-layer.ndim :])
    y, x = (int(np.round(at)) for at in inside[-2:])
    return y, x


def seeds(viewer: Viewer, plane: Plane) -> npt.NDArray[np.float64]:
    """Points on `plane`, ``(N, 2)`` y and x in pixels, of the topmost visible Points layer.

    Raises
    ------
    ValueError
        Where there is none.
    """
    layers = [layer for layer in viewer.layers if isinstance(layer, Points) and layer.visible]
    if not layers:
        raise ValueError(
            "there are no points; add a Points layer, set a point in each part of the cell, "
            "select the labels again and repeat"
        )
    points = to_plane(labels_source(plane.layer), layers[-1], np.asarray(layers[-1].data, float))
    return points[on_plane(points, plane.index)][:, len(plane.index) :]


def _obstacle(viewer: Viewer, layer: Labels) -> str:
    """Why a layer cannot be edited, and the remedy; empty where it can."""
    shown = {axis - (viewer.dims.ndim - layer.ndim) for axis in viewer.dims.displayed}
    if layer.multiscale:
        return "it has several resolutions, which napari only shows; open the full one by itself"
    if type(layer.data).__module__.startswith("dask"):
        return (
            "it is a dask array, which is computed anew each time it is read; load it with "
            "layer.data = layer.data.compute(), or save it as zarr"
        )
    if not layer.editable:
        return "it is locked; unlock it in the list of layers"
    if not layer.visible:
        return "it is hidden; show it first"
    if viewer.dims.ndisplay != 2:
        return "the viewer shows 3D; switch to 2D at the bottom left"
    if shown != {layer.ndim - 2, layer.ndim - 1}:
        return "the viewer shows other axes than its rows and columns; set their order back"
    return ""
