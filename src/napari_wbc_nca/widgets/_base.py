"""What all our dock widgets share: they follow the viewer's layers and let go when closed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QSignalBlocker
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

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
