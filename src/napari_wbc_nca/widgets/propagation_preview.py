"""Preview of the detector: centroids over the image while the threshold is chosen."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.compat import isalive
from qtpy.QtWidgets import QCheckBox, QLabel

from napari_wbc_nca.widgets.class_colours import class_colours, summary
from napari_wbc_nca.widgets.layout import row
from napari_wbc_nca.widgets.planes import OURS, Index, Source, current_index, placement
from napari_wbc_nca.widgets.segment import Controls, SegmentWidget
from napari_wbc_nca.widgets.worker import DebouncedJob, report

if TYPE_CHECKING:
    from napari.layers import Points


CHEAP = ("kinds", "min_likelihood", "min_distance")
"""Parameters that change which peaks count, but not the likelihood."""


class PropagationPreview(Controls):
    """Previews the centroids that a run would find.

    Parameters
    ----------
    host
        Segment widget, whose image, model and parameters are used.
    """

    def __init__(self, host: SegmentWidget) -> None:
        super().__init__(host)
        self.shown = QCheckBox("Preview centroids")
        self.shown.setToolTip("Show the cells that would be found, as you change the parameters")
        self.found = QLabel()
        self.found.setWordWrap(True)
        self.found.setVisible(False)
        self.rows.addWidget(row(self.shown))
        self.rows.addWidget(self.found)
        self._layer: Points | None = None
        self._place: tuple[Source, Index] | None = None
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
        if self._layer is not None and self._layer in self.host.viewer.layers:
            self.host.viewer.layers.remove(self._layer)
        self._layer = self._response = self._place = None
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
        look = {
            "features": found,
            "border_color": [classes[name] for name in found["class"]] or "white",
        }
        self._say(summary(found["class"], self.host.form.display.nothing))
        if self._layer is not None and self._layer in self.host.viewer.layers:
            self._layer.data = data
            for name, value in look.items():
                setattr(self._layer, name, value)
            return
        self._layer = self._add(data, look, placement(source, index))

    def _add(self, data: Any, look: dict[str, Any], place: dict[str, Any]) -> Points:
        viewer = self.host.viewer
        active = viewer.layers.selection.active
        added: Points = viewer.add_points(
            data,
            name="preview of centroids",
            size=self._response.diameter / 4,
            face_color="transparent",
            border_width=0.15,
            metadata={OURS: {}},
            **look,
            **place,
        )
        viewer.layers.selection.active = active
        return added

    def _say(self, text: str) -> None:
        self.found.setText(text)
        self.found.setVisible(True)


def respond(source: Source, index: Index, model: str, params: Any) -> Generator[Any, None, Any]:
    """Map the likelihood of a plane; runs in a thread."""
    from napari_wbc_nca.io import model_store
    from napari_wbc_nca.methods.propagation import detect

    yield None
    return (
        yield from detect.map_likelihood(source.image(index), model_store.resolve(model), params)
    )
