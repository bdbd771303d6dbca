"""Boxes that choose layers: one of a kind, several, and the regions that were reviewed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari.layers import Labels, Shapes
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QListWidget, QListWidgetItem, QSizePolicy

from napari_wbc_nca.widgets.layout import Column, choice_box
from napari_wbc_nca.widgets.planes import content_of

if TYPE_CHECKING:
    from napari.layers import Layer

ALL, INSIDE = "all of the image", "inside shapes:"
_LAYER = Qt.ItemDataRole.UserRole


class LayerBox(QComboBox):
    """Chooses a layer of class `kind`; `tip` says what for."""

    def __init__(self, kind: type[Layer], tip: str) -> None:
        super().__init__()
        self.kind = kind
        self.setToolTip(tip)
        self.setAccessibleName(tip)
        self.setPlaceholderText(f"no {kind.__name__} layer")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    @property
    def layer(self) -> Layer | None:
        """Layer that is chosen; None where there is none to choose."""
        return self.currentData()

    def offer(self, layers: Iterable[Layer], chosen: Layer | None = None) -> None:
        """Offer `layers` of this kind; keep the choice, or take `chosen` where it is offered.

        A change is signalled only when the choice has become another layer.
        """
        before = self.layer
        offered = [layer for layer in layers if isinstance(layer, self.kind)]
        after = next((layer for layer in (chosen, before) if layer in offered), None)
        with QSignalBlocker(self):
            self.clear()
            for layer in offered:
                self.addItem(layer.name, layer)
            if offered:
                self.setCurrentIndex(offered.index(after or offered[-1]))
        if self.layer != before:  # not "is": napari hands plugins a new proxy each time
            self.currentIndexChanged.emit(self.currentIndex())


class LayerList(QListWidget):
    """Layers of class `kind`, new ones ticked, but for labels of ours that are no cells."""

    def __init__(self, kind: type[Layer], tip: str) -> None:
        super().__init__()
        self.kind = kind
        self.setToolTip(tip)
        self.setAccessibleName(tip)
        self.setMaximumHeight(92)  # in pixels; more layers are scrolled to
        self.setMinimumWidth(1)

    def offer(self, layers: Iterable[Layer]) -> None:
        """List the viewer's layers of this kind; those that were listed keep their tick."""
        known = {item.data(_LAYER): item.checkState() for item in self._items()}
        with QSignalBlocker(self):
            self.clear()
            for layer in layers:
                if isinstance(layer, self.kind):
                    item = QListWidgetItem(layer.name)
                    item.setData(_LAYER, layer)
                    no_cells = isinstance(layer, Labels) and content_of(layer) != "cell"
                    state = Qt.CheckState.Unchecked if no_cells else Qt.CheckState.Checked
                    item.setCheckState(known.get(layer, state))
                    self.addItem(item)

    def checked(self) -> list[Layer]:
        """Return the layers that are ticked."""
        ticked = Qt.CheckState.Checked
        return [item.data(_LAYER) for item in self._items() if item.checkState() == ticked]

    def _items(self) -> list[QListWidgetItem]:
        return [self.item(number) for number in range(self.count())]


class ReviewedBox(Column):
    """Chooses the Shapes layer of regions reviewed in full; `tip` says what becomes of the rest."""

    def __init__(self, tip: str) -> None:
        super().__init__()
        self.mode = choice_box((ALL, INSIDE), tip)
        self.shapes = LayerBox(Shapes, "Shapes around what was reviewed in full")
        self.setToolTip(tip)
        self.rows.addWidget(self.mode)
        self.rows.addWidget(self.shapes)
        self.mode.currentTextChanged.connect(lambda text: self.shapes.setVisible(text == INSIDE))
        self.shapes.setVisible(False)

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the viewer's layers."""
        self.shapes.offer(layers)

    def regions(self) -> Shapes | None:
        """Return the layer of reviewed regions; None where all was reviewed."""
        if self.mode.currentText() == ALL:
            return None
        layer = self.shapes.layer
        if layer is None or not len(layer.data):
            todo = f"Draw around what was reviewed in a Shapes layer, or set it to '{ALL}'."
            raise ValueError(f"Reviewed is 'inside shapes', but there are none. {todo}")
        return layer
