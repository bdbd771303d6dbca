"""The Segment widget: one click from an image to typed, labelled cells."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer
from qtpy.QtWidgets import QLabel, QVBoxLayout

from napari_wbc_nca.progress import Progress
from napari_wbc_nca.widgets.base import ViewerWidget, report
from napari_wbc_nca.widgets.class_colours import class_colours, legend, summary
from napari_wbc_nca.widgets.diameter_circle import Circle
from napari_wbc_nca.widgets.layout import ProgressRow, big_button
from napari_wbc_nca.widgets.method_controls import ControlsPlace
from napari_wbc_nca.widgets.result_layers import Result, refresh, show
from napari_wbc_nca.widgets.run import Finished, Request, Step, estimate, preload, work
from napari_wbc_nca.widgets.segment_form import SegmentForm
from napari_wbc_nca.widgets.worker import Clock, Job

if TYPE_CHECKING:
    from napari import Viewer


class SegmentWidget(ViewerWidget):
    """Segments and types the cells of an image layer, by whatever method the model has.

    Parameters
    ----------
    napari_viewer
        Viewer whose layers are offered and that gets the results.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.form = SegmentForm()
        self.button = big_button("", "Find, segment and type the cells of the image")
        self.progress = ProgressRow()
        self.status = _text()
        self.legend = _text()
        self.circle = Circle(self.viewer)
        self.result: Result | None = None
        self._job: Job | None = None
        self._finished: Finished | None = None
        self._first: Finished | None = None
        self._clock = Clock()
        self.preview, self.tools = ControlsPlace(self), ControlsPlace(self)
        layout = QVBoxLayout(self)
        for part in (self.form, self.preview, self.button, self.progress, self.status):
            layout.addWidget(part)
        for part in (self.legend, self.tools):
            layout.addWidget(part)
        layout.addStretch(1)
        self.button.clicked.connect(self.run)
        self.progress.cancel.clicked.connect(self.cancel)
        self.form.live_changed.connect(self.project)
        self.form.source_changed.connect(self._on_source)
        self.form.method_changed.connect(self._on_method)
        self.form.scale.changed.connect(self._on_source)
        self.form.scale.circle.toggled.connect(self._draw_circle)
        self.form.scale.estimate_wanted.connect(self.estimate)
        self._on_method()
        self.form.offer(self.viewer.layers, self.viewer.layers.selection.active)
        preload()

    @property
    def running(self) -> bool:
        """Whether a computation is going on."""
        return self._job is not None and self._job.running

    def run(self) -> None:
        """Segment what is chosen, into new layers."""
        request = self.request()
        if request is not None:
            self.result = self._first = None
            self._segment(request)

    def project(self, value: Any) -> None:
        """Show the last result anew by another value of its method's live parameter."""
        if self.result is None or self._first is None or self.running:
            return
        face = self.result.request.face
        shown = any(layer in self.viewer.layers for layer in self.result.layers.values())
        if shown and len(self.result.table) and face is self.form.face and face.again is not None:
            self._segment(face.again(self._first, value))

    def estimate(self) -> None:
        """Measure the cells' diameter, and show it as a circle."""
        request = self.request()
        if request is not None:
            self._start(estimate(request), self._on_estimated, "Measuring the cells")

    def cancel(self) -> None:
        """Stop what is going on; finished cells are kept."""
        if self._job is not None:
            self.progress.cancel.setEnabled(False)
            self.status.setText("Cancelling…")
            self._job.cancel()

    def request(self) -> Request | None:
        """What is chosen; None, and a notification, where something is missing."""
        try:
            return self.form.request(self.viewer.dims.point)
        except ValueError as error:
            report(error)
            return None

    def on_layers(self) -> None:
        """Offer the layers there are now; an image that was just added is chosen."""
        self.form.offer(self.viewer.layers)

    def on_active(self, layer: Layer) -> None:
        """Choose the image that was clicked."""
        if isinstance(layer, Image):
            self.form.offer(self.viewer.layers, layer)

    def on_close(self) -> None:
        """Stop the computation and remove what only helps to choose."""
        if self._job is not None:
            self._job.cancel()
        self.circle.hide()
        for place in (self.preview, self.tools):
            place.choose("")

    def _segment(self, request: Request) -> None:
        self._finished = Finished(request)
        self._start(work(request), self._on_returned, "Loading the model")

    def _start(self, steps: Generator[Any, None, Any], then: Any, text: str) -> None:
        if self.running:
            return
        self._clock = Clock()
        self._job = Job(steps, self)
        self._job.yielded.connect(self._on_step)
        self._job.returned.connect(then)
        self._job.cancelled.connect(self._on_cancelled)
        self._job.failed.connect(self._on_failed)
        self._set_running(True, f"{text}…")
        self._job.start()

    def _set_running(self, running: bool, text: str) -> None:
        self.button.setEnabled(not running)
        self.form.set_running(running)
        self.status.setText(text)
        if running:
            self.progress.start()
        else:
            self.progress.setVisible(False)

    def _on_step(self, step: Step | Progress | None) -> None:
        if isinstance(step, Progress):
            self._show(share_of(step), step.message)
        if isinstance(step, Step) and self._finished is not None:
            self._finished.add(step)
            share = self._finished.share(step)
            self._show(share, *describe(step, self._finished, share, self._clock))

    def _show(self, share: float, *texts: str) -> None:
        self.progress.show_share(share)
        if self.progress.cancel.isEnabled():
            self.status.setText(" · ".join(text for text in texts if text))

    def _on_returned(self, value: object) -> None:
        self._keep("")

    def _on_cancelled(self) -> None:
        self._keep("Cancelled. ")

    def _on_failed(self, error: Exception) -> None:
        report(error)
        self._keep("Stopped by an error. ")

    def _on_estimated(self, diameter: float) -> None:
        self._set_running(False, f"A white blood cell is about {diameter:.0f} px across")
        self.form.scale.set_diameter(diameter)

    def _keep(self, prefix: str) -> None:
        """Make layers of what is finished, and say what that is."""
        finished, self._finished = self._finished, None
        self.status.setText(prefix.strip())
        try:
            if finished is not None:  # else no run, but a measurement of the scale
                self._make(finished, prefix)
        except (ValueError, OSError) as error:  # such as no room for the labels of a lazy image
            report(error)
        finally:  # whatever happened, another run can be started
            self._set_running(False, self.status.text())

    def _make(self, finished: Finished, prefix: str) -> None:
        found = finished.segmentations()
        if not found:
            self.status.setText(prefix + ("No cell was finished." if prefix else ""))
            return
        if self.result is not None and not prefix and self.result.untouched(self.viewer):
            self.result = refresh(self.viewer, self.result, finished.request, found)
        else:
            self.result = show(self.viewer, finished.request, found)
        self._first = self._first or finished
        if finished.request.source.layer is self.form.image.layer:
            self.form.scale.set_found(finished.diameter())
            self._draw_circle()
        self.tell(self.result, prefix)
        self.tools.choose(finished.request.face.tools)
        for place in (self.preview, self.tools):
            place.on_result(self.result, finished)

    def tell(self, result: Result, prefix: str = "") -> None:
        """Say which cells `result` has."""
        names = list(result.table["class"])
        self.status.setText(prefix + summary(names, result.request.face.nothing))
        self.legend.setText(legend(names, class_colours(result.table)))

    def _on_method(self) -> None:
        self.button.setText(self.form.face.action)
        self.preview.choose(self.form.face.preview)

    def _on_source(self) -> None:
        self._draw_circle()
        self.preview.on_source()

    def _draw_circle(self, ticked: bool = True) -> None:
        """Show how large a cell is, where that is wished and known."""
        source, diameter = self.form.source, self.form.diameter
        if self.form.scale.circle.isChecked() and source is not None and diameter:
            self.circle.show(source, diameter)
        else:
            self.circle.hide()


def describe(step: Step, finished: Finished, share: float, clock: Clock) -> tuple[str, ...]:
    """What a run is doing, on which plane, and how long it still takes."""
    total = len(finished.request.planes)
    doing = step.progress.message
    plane = f"plane {step.plane + 1} of {total}" if total > 1 else ""
    return doing, plane, clock.remaining("planes" if plane else doing, share)


def share_of(progress: Progress) -> float:
    """Finished part of a computation, 0–1."""
    return min(1.0, progress.done / progress.total) if progress.total else 0.0


def _text() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label
