"""A list of layers of one kind, each with a box to tick."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari.layers import Labels
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from napari_wbc_nca.widgets._planes import shows

if TYPE_CHECKING:
    from napari.layers import Layer

_HEIGHT = 92
"""In pixels; more layers are scrolled to."""
_LAYER = Qt.ItemDataRole.UserRole


class LayerList(QListWidget):
    """Layers of one kind, those that are new ticked, but for labels of ours that are no cells.

    Parameters
    ----------
    kind
        Class of layers that are listed.
    tip
        What they are for.
    """

    def __init__(self, kind: type[Layer], tip: str) -> None:
        super().__init__()
        self.kind = kind
        self.setToolTip(tip)
        self.setAccessibleName(tip)
        self.setMaximumHeight(_HEIGHT)

    def offer(self, layers: Iterable[Layer]) -> None:
        """List the viewer's layers of this kind; those that were listed keep their tick."""
        known = {item.data(_LAYER): item.checkState() for item in self._items()}
        with QSignalBlocker(self):
            self.clear()
            for layer in layers:
                if isinstance(layer, self.kind):
                    item = QListWidgetItem(layer.name)
                    item.setData(_LAYER, layer)
                    item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                    item.setCheckState(known.get(layer, _suggested(layer)))
                    self.addItem(item)

    def chosen(self) -> list[Layer]:
        """Layers that are ticked."""
        ticked = Qt.CheckState.Checked
        return [item.data(_LAYER) for item in self._items() if item.checkState() == ticked]

    def _items(self) -> list[QListWidgetItem]:
        return [self.item(number) for number in range(self.count())]


def _suggested(layer: Layer) -> Qt.CheckState:
    apart = isinstance(layer, Labels) and shows(layer) != "cell"
    return Qt.CheckState.Unchecked if apart else Qt.CheckState.Checked
