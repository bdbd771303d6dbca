"""Review dock: the doubtful cells first, a differential that follows, and no correction lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.compat import isalive
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import (
    QDockWidget,
    QLineEdit,
    QMainWindow,
    QPushButton,
    QTabWidget,
    QWidget,
)

from napari_wbc_nca.widgets.base import ViewerWidget
from napari_wbc_nca.widgets.canvas_lines import Pixels, Stroke, outline_selection
from napari_wbc_nca.widgets.correction_operations import shown_plane, to_pixel
from napari_wbc_nca.widgets.layer_boxes import LayerBox
from napari_wbc_nca.widgets.layout import add_row, form_layout, row, text_label
from napari_wbc_nca.widgets.planes import (
    ImagePlanes,
    content_of,
    current_index,
    labels_source,
    source_of,
)
from napari_wbc_nca.widgets.review import prompts
from napari_wbc_nca.widgets.review.card import CellCard
from napari_wbc_nca.widgets.review.crops import CropSource, image_index
from napari_wbc_nca.widgets.review.differential_table import DifferentialTable
from napari_wbc_nca.widgets.review.gallery import BY_DOUBT, GROUPED, Gallery
from napari_wbc_nca.widgets.review.keys import (
    DOCKS,
    PLAIN,
    bind_review_keys,
    cheat_sheet,
    plain_text,
)
from napari_wbc_nca.widgets.review.model import ReviewModel, calibration_of, plane_of, rate
from napari_wbc_nca.widgets.review.plots import DIFFERENTIAL, CellsPlot
from napari_wbc_nca.widgets.review.restore import RestoreButton
from napari_wbc_nca.widgets.review.table import CellsTable
from napari_wbc_nca.widgets.segment import SegmentWidget
from napari_wbc_nca.widgets.worker import Job, report

if TYPE_CHECKING:
    import pandas as pd
    from napari import Viewer
    from napari.layers import Image, Layer
    from qtpy.QtGui import QKeyEvent

ZOOM = 3.0
"""Side of the view over that of a cell's box, after a double click."""
_STILL = 4
"""Screen pixels within which a press and a release are a click."""


class ReviewWidget(ViewerWidget):
    """Reviews the cells of one Labels layer.

    Parameters
    ----------
    napari_viewer
        Viewer whose cells are reviewed.

    Attributes
    ----------
    model
        Cells under review; None where there is no layer.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.viewer: Viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.model: ReviewModel | None = None
        self._stroke: Stroke | None = None
        self._job: Job | None = None
        self._rated: dict[Labels, tuple[pd.DataFrame, pd.DataFrame]] = {}
        self._make_parts()
        self._lay_out()
        self._connect()
        bind_review_keys()
        outline_selection(self.viewer)
        DOCKS[self.viewer] = self
        self.viewer.mouse_drag_callbacks.append(self._on_canvas)
        self.viewer.mouse_double_click_callbacks.append(self._on_double_click)
        self._offer(self.viewer.layers.selection.active)
        self._on_layer()
        QTimer.singleShot(0, self._join_tabs)

    def on_layers(self) -> None:
        """Offer the layers of cells."""
        self._offer(None)
        self.differential.update_counts()

    def on_active(self, layer: Layer) -> None:
        """Review the layer that was selected in the viewer."""
        self._offer(getattr(layer, "__wrapped__", layer))

    def next_doubtful(self) -> None:
        """Select the next doubtful cell, and show it."""
        self._go(1)

    def previous_doubtful(self) -> None:
        """Select the previous doubtful cell, and show it."""
        self._go(-1)

    def confirm(self) -> None:
        """Confirm the selected cells and go to the next doubtful one."""
        self._decide(lambda model: model.accept(model.selection))

    def unsure(self) -> None:
        """Mark the type of the selected cells as unsure, and go on."""
        self._decide(lambda model: model.mark_unsure(model.selection))

    def reject(self) -> None:
        """Leave the selected cells out of the count, and go on."""
        self._decide(lambda model: model.reject(model.selection))

    def classify(self, number: int) -> None:
        """Give the selected cells the class of a number from 1, and go on."""
        if self.model is not None and number <= len(self.model.classes):
            name = self.model.classes[number - 1]
            self._decide(lambda model: model.classify(model.selection, name))

    def delete(self) -> None:
        """Delete the selected cells, and go on."""
        self._decide(lambda model: model.delete(model.selection))

    def add_cell(self) -> None:
        """Wait for a click, and add the cell there by the model that made the layer."""
        self._wait("Click a cell to add it, or draw around it", redraw=False)

    def redraw(self) -> None:
        """Wait for a click or a line around a cell, and segment that cell again."""
        self._wait("Click the cell to redraw, or draw around it", redraw=True)

    def show_keys(self) -> None:
        """Show or hide the list of keys."""
        self.keys.setText(cheat_sheet([] if self.model is None else self.model.classes))
        self.keys.setVisible(not self.keys.isVisible())
        if self.keys.isVisible():
            QTimer.singleShot(0, self._scroll_to_keys)

    def _scroll_to_keys(self) -> None:
        if isalive(self):
            self.ensureWidgetVisible(self.keys)

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

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take the plain keys while the dock, or a part that does not need them, has the focus."""
        if not self._on_key(event):
            super().keyPressEvent(event)

    def on_close(self) -> None:
        """Disconnect from the layer and from the canvas."""
        if DOCKS.get(self.viewer) is self:
            del DOCKS[self.viewer]
        for callbacks, own in (
            (self.viewer.mouse_drag_callbacks, self._on_canvas),
            (self.viewer.mouse_double_click_callbacks, self._on_double_click),
        ):
            if own in callbacks:
                callbacks.remove(own)
        self._stop_waiting()
        if self._job is not None:
            self._job.cancel()
        if self.model is not None:
            self.model.close()
            self.model = None

    def _make_parts(self) -> None:
        self.layer = LayerBox(Labels, "Layer of cells to review")
        self.reviewer = QLineEdit(placeholderText="name, written beside each decision")
        self.differential = DifferentialTable()
        self.differential.others = self._all_tables
        self.order = QPushButton("Sort by doubt")
        self.order.setToolTip("The most doubtful cells first, instead of groups by type")
        self.order.setCheckable(True)
        self.all = QPushButton("Show all types")
        self.all.setToolTip("Remove the filter that a click on a type has set")
        self.all.setEnabled(False)
        self.gallery, self.table, self.plot = Gallery(), CellsTable(), CellsPlot()
        self.tabs = QTabWidget()
        for part, title in ((self.gallery, "Gallery"), (self.table, "Table"), (self.plot, "Plot")):
            self.tabs.addTab(part, title)
        self.tabs.setMinimumHeight(230)
        self.card = CellCard()
        self.status = text_label()
        self.status.hide()
        self.keys = text_label()
        self.keys.hide()
        self.buttons = [
            self._button("Next (N)", "Go to the next doubtful cell", self.next_doubtful),
            self._button("Confirm (Space)", "The type is right; go on", self.confirm),
            self._button("Unsure (U)", "The type cannot be decided; go on", self.unsure),
            self._button("Delete (D)", "Delete the selected cells; go on", self.delete),
            self._button("Add (A)", "Add the cell that you click next", self.add_cell),
            self._button("Redraw (R)", "Segment a cell again: click or draw around", self.redraw),
            self._button("Keys (?)", "List all keys", self.show_keys),
        ]

    def _lay_out(self) -> None:
        top = QWidget()
        form = form_layout(top)
        self.reviewer.setToolTip("Name that is written beside each decision")
        add_row(form, "Cells", self.layer)
        add_row(form, "Reviewer", self.reviewer)
        for button in (self.differential.copy, self.order, self.all, *self.buttons):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keys to the gallery
        self.add(RestoreButton(self.viewer), top, self.differential)
        self.add(row(self.order, self.all), self.tabs)
        self.add(row(*self.buttons[:3]), row(*self.buttons[3:]), self.status, self.card, self.keys)
        self.rows.setStretchFactor(self.tabs, 1)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def _connect(self) -> None:
        self.layer.currentIndexChanged.connect(self._on_layer)
        self.reviewer.editingFinished.connect(self._on_reviewer)
        self.differential.type_chosen.connect(self._on_type)
        self.differential.plot.clicked.connect(self._plot_differential)
        self.order.toggled.connect(lambda on: self.gallery.set_order(BY_DOUBT if on else GROUPED))
        self.all.clicked.connect(lambda: self._on_type(""))
        self.gallery.opened.connect(self.zoom_to)
        self.table.opened.connect(self.zoom_to)

    def _button(self, text: str, tip: str, deed: Callable[[], Any]) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.clicked.connect(lambda: deed())
        return button

    def _offer(self, chosen: Layer | None) -> None:
        cells = [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Labels) and content_of(layer) == "cell"
        ]
        self.layer.offer(cells, chosen)

    def _join_tabs(self) -> None:
        """Share the place of an open Segment dock."""
        if not isalive(self):
            return
        own = _dock_of(self)
        window = None if own is None else own.parent()
        if own is None or not isinstance(window, QMainWindow):
            return
        for widget in window.findChildren(SegmentWidget):
            other = _dock_of(widget)
            if other is not None and other is not own and not other.isFloating():
                window.tabifyDockWidget(other, own)
                own.raise_()

    def _on_key(self, event: QKeyEvent) -> bool:
        text = plain_text(event)
        if event.key() == Qt.Key.Key_Escape and self._stroke is not None:
            self._stop_waiting()
        elif text in PLAIN:
            getattr(self, PLAIN[text])()
        elif text.isdigit() and text != "0":
            self.classify(int(text))
        else:
            return False
        return True

    def _go(self, step: int) -> None:
        label = self.model.next_doubtful(step) if self.model is not None else None
        if label is None:
            self._say("No doubtful cell is left to review.")
            return
        assert self.model is not None
        self.model.select([label])
        self.zoom_to(label)

    def _decide(self, decide: Callable[[ReviewModel], None]) -> None:
        if self.model is None or not self.model.selection:
            self._say("Select a cell first: click it, or press N.")
            return
        self._say("")
        following = self.model.next_doubtful(1)
        try:
            decide(self.model)
        except ValueError as error:
            report(error)
            return
        if following is not None and following in self.model.queue():
            self.model.select([following])
            self.zoom_to(following)
        else:
            self._go(1)

    def _say(self, text: str) -> None:
        """Show a message in the dock and in the viewer's status bar; none where empty."""
        self.status.setText(text)
        self.status.setVisible(bool(text))
        if text:
            self.viewer.status = text

    def _on_layer(self, index: int = -1) -> None:
        layer = getattr(self.layer.layer, "__wrapped__", self.layer.layer)
        if self.model is not None:
            if self.model.layer is layer:
                return
            self.model.close()
        self.model = crops = None
        if isinstance(layer, Labels):
            temperature, params = calibration_of(layer)
            try:
                self.model = ReviewModel(layer, temperature, params, parent=self)
            except ValueError as error:  # such as labels on disk that have no table
                report(error)
        if self.model is not None and isinstance(layer, Labels):
            self.model.reviewer = self.reviewer.text().strip()
            crops = crops_of(layer, self.viewer, self.model.table)
            if crops is not None:
                self.model.changed.connect(crops.forget_outlines)
        for part in (self.differential, self.table, self.plot):
            part.show_cells(self.model)
        self.gallery.show_cells(self.model, crops)
        self.card.show_cells(self.model, crops)

    def _on_reviewer(self) -> None:
        if self.model is not None:
            self.model.reviewer = self.reviewer.text().strip()

    def _on_type(self, name: str) -> None:
        self.gallery.filter_class(name)
        self.table.filter.setText(f"group = {name}" if name else "")
        self.all.setEnabled(bool(name))

    def _plot_differential(self) -> None:
        self.tabs.setCurrentWidget(self.plot)
        self.plot.vertical.setCurrentText(DIFFERENTIAL)

    def _all_tables(self) -> Mapping[str, pd.DataFrame]:
        """Rated tables of the cells of all open images, one layer an image, by image."""
        found: dict[str, pd.DataFrame] = {}
        current = None if self.model is None else self.model.layer
        cells = [x for x in self.viewer.layers if isinstance(x, Labels) and content_of(x) == "cell"]
        # The reviewed layer first, then those that are seen: an image counts once.
        for layer in sorted(cells, key=lambda x: (x is not current, not x.visible)):
            image = image_under(layer, self.viewer)
            name = layer.name if image is None else image.layer.name
            if name not in found and "class" in layer.features:
                found[name] = self._table_of(layer)
        return found

    def _table_of(self, layer: Labels) -> pd.DataFrame:
        if self.model is not None and self.model.layer is layer:
            return self.model.table
        features: pd.DataFrame = layer.features
        known = self._rated.get(layer)
        if known is None or known[0] is not features:
            if not {"index", "area_px"} <= set(features):
                return features.head(0).assign(group="")
            temperature, params = calibration_of(layer)
            table = rate(features, layer.data.shape[-2:], params, temperature)
            known = self._rated[layer] = (features, table)
        return known[1]

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
        """Whether a click on the canvas is meant for the review: no tool is in use."""
        active = self.viewer.layers.selection.active
        mode = str(getattr(active, "mode", "pan_zoom"))
        return self._stroke is None and self.isVisible() and mode in ("pan_zoom", "pick")

    def _on_canvas(self, viewer: Viewer, event: Any) -> Iterator[None]:
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

    def _wait(self, text: str, *, redraw: bool) -> None:
        """Wait for a click or a line on the canvas; a second call cancels."""
        if self._stop_waiting() or self.model is None:
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

    def _stop_waiting(self) -> bool:
        stroke, self._stroke = self._stroke, None
        if stroke is not None:
            stroke.close()
        return stroke is not None

    def _on_waited(self) -> None:
        self._stroke = None
        if isalive(self):
            self._say("")

    def _find(self, line: Pixels, *, redraw: bool) -> None:
        """Segment the cell that was pointed at, in a thread."""
        if self.model is None or (self._job is not None and self._job.running):
            return
        layer = self.model.layer
        image = image_under(layer, self.viewer)
        if image is None:
            self._say("The image of these cells is not open; open it first.")
            return
        index = current_index(labels_source(layer), self.viewer.dims.point)
        prompt = prompts.Prompt(index, np.array(line, float))
        old = prompt.label(layer.data[index]) if redraw else 0
        steps = prompts.find(image, image_index(layer, index), prompt, prompts.model_of(layer))
        self._job = job = Job(steps, self)
        job.returned.connect(lambda found: self._on_found(layer, index, found, old))
        job.failed.connect(self._on_failed)
        self._say("Segmenting the cell…")
        job.start()

    def _on_found(self, layer: Labels, index: tuple[int, ...], found: Any, old: int) -> None:
        if not isalive(self) or layer not in self.viewer.layers:
            return
        if found is None:
            self._say("The model sees no cell there; draw it with the brush.")
            return
        try:
            label = prompts.write_cell(layer, index, found, self._stamp(), old)
        except ValueError as error:
            self._on_failed(error)
            return
        self._say(f"{'Redrew' if old else 'Added'} cell {label}.")
        if self.model is not None and self.model.layer is layer:
            self.model.refresh()
            self.model.select([label])

    def _stamp(self) -> Mapping[str, Any]:
        return {} if self.model is None else self.model.stamp()

    def _on_failed(self, error: Exception) -> None:
        self._say("")
        report(error)


def _dock_of(widget: QWidget) -> QDockWidget | None:
    """Dock that a widget lies in."""
    parent: QObject | None = widget
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parent()
    return parent


def canvas_size(viewer: Viewer) -> tuple[int, int]:
    """Height and width of the canvas in screen pixels."""
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


def crops_of(layer: Labels, viewer: Viewer, table: pd.DataFrame) -> CropSource | None:
    """Crops of a layer's cells; None where their image is gone."""
    image = image_under(layer, viewer)
    return None if image is None else CropSource(image, layer, table)
