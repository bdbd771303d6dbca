"""The Segment widget: one click from an image to typed, labelled cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer
from qtpy.compat import isalive

from napari_wbc_nca.methods import registry
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.widgets.base import Computation, RunWidget
from napari_wbc_nca.widgets.class_colours import count_summary, legend
from napari_wbc_nca.widgets.layout import Column, big_button, text_label
from napari_wbc_nca.widgets.result_layers import Result, add_result, update_result
from napari_wbc_nca.widgets.review.restore import RestoreButton
from napari_wbc_nca.widgets.scale_box import Circle
from napari_wbc_nca.widgets.segment_form import SegmentForm
from napari_wbc_nca.widgets.segment_run import (
    Finished,
    Request,
    Step,
    estimate_diameter,
    segment_planes,
    with_projection,
)
from napari_wbc_nca.widgets.worker import preload, report

if TYPE_CHECKING:
    from napari import Viewer


class Controls(Column):
    """Part of the Segment widget `host` that belongs to one method; subclasses override hooks."""

    def __init__(self, host: SegmentWidget) -> None:
        super().__init__()
        self.host = host

    def on_source(self) -> None:
        """React to another image, another scale or another model having been chosen."""

    def on_result(self, result: Result, finished: Finished) -> None:
        """React to the layers of a run having been made."""

    def on_close(self) -> None:
        """Stop what goes on, and remove what only helps while the method is chosen."""


class ControlsPlace(Column):
    """Where the controls of one method stand at a time; empty where it has none."""

    def __init__(self, host: SegmentWidget) -> None:
        super().__init__()
        self.host = host
        self.current: Controls | None = None
        self._made: dict[str, Controls] = {}
        self.setVisible(False)

    def choose(self, target: str) -> None:
        """Show the controls that ``"module:Class"`` names, made when they are first needed."""
        if target and target not in self._made:
            controls: Controls = registry.load(target)(self.host)
            self._made[target] = controls
            self.rows.addWidget(controls)
        chosen = self._made.get(target)
        if self.current is not None and chosen is not self.current:
            self.current.on_close()
            self.current.setVisible(False)
        self.current = chosen
        if chosen is not None:
            chosen.setVisible(True)
        self.setVisible(chosen is not None)


class SegmentWidget(RunWidget):
    """Segments and types the cells of an image layer, by whatever method the model has."""

    form: SegmentForm

    def __init__(self, napari_viewer: Viewer) -> None:
        button = big_button("", "Find, segment and type the cells of the image")
        tip = "Stop, and keep the cells that are finished"
        super().__init__(napari_viewer, SegmentForm(), button, tip)
        self.legend = text_label()
        self.circle = Circle(self.viewer)
        self.result: Result | None = None
        self._finished: Finished | None = None
        self._first: Finished | None = None
        self.preview, self.tools = ControlsPlace(self), ControlsPlace(self)
        self.restore = RestoreButton(self.viewer)
        self.add(self.restore, self.form, self.preview, self.button, self.progress, self.status)
        self.add(self.legend, self.tools)
        self.form.live_changed.connect(self.project)
        self.form.source_changed.connect(self._on_source)
        self.form.method_changed.connect(self._on_method)
        self.form.scale.changed.connect(self._on_source)
        self.form.scale.circle.toggled.connect(self._draw_circle)
        self.form.scale.estimate_clicked.connect(self.estimate)
        self._on_method()
        self.form.offer(self.viewer.layers, self.viewer.layers.selection.active)
        preload()

    def prepare(self) -> Computation:
        """Return the segmentation of what is chosen, into new layers."""
        request = self.form.request(self.viewer.dims.point)
        self._connect(None)
        self._first = None
        self.legend.clear()
        return self._segmentation(request)

    def project(self, value: Any) -> None:
        """Compute the last result by another value of its method's live parameter."""
        if self.result is None or self._first is None or self.running:
            return
        display = self.result.request.display
        shown = any(layer in self.viewer.layers for layer in self.result.layers.values())
        if shown and len(self.result.table) and display is self.form.display and display.live:
            self.start(self._segmentation(with_projection(self._first, value)))

    def estimate(self) -> None:
        """Measure the cells' diameter, and show it as a circle."""
        try:
            request = self.form.request(self.viewer.dims.point)
        except ValueError as error:
            report(error)
        else:
            steps = estimate_diameter(request)
            self.start(Computation(steps, self._on_estimated, "Measuring the cells"))

    def on_step(self, step: Step | Progress | None) -> None:
        """Show the progress, and keep the cells that are finished."""
        if isinstance(step, Progress):
            self.show_progress(step)
        if isinstance(step, Step) and self._finished is not None:
            self._finished.add(step)
            total = len(self._finished.request.planes)
            plane = f"plane {step.plane + 1} of {total}" if total > 1 else ""
            self.show_progress(self._finished.progress(step), plane)

    def on_cancelled(self) -> str:
        """Make layers of the cells that were finished."""
        return self._keep("Cancelled. ")

    def on_failed(self) -> str:
        """Make layers of the cells that were finished."""
        return self._keep("Stopped by an error. ")

    def set_running(self, running: bool) -> None:
        """Grey what would start another run; the form can be changed meanwhile."""
        self.form.set_running(running)

    def on_active(self, layer: Layer) -> None:
        """Choose the image that was clicked."""
        if isinstance(layer, Image):
            self.form.offer(self.viewer.layers, layer)

    def on_close(self) -> None:
        """Stop the computation and remove what only helps to choose."""
        super().on_close()
        self._connect(None)
        self.circle.hide()
        for place in (self.preview, self.tools):
            place.choose("")

    def show_counts(self, result: Result, prefix: str = "") -> None:
        """Count the cells of `result` by class, as they are after all corrections."""
        names, touching = list(result.cells["class"]), result.uncounted()
        display = result.request.display
        nothing = "Touching cells are not counted" if touching else display.nothing
        counted = [name for name in names if name not in touching]
        self.status.setText(prefix + count_summary(counted, nothing))
        self.legend.setText(legend(names, result.colours(), touching))

    def _segmentation(self, request: Request) -> Computation:
        self._finished = Finished(request)
        phases = request.display.phases if len(request.planes) == 1 else {}
        steps = segment_planes(request)
        return Computation(steps, lambda _: self._keep(""), "Loading the model", phases)

    def _on_estimated(self, diameter: float) -> str:
        self.form.scale.set_diameter(diameter)
        return f"A white blood cell is about {diameter:.0f} px across"

    def _keep(self, prefix: str) -> str:
        """Make layers of what is finished; return the status that says what that is."""
        finished, self._finished = self._finished, None
        if finished is None:  # no run, but a measurement of the scale
            return prefix.strip()
        if not finished.is_current(self.viewer.layers):
            name = finished.request.source.layer.name
            return f"{prefix}{name!r} was removed or replaced meanwhile: its cells are dropped."
        self.status.setText(prefix.strip())  # stays where the layers cannot be made
        found = finished.segmentations()
        if not found:
            return prefix + ("No cell was finished." if prefix else "")
        if self.result is not None and not prefix and self.result.untouched(self.viewer):
            result = update_result(self.viewer, self.result, finished.request, found)
        else:
            result = add_result(self.viewer, finished.request, found)
        self._connect(result)
        self._first = self._first or finished
        if finished.request.source.layer is self.form.image.layer:
            self.form.scale.set_found(finished.diameter())
            self._draw_circle()
        self.show_counts(result, prefix)
        self.tools.choose(finished.request.display.tools)
        for place in (self.preview, self.tools):
            if place.current is not None:
                place.current.on_result(result, finished)
        return "\n".join([self.status.text(), *finished.notes()])

    def _connect(self, result: Result | None) -> None:
        """Keep the counts of `result` up to date from now on, and those of no other one."""
        for old, new in ((self.result, False), (result, True)):
            cells = None if old is None else old.layers.get("cell")
            if cells is not None:
                features = cells.events.features
                (features.connect if new else features.disconnect)(self._on_features)
        self.result = result

    def _on_features(self, event: Any = None) -> None:
        if self.result is not None and not self.running and isalive(self):
            self.show_counts(self.result)

    def _on_method(self) -> None:
        self.button.setText(self.form.display.action)
        self.preview.choose(self.form.display.preview)

    def _on_source(self) -> None:
        self._draw_circle()
        if self.preview.current is not None:
            self.preview.current.on_source()

    def _draw_circle(self, ticked: bool = True) -> None:
        """Show how large a cell is, where that is asked for and known."""
        source, diameter = self.form.source, self.form.scale.diameter(self.form.model.cell)
        if self.form.scale.circle.isChecked() and source is not None and diameter:
            self.circle.show(source, diameter)
        else:
            self.circle.hide()
