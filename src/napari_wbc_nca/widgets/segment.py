"""The Segment widget: one click from an image to typed, labelled cells."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer
from qtpy.QtWidgets import QLabel, QVBoxLayout

from napari_wbc_nca.methods.params import SegmentParams
from napari_wbc_nca.params import as_dict, from_mapping
from napari_wbc_nca.widgets._base import ViewerWidget
from napari_wbc_nca.widgets._circle import Circle
from napari_wbc_nca.widgets._colours import class_colours, legend, summary
from napari_wbc_nca.widgets._errors import report
from napari_wbc_nca.widgets._layout import ProgressRow, big_button
from napari_wbc_nca.widgets._results import Result, refresh, show
from napari_wbc_nca.widgets._run import Finished, Request, Step, estimate, preload, work
from napari_wbc_nca.widgets._segment_form import SegmentForm
from napari_wbc_nca.widgets._worker import Clock, Job

if TYPE_CHECKING:
    from napari import Viewer


class SegmentWidget(ViewerWidget):
    """Segments and types the white blood cells of an image layer.

    Parameters
    ----------
    napari_viewer
        Viewer whose layers are offered and that gets the results.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.form = SegmentForm()
        self.button = big_button("Segment WBCs", "Find, segment and type the white blood cells")
        self.progress = ProgressRow()
        self.status = _text()
        self.legend = _text()
        self.circle = Circle(self.viewer)
        self.result: Result | None = None
        self._job: Job | None = None
        self._finished: Finished | None = None
        self._first: Finished | None = None
        self._clock = Clock()
        layout = QVBoxLayout(self)
        for part in (self.form, self.button, self.progress, self.status, self.legend):
            layout.addWidget(part)
        layout.addStretch(1)
        self.button.clicked.connect(self.run)
        self.progress.cancel.clicked.connect(self.cancel)
        self.form.projection_changed.connect(self.project)
        self.form.source_changed.connect(self._show_circle)
        self.form.scale.changed.connect(self._show_circle)
        self.form.scale.estimate_wanted.connect(self.estimate)
        self.form.offer(self.viewer.layers, self.viewer.layers.selection.active)
        preload()

    @property
    def running(self) -> bool:
        """Whether a computation is going on."""
        return self._job is not None and self._job.running

    def run(self) -> None:
        """Segment what is chosen, into new layers."""
        request = self._request()
        if request is not None:
            self.result = self._first = None
            self._segment(request)

    def project(self, projection: str) -> None:
        """Show the last result by another projection; the cells are not searched again."""
        if self.result is None or self._first is None or self.running:
            return
        shown = any(layer in self.viewer.layers for layer in self.result.layers.values())
        if shown and len(self.result.table):
            self._segment(again(self._first, projection))

    def estimate(self) -> None:
        """Measure the cells' diameter, and show it as a circle."""
        request = self._request()
        if request is not None:
            self._start(estimate(request), self._on_estimated, "Measuring the cells")

    def cancel(self) -> None:
        """Stop what is going on; finished cells are kept."""
        if self._job is not None:
            self.progress.cancel.setEnabled(False)
            self.status.setText("Cancelling…")
            self._job.cancel()

    def on_layers(self) -> None:
        """Offer the layers there are now; an image that was just added is chosen."""
        self.form.offer(self.viewer.layers)

    def on_active(self, layer: Layer) -> None:
        """Choose the image that was clicked."""
        if isinstance(layer, Image):
            self.form.offer(self.viewer.layers, layer)

    def on_close(self) -> None:
        """Stop the computation and remove the circle."""
        if self._job is not None:
            self._job.cancel()
        self.circle.hide()

    def _request(self) -> Request | None:
        try:
            return self.form.request(self.viewer.dims.point)
        except ValueError as error:
            report(error)
            return None

    def _segment(self, request: Request) -> None:
        self._finished = Finished(request)
        self.circle.hide()
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
        self.form.scale.estimate.setEnabled(not running)
        self.form.params.native("projection").setEnabled(not running)
        self.status.setText(text)
        if running:
            self.progress.start()
        else:
            self.progress.setVisible(False)

    def _on_step(self, step: Step | None) -> None:
        if step is None or self._finished is None:
            return
        self._finished.add(step)
        share = self._finished.share(step)
        self.progress.show_share(share)
        if self.progress.cancel.isEnabled():
            self.status.setText(describe(step, self._finished, share, self._clock))

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
        try:
            found = finished.segmentations() if finished is not None else {}
        except (ValueError, OSError) as error:  # such as no room for the labels of a lazy image
            report(error)
            found = {}
        if finished is None or not found:
            self._set_running(False, prefix + ("No cell was finished." if prefix else ""))
            return
        if self.result is not None and not prefix and self.result.untouched(self.viewer):
            self.result = refresh(self.result, finished.request, found)
        else:
            self.result = show(self.viewer, finished.request, found)
        self._first = self._first or finished
        self.form.scale.set_found(finished.diameter())
        names = list(self.result.table["class"])
        self._set_running(False, prefix + summary(names))
        self.legend.setText(legend(names, class_colours(self.result.table)))

    def _show_circle(self) -> None:
        diameter = self.form.scale.params()["diameter"]
        source = self.form.source
        if diameter and source is not None and not self.running:
            self.circle.show(source, diameter)
        else:
            self.circle.hide()


def again(first: Finished, projection: str) -> Request:
    """The request of the run `first` by another projection, where and at the scale it found."""
    request = first.request
    given = as_dict(request.params)
    scale = {"diameter": given["diameter"] or first.diameter()}
    params = from_mapping(SegmentParams, given | scale | {"projection": projection})
    if params.locate != "evidence":
        return replace(request, params=params)
    return replace(request, params=replace(params, locate="points"), points=first.centres())


def describe(step: Step, finished: Finished, share: float, clock: Clock) -> str:
    """What a run is doing, on which plane, and how long it still takes."""
    total = len(finished.request.planes)
    doing = step.progress.message
    plane = f"plane {step.plane + 1} of {total}" if total > 1 else ""
    left = clock.remaining("planes" if plane else doing, share)
    return " · ".join(part for part in (doing, plane, left) if part)


def _text() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label
