"""Lines over the picture: one that is drawn with the mouse, and the selected cell's outline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from napari.layers import Labels
from scipy import ndimage
from skimage.measure import find_contours
from vispy.scene.visuals import Line

from napari_wbc_nca.widgets.correction_operations import to_pixel
from napari_wbc_nca.widgets.planes import current_index, labels_source

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari import Viewer

STROKE, SELECTED = "#ff00ff", "#00e5ff"
"""Colours of the line that is drawn, and of the selected cell's outline."""
WIDTH = 3
"""Width of lines on the screen, in pixels."""
_MARGIN = 2
"""Pixels between a cell and the outline that marks it, so that the cell's outline stays visible."""

Pixels = list[tuple[int, int]]


class Stroke:
    """Wait for one line over a Labels layer that is drawn with the mouse.

    `done` is called with the line's pixels, y and x; `closed` when the waiting ends, whether a line
    was drawn or not. A click is a line of one pixel where `clicks`; else it cancels.
    """

    def __init__(
        self,
        viewer: Viewer,
        layer: Labels,
        done: Callable[[Pixels], None],
        closed: Callable[[], None],
        clicks: bool = False,
    ) -> None:
        self.viewer, self.layer, self._clicks = viewer, layer, clicks
        self._done, self._closed = done, closed
        self._mode = layer.mode
        layer.mode = "pan_zoom"
        layer.mouse_pan = False
        layer.cursor = "cross"
        layer.mouse_drag_callbacks.append(self._drag)
        layer.events.mode.connect(self.close)
        viewer.layers.selection.events.active.connect(self.close)

    def close(self, event: Any = None) -> None:
        """Stop waiting; the mouse works as before."""
        if self._drag not in self.layer.mouse_drag_callbacks:
            return
        self.layer.mouse_drag_callbacks.remove(self._drag)
        self.layer.events.mode.disconnect(self.close)
        self.viewer.layers.selection.events.active.disconnect(self.close)
        if self.layer.mode == "pan_zoom":
            self.layer.mouse_pan = True
            self.layer.cursor = "standard"
            self.layer.mode = self._mode
        self._closed()

    def _drag(self, layer: Labels, event: Any) -> Iterator[None]:
        if event.button != 1:
            return
        shown, world = line_of(self.viewer), [event.position]
        try:
            yield
            while event.type == "mouse_move":
                world.append(event.position)
                shown.draw(np.array(world)[:, list(event.dims_displayed)])
                yield
        finally:
            shown.hide()
            self.close()
        if len(world) > 1 or self._clicks:
            self._done([to_pixel(layer, position) for position in world])


class CanvasLine:
    """Line over the picture of a viewer, which is no layer.

    It is hidden rather than removed: taking it out of the picture would free buffers that the
    drawing of other layers still refers to, and software OpenGL crashes on those.
    """

    def __init__(self, viewer: Viewer, colour: str) -> None:
        # napari has no public way to draw a line that is not a layer.
        scene = viewer.window._qt_viewer.canvas.view.scene
        self.line = Line(pos=np.zeros((2, 2)), parent=scene, color=colour, width=WIDTH, method="gl")
        self.line.order = 10**6
        self.line.visible = False

    def draw(self, points: npt.NDArray[np.float64], ends: Sequence[int] = ()) -> None:
        """Show the line through `points` ``(N, 2)`` in the world, broken after those at `ends`."""
        joined = np.ones(len(points), bool)
        joined[[*ends, -1]] = False
        self.line.set_data(pos=points[:, ::-1].astype(np.float32), connect=joined)
        self.line.visible = True

    def hide(self) -> None:
        """Hide the line."""
        self.line.visible = False


_LINES: WeakKeyDictionary[Viewer, CanvasLine] = WeakKeyDictionary()
_OUTLINES: WeakKeyDictionary[Viewer, SelectionOutline] = WeakKeyDictionary()


def line_of(viewer: Viewer) -> CanvasLine:
    """Return the line that is drawn with the mouse in a viewer."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # plugins get proxies
    if viewer not in _LINES:
        _LINES[viewer] = CanvasLine(viewer, STROKE)
    return _LINES[viewer]


def outline_selection(viewer: Viewer) -> SelectionOutline:
    """Outline the selected cell of the active Labels layer of a viewer from now on."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _OUTLINES:
        _OUTLINES[viewer] = SelectionOutline(viewer)
    return _OUTLINES[viewer]


class SelectionOutline:
    """Outline of the selected cell of the active layer, whose features say where cells are."""

    EVENTS = ("selected_label", "features", "visible", "scale", "translate", "rotate")

    def __init__(self, viewer: Viewer) -> None:
        self._viewer: ref[Viewer] = ref(viewer)
        self._layer: Labels | None = None
        self.line = CanvasLine(viewer, SELECTED)
        viewer.layers.selection.events.active.connect(self._on_active)
        for name in ("current_step", "ndisplay", "order"):
            getattr(viewer.dims.events, name).connect(self.update)
        self._on_active()

    def update(self, event: Any = None) -> None:
        """Draw the outline where the cell is now, or none."""
        viewer = self._viewer()
        points, ends = _no_outline() if viewer is None else selected_outline(viewer, self._layer)
        if len(points):
            self.line.draw(points, ends)
        else:
            self.line.hide()

    def _on_active(self, event: Any = None) -> None:
        viewer = self._viewer()
        active = None if viewer is None else viewer.layers.selection.active
        for layer, connect in ((self._layer, False), (active, True)):
            if isinstance(layer, Labels):
                for name in self.EVENTS:
                    emitter = getattr(layer.events, name)
                    (emitter.connect if connect else emitter.disconnect)(self.update)
        self._layer = active if isinstance(active, Labels) else None
        self.update()


Outline = tuple["npt.NDArray[np.float64]", list[int]]


def selected_outline(viewer: Viewer, layer: Labels | None) -> Outline:
    """Return the outline of a layer's selected cell on the plane that the viewer shows.

    Points ``(N, 2)`` are y and x in the world, none where the cell is not to be seen; then comes
    the number of the last point of each closed line.
    """
    if layer is None or not layer.visible or "box_y0" not in layer.features or layer.multiscale:
        return _no_outline()
    if viewer.dims.ndisplay != 2 or viewer.dims.displayed[-1] != viewer.dims.ndim - 1:
        return _no_outline()
    (found,) = np.nonzero(layer.features["index"].to_numpy() == layer.selected_label)
    if not found.size:
        return _no_outline()
    boxes = (layer.features[f"box_{side}"].array for side in ("y0", "x0", "y1", "x1"))
    y0, x0, y1, x1 = (int(side[found[0]]) for side in boxes)
    index = current_index(labels_source(layer), viewer.dims.point)
    mask = np.asarray(layer.data[(*index, slice(y0, y1), slice(x0, x1))]) == layer.selected_label
    wide = ndimage.binary_dilation(np.pad(mask, _MARGIN + 1), iterations=_MARGIN)
    lines = find_contours(wide, 0.5)
    if not lines:  # the cell lies on another plane
        return _no_outline()
    corner = np.array([y0, x0]) - _MARGIN - 1
    pixels = np.concatenate(lines) + corner
    origin, down, right = (
        np.asarray(layer.data_to_world((*index, *at)), float)[-2:]
        for at in ((0, 0), (1, 0), (0, 1))
    )
    world = origin + pixels @ np.stack([down - origin, right - origin])
    return world, (np.cumsum([len(line) for line in lines]) - 1).tolist()


def _no_outline() -> Outline:
    return np.zeros((0, 2)), []
