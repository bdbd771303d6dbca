"""What all our dock widgets share: they follow the viewer's layers and let go when closed."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from napari.utils.notifications import show_error
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QListWidget, QListWidgetItem, QSizePolicy, QWidget

from napari_wbc_nca.widgets.planes import shows

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer


class LayerBox(QComboBox):
    """Chooses a layer of one kind.

    Parameters
    ----------
    kind
        Class of layers that are offered.
    tip
        What the layer is for.
    """

    def __init__(self, kind: type[Layer], tip: str) -> None:
        super().__init__()
        self.kind = kind
        self.setToolTip(tip)
        self.setPlaceholderText(f"no {kind.__name__} layer")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    @property
    def layer(self) -> Layer | None:
        """Layer that is chosen; None where there is none to choose."""
        return self.currentData()

    def offer(self, layers: Iterable[Layer], chosen: Layer | None = None) -> None:
        """Offer `layers` of this kind; keep the choice, or take `chosen` where it is offered.

        Tells of a change only when the choice has become another layer.
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


class ViewerWidget(QWidget):
    """A dock widget that hears of the viewer's layers until it is closed.

    Subclasses override the hooks.

    Parameters
    ----------
    napari_viewer
        Viewer that the widget is docked to; napari goes by this parameter's name.
    """

    EVENTS = ("inserted", "removed", "reordered", "renamed")

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        for name in self.EVENTS:
            getattr(napari_viewer.layers.events, name).connect(self._layers_event)
        napari_viewer.layers.selection.events.active.connect(self._active_event)

    def on_layers(self) -> None:
        """React to layers that were added, removed, moved or renamed."""

    def on_active(self, layer: Layer) -> None:
        """React to `layer` having become the active one."""

    def on_close(self) -> None:
        """Stop what goes on, and remove what only helps while the widget is open."""

    def changeEvent(self, event: QEvent) -> None:
        """Notice the close button: napari takes the widget out of its dock, and says no more."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.on_close()

    def _layers_event(self, event: Any = None) -> None:
        # The viewer's list of layers outlives its window.
        if isalive(self):
            self.on_layers()

    def _active_event(self, event: Any) -> None:
        if isalive(self) and event.value is not None:
            self.on_active(event.value)


LOG = logging.getLogger(__name__)


def explain(error: Exception) -> str:
    """Message that names the remedy.

    Our own errors say what came, what was expected and what to do; those of the machine and
    those nobody thought of get a remedy here.
    """
    text = str(error) or type(error).__name__
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return (
            f"Out of memory: {text.splitlines()[0]}. Lower Tile and Batch under Advanced, "
            f"or choose the device cpu."
        )
    if isinstance(error, ValueError | OSError):
        return text
    return (
        f"Segmentation stopped by {type(error).__name__}: {text}. Try device cpu and the default "
        f"settings; if it comes back, report it with the log that napari printed."
    )


def report(error: Exception) -> None:
    """Show `error` as a notification, and keep its traceback in the log."""
    LOG.warning("segmentation failed", exc_info=error)
    show_error(explain(error))


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
