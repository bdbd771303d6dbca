"""Review dock: the doubtful cells first, a differential that follows, and no correction lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.compat import isalive
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QFileDialog,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QTabWidget,
)

from napari_wbc_nca.cell_types import UNSURE
from napari_wbc_nca.ops.review_table import rate
from napari_wbc_nca.project.settings import load_settings
from napari_wbc_nca.widgets.base import ViewerWidget
from napari_wbc_nca.widgets.canvas_lines import outline_selection
from napari_wbc_nca.widgets.images.dock import IMAGES, ImagesWidget
from napari_wbc_nca.widgets.layer_boxes import LayerBox
from napari_wbc_nca.widgets.layout import (
    Section,
    columns,
    row,
    share_place,
    text_label,
    with_tip,
)
from napari_wbc_nca.widgets.planes import content_of
from napari_wbc_nca.widgets.review.adapt_button import AdaptButton
from napari_wbc_nca.widgets.review.canvas import ReviewCanvas, image_under
from napari_wbc_nca.widgets.review.card import CellCard
from napari_wbc_nca.widgets.review.crops import CropSource
from napari_wbc_nca.widgets.review.differential_table import FOLDER, THIS, DifferentialTable
from napari_wbc_nca.widgets.review.gallery import CROP, Gallery
from napari_wbc_nca.widgets.review.journal_form import JournalForm, change_settings
from napari_wbc_nca.widgets.review.keys import (
    DOCKS,
    PLAIN,
    bind_review_keys,
    cheat_sheet,
    plain_text,
)
from napari_wbc_nca.widgets.review.model import ReviewModel, calibration_of
from napari_wbc_nca.widgets.review.plots import DIFFERENTIAL, CellsPlot
from napari_wbc_nca.widgets.review.reporting import cells_of, report_folder, report_open
from napari_wbc_nca.widgets.review.restore import RestoreButton
from napari_wbc_nca.widgets.review.table import CellsTable
from napari_wbc_nca.widgets.segment import SegmentWidget
from napari_wbc_nca.widgets.worker import Job, report

if TYPE_CHECKING:
    import pandas as pd
    from napari import Viewer
    from napari.layers import Layer
    from qtpy.QtGui import QKeyEvent


class ReviewWidget(ViewerWidget):
    """Reviews the cells of one Labels layer; `model` is None where there is none."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.viewer: Viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.model: ReviewModel | None = None
        self.canvas = ReviewCanvas(self.viewer, self, self._say)
        self._job: Job | None = None
        self._images: ImagesWidget | None = None
        self._rated: dict[Labels, tuple[pd.DataFrame, pd.DataFrame]] = {}
        self._make_parts()
        self._lay_out()
        self._connect()
        bind_review_keys()
        outline_selection(self.viewer)
        DOCKS.add(self.viewer, self)
        self._offer(self.viewer.layers.selection.active)
        self._on_layer()
        QTimer.singleShot(0, lambda: share_place(self, SegmentWidget))

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
        self._decide(lambda model: model.classify(model.selection, UNSURE))

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

    def add_here(self) -> None:
        """Add a cell at the selected place by the model that made the layer."""
        place = 0 if self.model is None else min(self.model.selection, default=0)
        if place < 0:
            self.canvas.add_at(place)
        else:
            self._say("Select a likely missed cell first: press N until one comes.")

    def add_cell(self) -> None:
        """Add a cell at the selected place, or wait for a click and add the one there."""
        if self.model is not None and min(self.model.selection, default=0) < 0:
            self.add_here()
            return
        self.canvas.wait("Click a cell to add it, or draw around it", redraw=False)

    def redraw(self) -> None:
        """Wait for a click or a line around a cell, and segment that cell again."""
        self.canvas.wait("Click the cell to redraw, or draw around it", redraw=True)

    def show_keys(self) -> None:
        """Show or hide the list of keys."""
        self.keys.setText(cheat_sheet([] if self.model is None else self.model.classes))
        self.keys.setVisible(not self.keys.isVisible())
        if self.keys.isVisible():
            QTimer.singleShot(0, self._scroll_to_keys)

    def _scroll_to_keys(self) -> None:
        if isalive(self):
            self.ensureWidgetVisible(self.keys)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take the plain keys while the dock, or a part that does not need them, has the focus."""
        if not self._on_key(event):
            super().keyPressEvent(event)

    def on_close(self) -> None:
        """Disconnect from the layer and from the canvas."""
        DOCKS.discard(self.viewer, self)
        self.canvas.close()
        if self.model is not None:
            self.model.close()
            self.model = None

    def _make_parts(self) -> None:
        self.layer = LayerBox(Labels, "Layer of cells to review")
        self.reviewer = QLineEdit(placeholderText="name")
        self.reviewer.setAccessibleName("Reviewer")
        self.reviewer.setToolTip("Name that is written beside each decision")
        self.reviewer.setText(load_settings().reviewer)
        self.journal = Section("Settings", JournalForm())
        self.differential = DifferentialTable()
        self.differential.others = self._tables_of
        self.order = QPushButton("By doubt")
        self.order.setToolTip("The most doubtful cells first, instead of groups by type")
        self.order.setCheckable(True)
        self.all = QPushButton("All types")
        self.all.setToolTip("Remove the filter that a click on a type has set")
        self.all.setEnabled(False)
        self.gallery, self.table, self.plot = Gallery(), CellsTable(), CellsPlot()
        self.tabs = QTabWidget()
        for part, title in ((self.gallery, "Gallery"), (self.table, "Table"), (self.plot, "Plot")):
            self.tabs.addTab(part, title)
        self.tabs.setCornerWidget(row(self.order, self.all))
        for button in (self.order, self.all):  # no higher than the tabs beside them
            button.setStyleSheet("QPushButton { padding: 0px 6px; }")
            button.setFixedHeight(20)
        # As high as the window leaves them, so that the card fits into one of 720 pixels too.
        self.tabs.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Ignored)
        self.tabs.setMinimumHeight(2 * CROP + 50)
        self.adapt = AdaptButton(self.viewer, lambda: self.model, self._say)
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
            self._button(
                "Add (A)",
                "Add the likely missed cell that is shown, or the one you click next",
                self.add_cell,
            ),
            self._button("Redraw (R)", "Segment a cell again: click or draw around", self.redraw),
            self._button("Keys (?)", "List all keys", self.show_keys),
        ]

    def _lay_out(self) -> None:
        top = columns(QLabel("Cells"), self.layer, QLabel("Reviewer"), self.reviewer)
        own = (*self.buttons, self.adapt, self.adapt.keep)
        for button in (self.differential.copy, self.order, self.all, *own):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keys to the gallery
        self.add(RestoreButton(self.viewer), top, self.differential)
        self.add(self.tabs)
        self.add(row(*self.buttons[:3], self.adapt), row(*self.buttons[3:]))
        self.add(self.status, self.adapt.keep, self.card, self.keys)
        self.add(self.journal)
        self.rows.setStretchFactor(self.tabs, 1)
        self.rows.setStretch(self.rows.count() - 1, 0)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def _connect(self) -> None:
        self.layer.currentIndexChanged.connect(self._on_layer)
        self.reviewer.editingFinished.connect(self._on_reviewer)
        self.differential.type_chosen.connect(self._on_type)
        self.differential.report.clicked.connect(self.report)
        self.differential.plot.clicked.connect(self._plot_differential)
        self.order.toggled.connect(self.gallery.sort_by_doubt)
        self.all.clicked.connect(lambda: self._on_type(""))
        self.gallery.opened.connect(self.canvas.zoom_to)
        self.table.opened.connect(self.canvas.zoom_to)

    def _button(self, text: str, tip: str, deed: Callable[[], Any]) -> QPushButton:
        button = with_tip(QPushButton(text), tip)
        button.clicked.connect(lambda: deed())
        return button

    def _offer(self, chosen: Layer | None) -> None:
        self.layer.offer(self._cells(), chosen)

    def _cells(self) -> list[Labels]:
        layers = [layer for layer in self.viewer.layers if isinstance(layer, Labels)]
        return [layer for layer in layers if content_of(layer) == "cell"]

    def _on_key(self, event: QKeyEvent) -> bool:
        text = plain_text(event)
        if event.key() == Qt.Key.Key_Escape:
            return self.canvas.stop_waiting()
        if isinstance(self.focusWidget(), QLineEdit):  # which passes Enter on
            return False
        if text in PLAIN:
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
        self.canvas.zoom_to(label)

    def _decide(self, decide: Callable[[ReviewModel], None]) -> None:
        if self.model is None or not self.model.selection:
            self._say("Select a cell first: click it, or press N.")
            return
        self._say("")
        following = self.model.next_doubtful(1)
        try:
            decide(self.model)
        except ValueError as error:
            self._say(str(error))
            return
        if following is not None and following in self.model.queue():
            self.model.select([following])
            self.canvas.zoom_to(following)
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
            image = image_under(layer, self.viewer)
            if image is not None:
                crops = CropSource(image, layer, self.model.table)
                self.model.changed.connect(crops.forget_outlines)
                self.model.cells_changed.connect(crops.forget_outlines)
        self.canvas.model = self.model
        for part in (self.differential, self.table, self.plot):
            part.show_cells(self.model)
        self.gallery.show_cells(self.model, crops)
        self.card.show_cells(self.model, crops)

    def _on_reviewer(self) -> None:
        change_settings(reviewer=self.reviewer.text().strip())
        if self.model is not None:
            self.model.reviewer = self.reviewer.text().strip()

    def _on_type(self, name: str) -> None:
        self.gallery.filter_class(name)
        self.table.filter.setText(f"group = {name}" if name else "")
        self.all.setEnabled(bool(name))

    def _plot_differential(self) -> None:
        self.tabs.setCurrentWidget(self.plot)
        self.plot.vertical.setCurrentText(DIFFERENTIAL)

    def report(self) -> None:
        """Ask for a file, and write the report of what is counted."""
        if self.model is None:
            self._say("There are no cells to report.")
            return
        name = f"{self.model.layer.name} report.html"
        found, _ = QFileDialog.getSaveFileName(self, "Save the report", name, "Page (*.html)")
        if found:
            self.write_report(Path(found).with_suffix(".html"))

    def write_report(self, path: Path) -> None:
        """Write the report of what is counted, in a thread."""
        scope, images = self.differential.scope.currentText(), IMAGES.get(self.viewer)
        if scope == FOLDER and images is not None and images.folder is not None:
            steps = report_folder(images.folder.place, path, images.projects)
        else:
            layers = list(self._layers_by_image().values())
            if scope == THIS and self.model is not None:
                layers = [self.model.layer]
            found = [cells_of(layer, self._table_of(layer), self.viewer) for layer in layers]
            title = found[0].name if len(found) == 1 else f"{len(found)} open images"
            steps = report_open(found, path, title)
        self._job = job = Job(steps, self)
        job.returned.connect(lambda _: self._say(f"Report: {path}"))
        job.failed.connect(self._on_report_failed)
        self._say("Writing the report…")
        job.start()

    def _on_report_failed(self, error: Exception) -> None:
        self._say("")
        report(error)

    def _tables_of(self, scope: str) -> Mapping[str, pd.DataFrame]:
        """Rate the tables of the open images, or of the folder in the Images dock."""
        images = IMAGES.get(self.viewer)
        if scope == FOLDER and images is not None:
            if images is not self._images:
                self._images = images
                images.states_changed.connect(self.differential.update_counts)
            known = {path: state.table for path, state in images.images.images.states.items()}
            if self.model is not None and images.opener.path is not None:
                known[images.opener.path] = self.model.table
            return {path.name: table for path, table in known.items() if table is not None}
        return {name: self._table_of(one) for name, one in self._layers_by_image().items()}

    def _layers_by_image(self) -> dict[str, Labels]:
        """Return one layer of cells of each open image, by image."""
        found: dict[str, Labels] = {}
        current = None if self.model is None else self.model.layer
        # The reviewed layer first, then those that are seen: an image counts once.
        for layer in sorted(self._cells(), key=lambda x: (x is not current, not x.visible)):
            image = image_under(layer, self.viewer)
            name = layer.name if image is None else image.layer.name
            if name not in found and "class" in layer.features:
                found[name] = layer
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
