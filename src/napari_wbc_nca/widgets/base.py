"""Base classes of the dock widgets: they scroll, follow layers and run computations."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from napari.layers import Labels
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import QFormLayout, QFrame, QPushButton, QScrollArea, QVBoxLayout, QWidget

from napari_wbc_nca.widgets.layout import Column, ProgressRow, add_row, text_label
from napari_wbc_nca.widgets.planes import turn_layer
from napari_wbc_nca.widgets.review.restore import offers_of
from napari_wbc_nca.widgets.worker import Clock, Job, report

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

    from napari_wbc_nca.progress import Progress

WIDTH = 376
"""Width in pixels that every dock widget asks for, whatever it shows."""
HEIGHT = 160
"""Least height in pixels; what does not fit is scrolled to."""
EVENTS = ("inserted", "removed", "reordered", "renamed")
"""Events of a list of layers that dock widgets follow."""


T = TypeVar("T")


def require(choice: T | None, message: str) -> T:
    """Return a choice, or raise ValueError with `message` where nothing is chosen."""
    if not choice:
        raise ValueError(message)
    return choice


class ViewerWidget(QScrollArea):
    """Dock widget that scrolls and follows the viewer's layers until it is closed.

    Subclasses add their parts by :meth:`add` and override the hooks.
    """

    def __init__(self, napari_viewer: Viewer) -> None:  # napari goes by the parameter's name
        super().__init__()
        self.viewer = napari_viewer
        self.content = QWidget()
        self.rows = QVBoxLayout(self.content)
        self.rows.setContentsMargins(6, 6, 6, 6)
        self.rows.addStretch(1)
        self.setWidget(self.content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        if not any(isinstance(layer, Labels) for layer in napari_viewer.layers):
            for layer in napari_viewer.layers:
                turn_layer(layer)
        napari_viewer.layers.events.inserted.connect(_turn_inserted)
        self._followed = [
            *((getattr(napari_viewer.layers.events, name), self._layers_event) for name in EVENTS),
            (napari_viewer.layers.selection.events.active, self._active_event),
        ]
        for emitter, react in self._followed:
            emitter.connect(react)
        offers_of(napari_viewer)

    def add(self, *parts: QWidget) -> None:
        """Append `parts` below those there are."""
        for part in parts:
            self.rows.insertWidget(self.rows.count() - 1, part)

    def sizeHint(self) -> QSize:
        """Return the size that the widget asks for: a fixed width, and room for all parts."""
        return QSize(WIDTH, self.content.sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """Return the least size, which does not depend on what is shown."""
        return QSize(WIDTH, HEIGHT)

    def on_layers(self) -> None:
        """React to layers that were added, removed, moved or renamed."""

    def on_active(self, layer: Layer) -> None:
        """React to `layer` having become the active one."""

    def on_close(self) -> None:
        """Stop what goes on, and remove what only helps while the widget is open."""

    def changeEvent(self, event: QEvent) -> None:
        """Notice the close button: napari only takes the widget out of its dock."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.on_close()
            for emitter, react in self._followed:
                emitter.disconnect(react)

    def _layers_event(self, event: Any = None) -> None:
        # The viewer's list of layers outlives its window.
        if isalive(self):
            self.on_layers()

    def _active_event(self, event: Any) -> None:
        if isalive(self) and event.value is not None:
            self.on_active(event.value)


def _turn_inserted(event: Any) -> None:
    turn_layer(event.value)


class TemporaryLayer:
    """Layer that a widget shows for a while; adding it leaves the active layer active."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.layer: Any = None

    @property
    def visible(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer is not None and self.layer in self.viewer.layers

    def draw(
        self, kind: str, data: Any, look: Mapping[str, Any], above: Layer | None = None, **new: Any
    ) -> None:
        """Show pixels or positions in the layer, with the attributes `look`.

        A new layer is made by the viewer's function ``add_`` and `kind`, with the arguments
        `new` too, and put just above the layer `above`, or on top.
        """
        layers = self.viewer.layers
        if self.visible:
            self.layer.data = data
            for name, value in look.items():
                setattr(self.layer, name, value)
            return
        active = layers.selection.active
        self.layer = getattr(self.viewer, f"add_{kind}")(data, **look, **new)
        if above is not None and above in layers:
            layers.move(len(layers) - 1, layers.index(above) + 1)
        layers.selection.active = active

    def hide(self) -> None:
        """Remove the layer."""
        if self.visible:
            self.viewer.layers.remove(self.layer)
        self.layer = None


class Form(Column):
    """Everything that can be chosen before a run, in rows that can be hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.choosers: tuple[Any, ...] = ()
        self._fields: dict[str, tuple[QWidget, ...]] = {}

    def add_field(self, layout: QFormLayout, name: str, text: str, widget: QWidget) -> None:
        """Append a row that :meth:`show_fields` calls `name`."""
        add_row(layout, text, widget)
        self._fields[name] = (layout.labelForField(widget), widget)

    def show_fields(self, shown: Mapping[str, bool]) -> None:
        """Show or hide rows by their names."""
        for name, visible in shown.items():
            for widget in self._fields[name]:
                widget.setVisible(visible)

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the viewer's layers in the boxes that are the form's `choosers`."""
        offered = list(layers)
        for box in self.choosers:
            box.offer(offered)


@dataclass(frozen=True, eq=False)
class Computation:
    """What a click on a widget's main button starts; `text` says what is being done at first.

    `on_result` takes what `steps` returns, in the window's thread, and returns the status;
    `phases` are those of a :class:`~napari_wbc_nca.widgets.worker.Clock`.
    """

    steps: Generator[Any, None, Any]
    on_result: Callable[[Any], str]
    text: str
    phases: Mapping[str, float] = field(default_factory=dict)


class RunWidget(ViewerWidget):
    """Dock widget with a form, a button that starts a computation, its progress and its status.

    Subclasses override :meth:`prepare`, and the hooks where they differ. `cancel_tip` says what
    becomes of a cancelled computation.
    """

    def __init__(
        self, napari_viewer: Viewer, form: Form, button: QPushButton, cancel_tip: str
    ) -> None:
        super().__init__(napari_viewer)
        self.form = form
        self.button = button
        self.progress = ProgressRow(cancel_tip)
        self.status = text_label()
        self._job: Job | None = None
        self._computation: Computation | None = None
        self._clock = Clock()
        self.button.clicked.connect(self.run)
        self.progress.cancel.clicked.connect(self.cancel)

    @property
    def running(self) -> bool:
        """Whether a computation is going on, or paused."""
        return self._job is not None and self._job.running

    def prepare(self) -> Computation:
        """Return the chosen computation; a ValueError or OSError says what is missing."""
        raise NotImplementedError

    def on_step(self, step: Any) -> None:
        """Show what the computation yielded: its progress, or None where it only can be stopped."""
        if step is not None:
            self.show_progress(step)

    def on_cancelled(self) -> str:
        """Return the status of a cancelled computation."""
        return "Cancelled."

    def on_failed(self) -> str:
        """Return the status of a computation that an error stopped."""
        return "Stopped by an error."

    def set_running(self, running: bool) -> None:
        """Grey what must not be changed while a computation runs."""
        self.form.setEnabled(not running)

    def run(self) -> None:
        """Start the computation that is chosen; say what is missing."""
        if self.running:
            return
        try:
            computation = self.prepare()
        except (ValueError, OSError) as error:
            report(error)
        else:
            self.start(computation)

    def start(self, computation: Computation) -> None:
        """Run `computation` in a thread, unless another is running."""
        if self.running:
            return
        self._computation, self._clock = computation, Clock(computation.phases)
        self._job = job = Job(computation.steps, self)
        job.yielded.connect(self.on_step)
        job.returned.connect(lambda value: self._finish(lambda: computation.on_result(value)))
        job.cancelled.connect(lambda: self._finish(self.on_cancelled))
        job.failed.connect(self._on_failed)
        self.button.setEnabled(False)
        self.set_running(True)
        self.status.setText(f"{computation.text}…")
        self.progress.start()
        job.start()
        QTimer.singleShot(0, self._scroll_to_progress)

    def cancel(self) -> None:
        """Stop what is going on."""
        if self._job is not None and self.running:
            self.progress.cancel.setEnabled(False)
            self.status.setText("Cancelling…")
            self._job.cancel()

    def show_progress(self, progress: Progress, *details: str) -> None:
        """Show the finished share of the whole computation, and the time it still takes."""
        share = self._clock.share(progress)
        self.progress.bar.setValue(round(1000 * share))
        if self.progress.cancel.isEnabled():
            texts = (progress.message, *details, self._clock.remaining(share))
            self.status.setText(" · ".join(text for text in texts if text))

    def on_layers(self) -> None:
        """Offer the layers there are now."""
        self.form.offer(self.viewer.layers)

    def on_close(self) -> None:
        """Stop what is going on."""
        self.cancel()

    def _on_failed(self, error: Exception) -> None:
        report(error)
        self._finish(self.on_failed)

    def _finish(self, deed: Callable[[], str]) -> None:
        """End the run by `deed`; whatever happens in it, another can be started."""
        text = ""
        try:
            text = deed()
        except (ValueError, OSError) as error:  # such as no room for the labels of a lazy image
            report(error)
        finally:
            self.button.setEnabled(True)
            self.set_running(False)
            self.progress.setVisible(False)
            self.status.setText(text)

    def _scroll_to_progress(self) -> None:
        if isalive(self):
            self.ensureWidgetVisible(self.progress)
