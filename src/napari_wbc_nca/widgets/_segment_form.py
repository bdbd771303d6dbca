"""The form of the Segment widget: it turns what is chosen into a request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from napari.layers import Image, Layer, Points, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QVBoxLayout, QWidget

from napari_wbc_nca.methods.params import SegmentParams
from napari_wbc_nca.params import from_mapping
from napari_wbc_nca.widgets._base import LayerBox
from napari_wbc_nca.widgets._forms import ParamsForm, add_row, form_layout
from napari_wbc_nca.widgets._layout import Section, row
from napari_wbc_nca.widgets._model import ModelBox
from napari_wbc_nca.widgets._planes import (
    OURS,
    Source,
    boxes_in,
    current_index,
    source_of,
    to_plane,
)
from napari_wbc_nca.widgets._run import Request
from napari_wbc_nca.widgets._scale import ScaleBox

ADVANCED = ("seed", "fire_rate", "tile", "batch")
HIDDEN = {"locate": ("detector",)}
"""Choices whose model does not exist yet."""
TEXTS = {
    "projection": {"model": "the model's own"},
    "locate": {
        "evidence": "by evidence",
        "points": "at points",
        "boxes": "in boxes",
        "whole": "whole image is one cell",
    },
}
"""Choices whose names say too little by themselves."""
CURRENT, ALL = "current plane", "all planes"


class SegmentForm(QWidget):
    """Everything that can be chosen before a run."""

    projection_changed = Signal(str)
    source_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.image = LayerBox(Image, "Image layer that is segmented")
        self.model = ModelBox()
        self.wanted = {
            "cell": _check("Cells", "Add whole cells as a labels layer", on=True),
            "nucleus": _check("Nuclei", "Add nuclei as a labels layer with the cells' integers"),
            "maps": _check("Maps", "Add the response and the most relevant channels as images"),
        }
        names = ("projection", "locate", "device", *ADVANCED)
        self.params = ParamsForm(SegmentParams, names, HIDDEN, TEXTS)
        self.points = LayerBox(Points, "One point on each cell")
        self.boxes = LayerBox(Shapes, "One shape around each cell")
        self.scale = ScaleBox()
        self.planes = QComboBox()
        self.planes.addItems([CURRENT, ALL])
        self.planes.setToolTip("Which planes of a time series or Z stack are segmented")
        self._rows: dict[str, Sequence[QWidget]] = {}
        self._arrange()
        self.params.widgets["projection"].changed.connect(self._on_projection)
        self.params.widgets["locate"].changed.connect(self._show_rows)
        self.image.currentIndexChanged.connect(self._on_image)
        self._on_image()

    @property
    def source(self) -> Source | None:
        """Planes of the image that is chosen; None without one."""
        layer = self.image.layer
        return None if layer is None else source_of(layer)

    def offer(self, layers: Iterable[Layer], chosen: Layer | None = None) -> None:
        """Offer the viewer's layers, but not those we made."""
        foreign = [layer for layer in layers if OURS not in layer.metadata]
        for box in (self.image, self.points, self.boxes):
            box.offer(foreign, chosen)

    def request(self, point: Sequence[float]) -> Request:
        """Everything that is chosen, with the viewer's sliders at `point`.

        Raises
        ------
        ValueError
            When something is missing, saying what to do.
        """
        source = self.source
        if source is None:
            raise ValueError(
                "There is no image to segment. Open one, or take one from File > Open Sample > "
                "White blood cells."
            )
        wanted = frozenset(name for name, box in self.wanted.items() if box.isChecked())
        if not wanted:
            raise ValueError("Nothing is to be added. Tick Cells, Nuclei or Maps.")
        params = from_mapping(SegmentParams, self._values(wanted))
        points = boxes = None
        if params.locate == "points":
            layer = _given(self.points, "Points", "put a point on each cell")
            points = to_plane(source, layer, np.asarray(layer.data, float))
        if params.locate == "boxes":
            layer = _given(self.boxes, "Shapes", "draw a rectangle around each cell")
            boxes = boxes_in(source, layer)
        whole = self.planes.currentText() == ALL or not source.lead
        planes = tuple(source.planes()) if whole else (current_index(source, point),)
        return Request(source, planes, self.model.model, params, wanted, points, boxes)

    def _values(self, wanted: Iterable[str]) -> dict[str, Any]:
        return self.params.values() | self.scale.params() | {"maps": "maps" in wanted}

    def _arrange(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        fields = QWidget()
        form = form_layout(fields)
        add_row(form, "Image", self.image)
        self._add_optional(form, "planes", "Planes", self.planes)
        add_row(form, "Model", self.model)
        add_row(form, "Add", row(*self.wanted.values()))
        self.params.add_to(form, ("projection", "locate"))
        self._add_optional(form, "points", "Points", self.points)
        self._add_optional(form, "boxes", "Boxes", self.boxes)
        add_row(form, "Scale", self.scale.mode)
        form.addRow("", self.scale)
        self.params.add_to(form, ("device",))
        layout.addWidget(fields)
        details = QWidget()
        self.params.add_to(form_layout(details), ADVANCED)
        self.advanced = Section("Advanced", details)
        layout.addWidget(self.advanced)

    def _add_optional(self, form: QFormLayout, name: str, text: str, widget: QWidget) -> None:
        add_row(form, text, widget)
        self._rows[name] = (form.labelForField(widget), widget)

    def _on_image(self, index: int = 0) -> None:
        self.scale.set_source(self.source)
        self._show_rows()
        self.source_changed.emit()

    def _on_projection(self, name: str) -> None:
        self.projection_changed.emit(name)

    def _show_rows(self, value: Any = None) -> None:
        locate = self.params.values()["locate"]
        source = self.source
        shown = {
            "planes": source is not None and bool(source.lead),
            "points": locate == "points",
            "boxes": locate == "boxes",
        }
        for name, widgets in self._rows.items():
            for widget in widgets:
                widget.setVisible(shown[name])


def _check(text: str, tip: str, *, on: bool = False) -> QCheckBox:
    box = QCheckBox(text)
    box.setToolTip(tip)
    box.setChecked(on)
    return box


def _given(box: LayerBox, kind: str, deed: str) -> Layer:
    layer = box.layer
    if layer is None or not len(layer.data):
        found = "no such layer" if layer is None else f"layer {layer.name!r} is empty"
        raise ValueError(
            f"Locate is {kind.lower()!r}, but there is {found}. Add a {kind} layer and {deed}, "
            f"or set Locate to evidence."
        )
    return layer
