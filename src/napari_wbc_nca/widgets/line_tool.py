"""A line that is drawn over the picture with the mouse, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from vispy.scene.visuals import Line

from napari_wbc_nca.widgets.correction_target import to_pixel

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari import Viewer
    from napari.layers import Labels

COLOUR = "#ff00ff"
WIDTH = 3
"""Of the line on the screen, in pixels."""

Pixels = list[tuple[int, int]]


class Stroke:
    """Waits for a line over a Labels layer, and hands it on; then the mouse is napari's again.

    Parameters
    ----------
    viewer, layer
        Where the line is drawn.
    done
        Called with the line's pixels, y and x.
    closed
        Called when the mouse is napari's again, whether a line was drawn or not.
    """

    def __init__(
        self,
        viewer: Viewer,
        layer: Labels,
        done: Callable[[Pixels], None],
        closed: Callable[[], None],
    ) -> None:
        self.viewer, self.layer = viewer, layer
        self._done, self._closed = done, closed
        self._mode = layer.mode
        layer.mode = "pan_zoom"
        layer.mouse_pan = False
        layer.cursor = "cross"
        layer.mouse_drag_callbacks.append(self._drag)
        layer.events.mode.connect(self._give_up)
        viewer.layers.selection.events.active.connect(self._give_up)

    def close(self) -> None:
        """Give the mouse back."""
        if self._drag not in self.layer.mouse_drag_callbacks:
            return
        self.layer.mouse_drag_callbacks.remove(self._drag)
        self.layer.events.mode.disconnect(self._give_up)
        self.viewer.layers.selection.events.active.disconnect(self._give_up)
        if self.layer.mode == "pan_zoom":
            self.layer.mouse_pan = True
            self.layer.cursor = "standard"
            self.layer.mode = self._mode
        self._closed()

    def _give_up(self, event: Any = None) -> None:
        self.close()

    def _drag(self, layer: Labels, event: Any) -> Iterator[None]:
        if event.button != 1:
            return
        shown, world = trail_of(self.viewer), [event.position]
        try:
            yield
            while event.type == "mouse_move":
                world.append(event.position)
                shown.draw(np.array(world)[:, list(event.dims_displayed)])
                yield
        finally:
            shown.hide()
            self.close()
        if len(world) > 1:  # a click alone cancels
            self._done([to_pixel(layer, position) for position in world])


class Trail:
    """The line while it is drawn; nothing that the list of layers shows.

    One a viewer, hidden between the lines: taking it out of the picture would free buffers that
    the drawing of other layers still refers to, and software OpenGL crashes on those.

    Parameters
    ----------
    viewer
        The line lies over its picture.
    """

    def __init__(self, viewer: Viewer) -> None:
        # napari has no public way to draw a line that is not a layer.
        scene = viewer.window._qt_viewer.canvas.view.scene
        self.line = Line(pos=np.zeros((2, 2)), parent=scene, color=COLOUR, width=WIDTH, method="gl")
        self.line.order = 10**6
        self.line.visible = False

    def draw(self, points: npt.NDArray[np.float64]) -> None:
        """Show the line through `points`, ``(N, 2)`` of the displayed axes in the world."""
        self.line.set_data(pos=points[:, ::-1].astype(np.float32))
        self.line.visible = True

    def hide(self) -> None:
        """Take the line out of sight."""
        self.line.visible = False


_TRAILS: WeakKeyDictionary[Viewer, Trail] = WeakKeyDictionary()


def trail_of(viewer: Viewer) -> Trail:
    """The line of a viewer."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _TRAILS:
        _TRAILS[viewer] = Trail(viewer)
    return _TRAILS[viewer]
