"""Correct widget: buttons of the corrections, with their keys."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from napari.layers import Labels, Layer
from napari.utils.notifications import show_warning
from qtpy.compat import isalive
from qtpy.QtWidgets import QGridLayout, QLineEdit, QPushButton, QWidget

from napari_wbc_nca.cell_types import ADDED, AUTO, EDITED
from napari_wbc_nca.widgets.base import ViewerWidget
from napari_wbc_nca.widgets.canvas_lines import outline_selection
from napari_wbc_nca.widgets.class_colours import add_class, layer_classes, layer_colours
from napari_wbc_nca.widgets.correction_keys import (
    HIDE,
    bind_keys,
    keys_of,
    start_classification,
    start_operation,
)
from napari_wbc_nca.widgets.correction_operations import CLASS_KEYS, OPERATIONS
from napari_wbc_nca.widgets.features_sync import follow
from napari_wbc_nca.widgets.features_table import rows_by_label
from napari_wbc_nca.widgets.layout import grid, text_label
from napari_wbc_nca.widgets.review.layer_journal import journal_of

if TYPE_CHECKING:
    from napari import Viewer

HINT = (
    "Point at a cell and press a key. Buttons work on the selected cell, which is outlined; "
    "select one with napari's picker (5). Hold {keys} to hide the labels."
)


class CorrectWidget(ViewerWidget):
    """Buttons for all corrections of the active Labels layer, and its classes with their keys."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        bind_keys()
        outline_selection(napari_viewer)
        self.layer: Labels | None = None
        self.title, self.hint, self.cell, self.counts = (text_label() for _ in range(4))
        self.hint.setText(HINT.format(keys=keys_of(HIDE)))
        self.buttons = {name: self._button(name) for name in OPERATIONS}
        self.classes: list[QPushButton] = []
        self.class_box = QWidget()
        self.class_grid = QGridLayout(self.class_box)
        self.class_grid.setContentsMargins(0, 0, 0, 0)
        self.new_class = QLineEdit()
        self.new_class.setPlaceholderText("another class, then Enter")
        self.new_class.setAccessibleName("Name of another class")
        self.new_class.returnPressed.connect(self._add_class)
        box = grid([*self.buttons.values()])
        self.add(self.title, self.hint, box, self.cell, self.class_box, self.new_class, self.counts)
        self._take(self.viewer.layers.selection.active)

    def on_layers(self) -> None:
        """Disconnect from a layer that was removed; show the new name of one that was renamed."""
        if self.layer is not None and self.layer not in self.viewer.layers:
            self._take(None)
        self._show()

    def on_active(self, layer: Layer) -> None:
        """Correct the Labels layer that was clicked."""
        if isinstance(layer, Labels):
            self._take(layer)

    def on_close(self) -> None:
        """Disconnect from the layer."""
        self._connect(None)

    def _button(self, name: str) -> QPushButton:
        operation = OPERATIONS[name]
        button = QPushButton()
        button.setAccessibleDescription(operation.tip)
        button.clicked.connect(lambda: start_operation(self.viewer, name, self.layer))
        return button

    def _take(self, layer: Layer | None) -> None:
        """Make `layer` the one that is corrected."""
        layer = getattr(layer, "__wrapped__", layer)
        layer = layer if isinstance(layer, Labels) else None
        if layer is not None:
            try:
                follow(layer)
            except ValueError as error:
                show_warning(str(error))
                layer = None
        self._connect(layer)
        self._show()

    def _connect(self, layer: Labels | None) -> None:
        if self.layer is not None:
            self.layer.events.features.disconnect(self._show)
            self.layer.events.selected_label.disconnect(self._show)
        self.layer = layer
        if layer is not None:
            layer.events.features.connect(self._show)
            layer.events.selected_label.connect(self._show)

    def _show(self, event: Any = None) -> None:
        if not isalive(self):
            return
        layer = self.layer
        for name, button in self.buttons.items():
            button.setEnabled(layer is not None)
            button.setText(f"{OPERATIONS[name].title}\n{keys_of(name)}")
            button.setToolTip(f"{OPERATIONS[name].tip} ({keys_of(name)})")
        self.new_class.setEnabled(layer is not None)
        self.title.setText(f"<b>{layer.name}</b>" if layer is not None else "Select a Labels layer")
        self.cell.setText(describe_selected(layer) if layer is not None else "")
        self.counts.setText(origins(layer) if layer is not None else "")
        self._show_classes([] if layer is None else layer_classes(layer))

    def _show_classes(self, names: list[str]) -> None:
        texts = [_class_text(*item) for item in enumerate(names, start=1)]
        if [button.text() for button in self.classes] != texts:
            for button in self.classes:
                button.deleteLater()
            self.classes = [self._class_button(*item) for item in enumerate(names, start=1)]
        colours = {} if self.layer is None else layer_colours(self.layer)
        for button, name in zip(self.classes, names, strict=True):
            colour = colours.get(name, "gray")[:7]
            button.setStyleSheet(f"text-align: left; border-left: 8px solid {colour};")

    def _class_button(self, number: int, name: str) -> QPushButton:
        button = QPushButton(_class_text(number, name))
        button.setToolTip(f"Give the selected cell, or that under the mouse, the class {name}")
        button.clicked.connect(lambda: start_classification(self.viewer, number, self.layer))
        self.class_grid.addWidget(button, (number - 1) // 2, (number - 1) % 2)
        return button

    def _add_class(self) -> None:
        if self.layer is None:
            return
        try:
            add_class(self.layer, self.new_class.text())
        except ValueError as error:
            show_warning(str(error))
            return
        if (journal := journal_of(self.layer)) is not None:
            journal.write_classes()
        self.layer.events.features()  # who shows the cells shows the class too
        self.new_class.clear()
        self._show()


def _class_text(number: int, name: str) -> str:
    """Return the text of a class's button: its name and its keys."""
    return f"{name}  {keys_of(f'class_{number}')}" if number <= len(CLASS_KEYS) else name


def describe_selected(layer: Labels) -> str:
    """Describe the selected cell in words."""
    label = int(layer.selected_label)
    row = rows_by_label(follow(layer).table, [label])[label]
    if row is None:
        return f"Label {label} is no cell yet."
    return f"Cell {label}: {row['class']}, {row['area_px']} px, {row['origin']}"


def origins(layer: Labels) -> str:
    """Count the cells that the program made, that were corrected, and that were drawn."""
    counts = Counter(follow(layer).table["origin"])
    return " · ".join(f"{counts[name]} {name}" for name in (AUTO, EDITED, ADDED))
