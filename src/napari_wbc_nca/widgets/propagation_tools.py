"""Preview centroids, update cells by their centroids, show the contribution map of one cell."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Points
from qtpy.compat import isalive
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QPushButton

from napari_wbc_nca.widgets.base import TemporaryLayer
from napari_wbc_nca.widgets.class_colours import class_colours, colormap, count_summary
from napari_wbc_nca.widgets.instance_updates import (
    PlaneInstances,
    instances_of,
    merge_features,
    removed_numbers,
)
from napari_wbc_nca.widgets.layout import row, text_label
from napari_wbc_nca.widgets.planes import OURS, ImagePlanes, Index, current_index, placement
from napari_wbc_nca.widgets.result_layers import positions, stack_planes
from napari_wbc_nca.widgets.segment import Controls, SegmentWidget
from napari_wbc_nca.widgets.worker import PAUSE, DebouncedJob, Job, report

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from napari.layers import Layer

    from napari_wbc_nca.widgets.result_layers import Result
    from napari_wbc_nca.widgets.segment_run import Finished

CHEAP = ("kinds", "min_likelihood", "min_distance")
"""Parameters that change which peaks count, but not the likelihood."""


class PropagationPreview(Controls):
    """Previews the centroids that a run would find."""

    def __init__(self, host: SegmentWidget) -> None:
        super().__init__(host)
        self.shown = QCheckBox("Preview centroids")
        self.shown.setToolTip("Show the cells that would be found, as you change the parameters")
        self.found = text_label()
        self.found.setVisible(False)
        self.rows.addWidget(row(self.shown))
        self.rows.addWidget(self.found)
        self._layer = TemporaryLayer(host.viewer)
        self._place: tuple[ImagePlanes, Index] | None = None
        self._response: Any = None
        self._live = DebouncedJob(self)
        self._live.done.connect(self._on_response)
        self.shown.toggled.connect(self.on_source)
        for name in CHEAP:
            host.form.params.widgets[name].changed.connect(self._show)
        host.viewer.dims.events.current_step.connect(self._on_step)

    @property
    def busy(self) -> bool:
        """Whether the likelihood is being computed."""
        return self._live.busy

    def on_source(self) -> None:
        """Look at the plane that is seen, or hide the preview."""
        self._hide()
        source = self.host.form.source
        if not self.shown.isChecked() or source is None:
            return
        index = current_index(source, self.host.viewer.dims.point)
        params, model = self._params(), self.host.form.model.model
        if params is not None:
            self._place = (source, index)
            self._say("Finding cells…")
            self._live.ask(lambda: respond(source, index, model, params))

    def on_close(self) -> None:
        """Turn the preview off."""
        self.shown.setChecked(False)
        self._hide()

    def _hide(self) -> None:
        self._live.stop()
        self._layer.hide()
        self._response = self._place = None
        self.found.setVisible(False)

    def _params(self) -> Any:
        try:
            return self.host.form.page.make(self.host.form.scale.params())
        except ValueError as error:
            report(error)
            return None

    def _on_step(self, event: Any = None) -> None:
        if not isalive(self):
            return  # the viewer outlives the widget
        source = self.host.form.source
        if self.shown.isChecked() and source is not None and source.lead:
            self.on_source()

    def _on_response(self, response: Any) -> None:
        self._response = response
        self._show()

    def _show(self, value: Any = None) -> None:
        """Put the peaks of the likelihood into their layer."""
        if self._response is None or self._place is None:
            return
        from napari_wbc_nca.methods.propagation.detect import centroids

        try:
            params: Any = self.host.form.page.make(self.host.form.scale.params())
            found = centroids(self._response, params)
        except ValueError as error:  # such as no kind that is ticked
            self._say(str(error))
            return
        source, index = self._place
        data = np.zeros((len(found), len(source.lead) + 2))
        data[:, -2:] = found[["y", "x"]]
        classes = class_colours(found)
        edges = [classes[name] for name in found["class"]] or "white"
        self._say(count_summary(found["class"], self.host.form.display.nothing))
        self._layer.draw(
            "points",
            data,
            {"features": found, "border_color": edges},
            name="preview of centroids",
            size=self._response.diameter / 4,
            face_color="transparent",
            border_width=0.15,
            metadata={OURS: {}},
            **placement(source, index),
        )

    def _say(self, text: str) -> None:
        self.found.setText(text)
        self.found.setVisible(True)


def respond(
    source: ImagePlanes, index: Index, model: str, params: Any
) -> Generator[Any, None, Any]:
    """Map the likelihood of a plane; runs in a thread."""
    from napari_wbc_nca.io import model_store
    from napari_wbc_nca.methods.propagation import detect

    yield None
    return (
        yield from detect.map_likelihood(source.image(index), model_store.resolve(model), params)
    )


LOOK = {"colormap": "magma", "blending": "additive", "contrast_limits": (0, 1)}


POINTS = "points"
LAZY = "The centroids of a lazy image cannot be corrected; run again after you edited them."
NO_POINTS = "Tick Points under Add and run again to correct the centroids."
READY = "Add, move or delete points to correct the cells."


class PropagationTools(Controls):
    """Update touched cells of the last result, and show one cell's contribution."""

    def __init__(self, host: SegmentWidget) -> None:
        super().__init__(host)
        self.update_button = QPushButton("Update")
        self.update_button.setToolTip("Segment the cells whose centroids you changed again")
        self.follow = QCheckBox("as I edit")
        self.follow.setToolTip("Update after each change of a point")
        self.follow.setChecked(True)
        self.chosen = QCheckBox("Contribution of the selected cell")
        tip = "Show what each pixel contributes to the detection of the selected point or label"
        self.chosen.setToolTip(tip)
        self.hint = text_label()
        for part in (self.hint, row(self.update_button, self.follow), row(self.chosen)):
            self.rows.addWidget(part)
        self._instances: PlaneInstances | None = None
        self._result: Result | None = None
        self._view = TemporaryLayer(host.viewer)
        self._number = 0
        self._job: Job | None = None
        self._writing = False
        self._timer = QTimer(self, singleShot=True, interval=PAUSE)
        self._timer.timeout.connect(self.update_cells)
        self.update_button.clicked.connect(self.update_cells)
        self.follow.toggled.connect(self._on_edited)
        self.chosen.toggled.connect(self._show_contribution)

    @property
    def running(self) -> bool:
        """Whether cells are being updated."""
        return self._job is not None and self._job.running

    @property
    def busy(self) -> bool:
        """Whether cells are being updated, or soon will be."""
        return self.running or self._timer.isActive()

    @property
    def points(self) -> Points | None:
        """Layer of centroids of the last result; None without one."""
        layer = self._layer(POINTS)
        return layer if isinstance(layer, Points) else None

    def on_result(self, result: Result, finished: Finished) -> None:
        """Update the cells of `result`."""
        self._let_go()
        self._result, self._instances, self._number = result, None, 0
        self._view = TemporaryLayer(self.host.viewer)
        done = finished.segmentations()
        kept = bool(done) and all(found.kept is not None for found in done.values())
        if kept and finished.checkpoint is not None:
            self._instances = instances_of(result.request, finished.checkpoint, done)
        if self.points is not None and kept:
            self.points.events.data.connect(self._on_edited)
            self.points.selected_data.events.items_changed.connect(self._on_point)
        cells = self._layer("cell")
        if isinstance(cells, Labels):
            cells.events.selected_label.connect(self._on_label)
        editable = kept and self.points is not None
        self.hint.setText(READY if editable else NO_POINTS if kept else LAZY)
        for part in (self.update_button, self.follow):
            part.setEnabled(editable)
        self.chosen.setEnabled(kept)
        self._show_contribution()

    def on_close(self) -> None:
        """Cancel the update, and disconnect from the layers."""
        self._timer.stop()
        if self._job is not None:
            self._job.cancel()
        self._let_go()

    def update_cells(self) -> None:
        """Update the cells whose centroids changed, in a thread; the layers follow."""
        points, instances = self.points, self._instances
        if points is None or instances is None or self.running:
            return
        rows = np.asarray(points.data, float)
        changes = instances.changes(rows)
        if not changes:
            return
        self.hint.setText("Updating the changed cells…")
        highest = max((int(layer.data.max()) for layer in self._labels().values()), default=0)
        self._job = Job(instances.updated(changes, highest), self)
        self._job.returned.connect(lambda after: self._on_updated(instances, after, rows))
        self._job.failed.connect(self._on_failed)
        self._job.start()

    def _on_updated(
        self, before: PlaneInstances, after: PlaneInstances, rows: npt.NDArray[np.float64]
    ) -> None:
        if before is not self._instances or self._result is None:
            return  # another run has replaced the result meanwhile
        self._instances = after
        table = after.table()
        self._place(rows, table)
        for name, layer in self._labels().items():
            for index in after.done:
                self._paint(layer, before, after, index, name)
            features = merge_features(layer.features, before.table(), table)
            layer.colormap = colormap(features, class_colours(features))
            layer.features = features
        self._result = replace(self._result, table=table)
        self.host.show_counts(self._result)
        self.hint.setText(READY)
        self._show_contribution()

    def _paint(
        self, layer: Labels, before: PlaneInstances, after: PlaneInstances, index: Index, name: str
    ) -> None:
        """Write changed pixels, as one step that can be undone."""
        single = len(after.request.planes) == 1
        lead = (0,) * len(index) if single else index
        new, gone = after.labels(index, name), removed_numbers(before, after)
        changed = before.labels(index, name) != new
        where = np.nonzero(changed | np.isin(np.asarray(layer.data[lead]), gone))
        if len(where[0]):
            full = (*(np.full(len(where[0]), at) for at in lead), *where)
            layer.data_setitem(full, new[where])

    def _place(self, rows: npt.NDArray[np.float64], table: pd.DataFrame) -> None:
        """Set the points of the cells there are now, and those edited since the update began."""
        points = self.points
        if points is None or self._result is None:
            return
        now = {tuple(at) for at in np.asarray(points.data, float).tolist()}
        then = {tuple(at) for at in rows.tolist()}
        classes = class_colours(table)
        made = positions(self._result.request, table)
        stay = [tuple(at) not in then - now for at in made.tolist()]
        later = np.asarray(sorted(now - then), float).reshape(-1, made.shape[1])
        self._writing = True
        try:
            points.data = np.concatenate([made[stay], later])
            points.features = table[stay].reindex(range(len(points.data)))
            colours = [classes[name] for name in table["class"][stay]] + ["white"] * len(later)
            points.face_color = colours or "white"
            points.selected_data = set()
        finally:
            self._writing = False
        if len(later) or not all(stay):
            self._on_edited()

    def _on_failed(self, error: Exception) -> None:
        report(error)
        self.hint.setText("The cells are as they were. Correct the points and press Update.")

    def _on_edited(self, event: Any = None) -> None:
        if self.follow.isChecked() and not self._writing:
            self._timer.start()

    def _on_point(self, event: Any = None) -> None:
        points = self.points
        if points is None or self._writing or len(points.selected_data) != 1:
            return
        (at,) = points.selected_data
        number = points.features["index"].get(at, np.nan)
        if np.isfinite(number):
            self._number = int(number)
            self._show_contribution()

    def _on_label(self, event: Any = None) -> None:
        cells = self._layer("cell")
        if isinstance(cells, Labels):
            self._number = int(cells.selected_label)
            self._show_contribution()

    def _show_contribution(self, event: Any = None) -> None:
        """Show the selected cell's contribution in a layer just above the image, or none."""
        if not self.chosen.isChecked():
            self._view.hide()
        elif self._result is not None and (planes := self._contribution(self._number)):
            request, source = self._result.request, self._result.request.source
            place = placement(source, request.planes[0] if len(request.planes) == 1 else None)
            look = {"name": f"{source.layer.name} contribution {self._number}"}
            first = {"metadata": {OURS: {}}, **LOOK, **place}
            data = stack_planes(request, planes, np.float32)
            self._view.draw("image", data, look, source.layer, **first)

    def _contribution(self, number: int) -> dict[Index, npt.NDArray[np.float32]]:
        """Return the contribution map of the cell with `number` in the layers, by its plane."""
        from napari_wbc_nca.workflow.segment import contribution

        instances = self._instances
        if instances is None:
            return {}
        for index, own in instances.numbers.items():
            for label in (la for la, no in own.items() if no == number):
                plane = contribution(instances.done[index], label)
                return {} if plane is None else {index: plane}
        return {}

    def _labels(self) -> dict[str, Labels]:
        """Return the label layers of the result that are still there, by name."""
        found = {name: self._layer(name) for name in ("cell", "contribution")}
        return {name: layer for name, layer in found.items() if isinstance(layer, Labels)}

    def _layer(self, name: str) -> Layer | None:
        layer = None if self._result is None else self._result.layers.get(name)
        return layer if layer is not None and layer in self.host.viewer.layers else None

    def _let_go(self) -> None:
        """Disconnect from the layers of the last result."""
        if self.points is not None:
            self.points.events.data.disconnect(self._on_edited)
            self.points.selected_data.events.items_changed.disconnect(self._on_point)
        cells = self._layer("cell")
        if isinstance(cells, Labels):
            cells.events.selected_label.disconnect(self._on_label)
