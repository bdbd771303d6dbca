"""Form of the Segment widget: image, model, parameters and prompts, turned into a request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer, Points, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_wbc_nca.widgets.base import Form
from napari_wbc_nca.widgets.layer_boxes import LayerBox
from napari_wbc_nca.widgets.layout import Column, Section, add_row, choice_box, form_layout
from napari_wbc_nca.widgets.method_form import FIND, MethodDisplay, MethodPage
from napari_wbc_nca.widgets.model_box import ModelBox
from napari_wbc_nca.widgets.planes import OURS, boxes_in, current_index, source_of, to_plane
from napari_wbc_nca.widgets.scale_box import ScaleBox
from napari_wbc_nca.widgets.segment_run import Request

if TYPE_CHECKING:
    from napari_wbc_nca.widgets.params_form import ParamsForm
    from napari_wbc_nca.widgets.planes import ImagePlanes

CURRENT, ALL = "current plane", "all planes"


class SegmentForm(Form):
    """Everything that can be chosen before a run; which rows there are depends on the model."""

    live_changed = Signal(object)
    source_changed = Signal()
    method_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.image = LayerBox(Image, "Image layer that is segmented")
        self.model = ModelBox()
        self.points = LayerBox(Points, "One point on each cell")
        self.boxes = LayerBox(Shapes, "One shape around each cell")
        self.scale = ScaleBox()
        tip = "Which planes of a time series or Z stack are segmented"
        self.planes = choice_box((CURRENT, ALL), tip)
        self._pages: dict[str, MethodPage] = {}
        self._places = [Column() for _ in range(3)]
        self._arrange()
        self.page = self._page(self.model.method)
        self.page.offer_model(self.model.checkpoint)
        self.page.show(True)
        self.model.names.currentIndexChanged.connect(self._on_model)
        self.image.currentIndexChanged.connect(self._on_image)
        self._on_image()

    @property
    def display(self) -> MethodDisplay:
        """How the method of the chosen model is displayed."""
        return self.page.display

    @property
    def params(self) -> ParamsForm:
        """Parameters of that method."""
        return self.page.params

    @property
    def outputs(self) -> dict[str, QCheckBox]:
        """Check boxes of what can be added, by name."""
        return self.page.outputs

    @property
    def source(self) -> ImagePlanes | None:
        """Planes of the image that is chosen; None without one."""
        layer = self.image.layer
        return None if layer is None else source_of(layer)

    def offer(self, layers: Iterable[Layer], chosen: Layer | None = None) -> None:
        """Offer the viewer's layers; of those we made, only points."""
        there = list(layers)
        foreign = [layer for layer in there if OURS not in layer.metadata]
        for box in (self.image, self.boxes):
            box.offer(foreign, chosen)
        self.points.offer(there, chosen)

    def request(self, point: Sequence[float]) -> Request:
        """Return what is chosen, with the viewer's sliders at `point`, or raise what is missing."""
        source = self.source
        if source is None:
            samples = "File > Open Sample > White blood cells"
            raise ValueError(f"There is no image to segment. Open one, or take one from {samples}.")
        if not self.page.ticked:
            *first, last = (box.text() for box in self.outputs.values())
            raise ValueError(f"Nothing is to be added. Tick {', '.join(first)} or {last}.")
        params = self.page.make(self.scale.params())
        points = boxes = None
        if self.page.locate() == "points":
            layer = _prompts(self.points, "points", "put a point on each cell")
            points = to_plane(source, layer, np.asarray(layer.data, float))
        if self.page.locate() == "boxes":
            layer = _prompts(self.boxes, "boxes", "draw a rectangle around each cell")
            boxes = boxes_in(source, layer)
        whole = self.planes.currentText() == ALL or not source.lead
        planes = tuple(source.planes()) if whole else (current_index(source, point),)
        model, outputs = self.model.model, self.page.ticked
        return Request(source, planes, model, params, self.display, outputs, points, boxes)

    def set_running(self, running: bool) -> None:
        """Grey what would start another run."""
        self.scale.estimate.setEnabled(not running)
        for page in self._pages.values():
            if page.display.live:
                page.params.native(page.display.live).setEnabled(not running)

    def _arrange(self) -> None:
        main, device, details = self._places
        fields, places = QWidget(), QWidget()
        form = form_layout(fields)
        add_row(form, "Image", self.image)
        self.add_field(form, "planes", "Planes", self.planes)
        add_row(form, "Model", self.model)
        form = form_layout(places)
        self.add_field(form, "points", "Points", self.points)
        self.add_field(form, "boxes", "Boxes", self.boxes)
        add_row(form, "Scale", self.scale.mode)
        form.addRow("", self.scale)
        self.advanced = Section("Advanced", details)
        for part in (fields, main, places, device, self.advanced):
            self.rows.addWidget(part)

    def _page(self, method: str) -> MethodPage:
        """Return the rows of a method; made when they are first needed, and kept."""
        if method not in self._pages:
            page = self._pages[method] = MethodPage(method)
            for place, part in zip(self._places, page.parts, strict=True):
                place.rows.addWidget(part)
            if page.display.live:
                page.params.widgets[page.display.live].changed.connect(self.live_changed.emit)
            if "locate" in page.params.widgets:
                page.params.widgets["locate"].changed.connect(self._show_rows)
        return self._pages[method]

    def _on_model(self, index: int = 0) -> None:
        before, self.page = self.page, self._page(self.model.method)
        self.page.offer_model(self.model.checkpoint)
        if before is not self.page:
            self.page.take_over(before)
            before.show(False)
            self.page.show(True)
            self._show_rows()
            self.method_changed.emit()
        self.source_changed.emit()

    def _on_image(self, index: int = 0) -> None:
        self.scale.set_source(self.source)
        self._show_rows()
        self.source_changed.emit()

    def _show_rows(self, value: Any = None) -> None:
        locate, source = self.page.locate(), self.source
        planes = source is not None and bool(source.lead)
        points, boxes = locate == "points", locate == "boxes"
        self.show_fields({"planes": planes, "points": points, "boxes": boxes})


def _prompts(box: LayerBox, kind: str, action: str) -> Layer:
    layer, layers = box.layer, box.kind.__name__
    if layer is None or not len(layer.data):
        found = "no such layer" if layer is None else f"layer {layer.name!r} is empty"
        todo = f"Add a {layers} layer and {action}, or choose another way under Find cells."
        raise ValueError(f"Find cells is {FIND[kind]!r}, but there is {found}. {todo}")
    return layer
