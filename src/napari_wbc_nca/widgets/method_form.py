"""The rows of the form that belong to one method: what it can add, and its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qtpy.QtWidgets import QCheckBox, QWidget

from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.params import PredictParams
from napari_wbc_nca.params import fields, from_mapping
from napari_wbc_nca.widgets.layout import grid
from napari_wbc_nca.widgets.method_display import display_of
from napari_wbc_nca.widgets.params_form import ParamsForm, add_row, form_layout

ELSEWHERE = ("pixel_size", "diameter", "maps")
"""Parameters with controls of their own: the scale, and the check box of the maps."""
SHARED = tuple(field.name for field in fields(PredictParams) if field.name not in ELSEWHERE)
"""Parameters that all methods have, whose values go along to another method."""


class MethodPage:
    """Rows of one method, in three parts, since other rows stand between them.

    Parameters
    ----------
    method
        Name in the registry.

    Attributes
    ----------
    wanted
        Check boxes of what can be added, by name.
    params
        All parameters that have a row.
    main, device, details
        The parts: what is added and how; the device; what stands under Advanced.
    """

    def __init__(self, method: str) -> None:
        self.method = method
        self.face = display_of(method)
        self.cls: type[PredictParams] = registry.get(method).predict_params
        self.wanted = {item.name: _check(item) for item in self.face.additions}
        shown = [field for field in fields(self.cls) if field.name not in ELSEWHERE]
        plain = [f.name for f in shown if not f.bounds.advanced and f.name not in SHARED]
        main = self.face.names or plain
        self.params = ParamsForm(
            self.cls,
            [field.name for field in shown],
            self.face.hidden,
            self.face.texts,
            self.face.captions,
        )
        self.main, self.device, self.details = QWidget(), QWidget(), QWidget()
        form = form_layout(self.main)
        add_row(form, "Add", grid([*self.wanted.values()]))
        self.params.add_to(form, main)
        self.params.add_to(form_layout(self.device), ["device"])
        rest = [f.name for f in shown if f.name not in main and f.name != "device"]
        self.params.add_to(form_layout(self.details), rest)

    @property
    def parts(self) -> tuple[QWidget, ...]:
        """The parts of the form, from top to bottom."""
        return self.main, self.device, self.details

    @property
    def ticked(self) -> frozenset[str]:
        """Names of what is to be added."""
        return frozenset(name for name, box in self.wanted.items() if box.isChecked())

    def show(self, shown: bool) -> None:
        """Show or hide all parts."""
        for part in self.parts:
            part.setVisible(shown)

    def locate(self) -> str:
        """How cells are found; empty where the method does not ask."""
        return str(self.params.values().get("locate", ""))

    def take_over(self, other: MethodPage) -> None:
        """Take the values of the parameters that all methods share."""
        for name in SHARED:
            self.params.widgets[name].value = other.params.widgets[name].value

    def make(self, scale: Mapping[str, float]) -> PredictParams:
        """Checked parameters as they are shown, with those of the `scale`."""
        wanted = {"maps": "maps" in self.ticked}
        return from_mapping(self.cls, {**self.params.values(), **scale, **wanted})


def captions(boxes: Iterable[QCheckBox]) -> str:
    """Texts of check boxes as a sentence lists them."""
    *first, last = (box.text() for box in boxes)
    return f"{', '.join(first)} or {last}" if first else last


def _check(item: Any) -> QCheckBox:
    box = QCheckBox(item.caption)
    box.setToolTip(item.tip)
    box.setChecked(item.on)
    return box
