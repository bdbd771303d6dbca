"""Canvas of the review: clicks select cells, and say which cell is segmented next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from qtpy.compat import isalive

from napari_wbc_nca.widgets.canvas_lines import Pixels, Stroke
from napari_wbc_nca.widgets.correction_operations import shown_plane, to_pixel
from napari_wbc_nca.widgets.planes import (
    OURS,
    ImagePlanes,
    Index,
    content_of,
    current_index,
    labels_source,
    source_of,
)
from napari_wbc_nca.widgets.review import prompts
from napari_wbc_nca.widgets.review.crops import image_index
from napari_wbc_nca.widgets.review.model import ReviewModel, plane_of
from napari_wbc_nca.widgets.worker import Job, report

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Image, Labels
    from qtpy.QtWidgets import QWidget

ZOOM = 3.0
"""Side of the view over that of a cell's box, after a double click."""
_STILL = 4
"""Screen pixels within which a press and a release are a click."""


class ReviewCanvas:
    """Selects cells by clicks on the canvas, zooms to them, and segments those pointed at.

    Parameters
    ----------
    viewer
        Whose canvas it is.
    dock
        Widget that the clicks are meant for while it is visible.
    say
        Function that shows a message; an empty one hides it.
    """

    def __init__(self, viewer: Viewer, dock: QWidget, say: Callable[[str], None]) -> None:
        self.viewer = viewer
        self.model: ReviewModel | None = None
        self._dock, self._say = dock, say
        self._stroke: Stroke | None = None
        self._job: Job | None = None
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.mouse_double_click_callbacks.append(self._on_double_click)

    def close(self) -> None:
        """Disconnect from the canvas, and stop what goes on."""
        for callbacks, own in (
            (self.viewer.mouse_drag_callbacks, self._on_press),
            (self.viewer.mouse_double_click_callbacks, self._on_double_click),
        ):
            if own in callbacks:
                callbacks.remove(own)
        self.stop_waiting()
        if self._job is not None:
            self._job.cancel()
        self.model = None

    def zoom_to(self, label: int) -> None:
        """Show a cell in the middle of the viewer, at three times its box."""
        if self.model is None:
            return
        layer, cell = self.model.layer, self.model.cell(label)
        index = plane_of(layer, cell)
        y, x = ((cell[f"box_{axis}0"] + cell[f"box_{axis}1"]) / 2 for axis in "yx")
        side = max(cell["box_y1"] - cell["box_y0"], cell["box_x1"] - cell["box_x0"])
        middle = np.asarray(layer.data_to_world([*index, y, x]))
        far = np.asarray(layer.data_to_world([*index, y + side * ZOOM, x + side * ZOOM]))
        first = self.viewer.dims.ndim - layer.ndim
        for axis in range(len(index)):
            self.viewer.dims.set_point(first + axis, middle[axis])
        # The camera and the size of the canvas moved with napari 0.9.
        camera = getattr(self.viewer, "scene", self.viewer).camera
        camera.center = tuple(middle[-2:])
        wide = float(np.abs(far - middle)[-2:].max())
        camera.zoom = min(canvas_size(self.viewer)) / max(wide, 1e-6)

    def wait(self, text: str, *, redraw: bool) -> None:
        """Wait for a click or a line on the canvas; a second call cancels."""
        if self.stop_waiting() or self.model is None:
            return
        layer = self.model.layer
        try:
            prompts.model_of(layer)
            shown_plane(self.viewer, layer)
        except ValueError as error:
            report(error)
            return
        self.viewer.layers.selection.active = layer
        self._stroke = Stroke(
            self.viewer,
            layer,
            lambda line: self._find(line, redraw=redraw),
            self._on_waited,
            clicks=True,
        )
        self._say(f"{text}; the key again, or Esc, cancels.")

    def add_at(self, place: int) -> None:
        """Segment the cell at a place where it was likely missed."""
        if self.model is None:
            return
        row = self.model.cell(place)
        line = [(round(row["y"]), round(row["x"]))]
        self._find(line, plane_of(self.model.layer, row), place=place)

    def stop_waiting(self) -> bool:
        """Stop waiting for a click; False where nobody waited."""
        stroke, self._stroke = self._stroke, None
        if stroke is not None:
            stroke.close()
        return stroke is not None

    def _label_at(self, position: Sequence[float]) -> int:
        """Label of the reviewed layer at a position in the world; 0 where there is none."""
        if self.model is None or self.viewer.dims.ndisplay != 2:
            return 0
        layer = self.model.layer
        y, x = to_pixel(layer, position)
        height, width = layer.data.shape[-2:]
        if not (0 <= y < height and 0 <= x < width):
            return 0
        index = current_index(labels_source(layer), self.viewer.dims.point)
        label = int(np.asarray(layer.data[(*index, y, x)]))
        return label if label in self.model.table.index else 0

    def _listens(self) -> bool:
        """Return whether a click on the canvas is meant for the review: no tool is in use."""
        active = self.viewer.layers.selection.active
        mode = str(getattr(active, "mode", "pan_zoom"))
        return self._stroke is None and self._dock.isVisible() and mode in ("pan_zoom", "pick")

    def _on_press(self, viewer: Viewer, event: Any) -> Iterator[None]:
        """Select the cell that is clicked; with Shift or Ctrl, several."""
        if event.button != 1 or self.model is None or not self._listens():
            return
        start, last = np.asarray(event.pos), np.asarray(event.pos)
        position = tuple(event.position)
        yield
        while event.type == "mouse_move":
            last = np.asarray(event.pos)
            yield
        label = self._label_at(position)
        if not label or self.model is None or np.abs(last - start).max() > _STILL:
            return
        several = {"Shift", "Control"} & {str(key) for key in event.modifiers}
        before = [n for n in self.model.selection if n != label] if several else []
        self.model.select([label, *before])

    def _on_double_click(self, viewer: Viewer, event: Any) -> None:
        """Zoom to the cell that is double-clicked."""
        if self._listens() and (label := self._label_at(event.position)):
            self.zoom_to(label)

    def _on_waited(self) -> None:
        self._stroke = None
        if isalive(self._dock):
            self._say("")

    def _find(
        self, line: Pixels, index: Index | None = None, *, redraw: bool = False, place: int = 0
    ) -> None:
        """Segment the cell that was pointed at, in a thread; on the plane shown, or at `index`."""
        if self.model is None or (self._job is not None and self._job.running):
            return
        layer = self.model.layer
        image = image_under(layer, self.viewer)
        if image is None:
            self._say("The image of these cells is not open; open it first.")
            return
        at = current_index(labels_source(layer), self.viewer.dims.point) if index is None else index
        prompt = prompts.Prompt(np.array(line, float))
        old = prompt.label(layer.data[at]) if redraw else 0
        try:
            model = prompts.model_of(layer)
        except ValueError as error:
            report(error)
            return
        steps = prompts.find(image, image_index(layer, at), prompt, model)
        self._job = job = Job(steps, self._dock)
        job.returned.connect(lambda found: self._on_found(layer, at, found, old, place))
        job.failed.connect(self._on_failed)
        self._say("Segmenting the cell…")
        job.start()

    def _on_found(self, layer: Labels, index: Index, found: Any, old: int, place: int) -> None:
        if not isalive(self._dock) or layer not in self.viewer.layers:
            return
        if found is None:
            self._say("The model sees no cell there; draw it with the brush.")
            return
        stamp = {} if self.model is None else self.model.stamp()
        try:
            label = prompts.write_cell(layer, index, found, stamp, old, place)
        except ValueError as error:
            self._on_failed(error)
            return
        if (nuclei := self._nuclei_of(layer)) is not None:
            prompts.write_nucleus(layer, nuclei, index, found, label)
        self._say(f"{'Redrew' if old else 'Added'} cell {label}.")
        if self.model is not None and self.model.layer is layer:
            self.model.refresh()
            self.model.select([label])

    def _nuclei_of(self, layer: Labels) -> Labels | None:
        """Find the layer of nuclei of the run that made a layer of cells."""
        run = layer.metadata.get(OURS, {}).get("run")
        for other in self.viewer.layers if run else ():
            same = other.metadata.get(OURS, {}).get("run") == run
            if same and content_of(other) == "nucleus" and other.data.shape == layer.data.shape:
                return cast("Labels", other)
        return None

    def _on_failed(self, error: Exception) -> None:
        self._say("")
        report(error)


def canvas_size(viewer: Viewer) -> tuple[int, int]:
    """Return the height and width of the canvas in screen pixels."""
    canvas = getattr(viewer, "canvas", None)
    height, width = viewer._canvas_size if canvas is None else canvas.size
    return int(height), int(width)


def image_under(layer: Labels, viewer: Viewer) -> ImagePlanes | None:
    """Find the image that a layer of cells was made from; None where it is gone or unknown."""
    from napari_wbc_nca.formats.items import ExportError
    from napari_wbc_nca.widgets.export_items import image_of

    try:
        image: Image | None = image_of(layer, viewer.layers)
    except ExportError:
        return None
    return None if image is None else source_of(image)
