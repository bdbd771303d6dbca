"""Form rows made from a params dataclass: label, unit, bounds and tooltip have one owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from magicgui.widgets import create_widget
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QGridLayout, QSizePolicy, QWidget

from napari_wbc_nca.params import Parameter, fields
from napari_wbc_nca.widgets.layout import add_row

CLASS_FIELD, ALL = "kinds", "all"
"""Parameter that names classes of the model, and its value for all of them."""
LARGEST = 2**31 - 1
"""Largest value that a spin box without an upper bound takes."""


def caption(field: Parameter) -> str:
    """Return the label of a parameter, with its unit where the widget cannot show one.

    Examples
    --------
    >>> from napari_wbc_nca.methods.params import SegmentParams
    >>> [caption(field) for field in fields(SegmentParams) if field.name in ("tile", "fire_rate")]
    ['Fire rate', 'Tile (px)']
    """
    unit = f" ({field.bounds.unit})" if field.type is int and field.bounds.unit else ""
    return field.name.replace("_", " ").capitalize() + unit


def options(field: Parameter, texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments with which magicgui draws `field`; `texts` are those of its choices."""
    if field.choices:
        return {"choices": [(texts.get(choice, choice), choice) for choice in field.choices]}
    if field.type not in (int, float):
        return {}
    low = -LARGEST if field.bounds.low is None else field.bounds.low
    high = LARGEST if field.bounds.high is None else field.bounds.high
    return {"min": field.type(low), "max": field.type(high)}


def decimals(value: float) -> int:
    """Count the decimals that a spin box needs to show `value`, and two at least.

    Examples
    --------
    >>> decimals(0.5), decimals(0.001), decimals(1e-4), decimals(3.0)
    (2, 3, 4, 2)
    """
    exponent = Decimal(repr(value)).as_tuple().exponent
    return max(2, -exponent if isinstance(exponent, int) else 0)


def widget_for(field: Parameter, texts: Mapping[str, str]) -> Any:
    """Make magicgui's widget that edits `field`, at its default, with its help as the tooltip."""
    drawn = options(field, texts)
    widget: Any = create_widget(annotation=field.type, name=field.name, options=drawn)
    native = widget.native
    if field.type is float:
        native.setDecimals(decimals(field.default))
    widget.value = field.default
    native.setToolTip(field.bounds.help)
    native.setAccessibleName(caption(field))
    native.setAccessibleDescription(field.bounds.help)
    if field.type is bool:
        native.setText("")  # the row's label says it
    if texts:
        for number, choice in enumerate(widget.choices):  # the papers' terms
            tip = f"{field.name} = {choice}: {field.bounds.help}"
            native.setItemData(number, tip, Qt.ItemDataRole.ToolTipRole)
    if field.type is float and field.bounds.unit:
        native.setSuffix(f" {field.bounds.unit}")
    native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return widget


class ClassChecks(QWidget):
    """Check boxes of a model's classes; has what a form uses of magicgui's widgets."""

    changed = Signal(str)

    def __init__(self, field: Parameter) -> None:
        super().__init__()
        self.boxes: dict[str, QCheckBox] = {}
        self.setToolTip(field.bounds.help)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)

    @property
    def native(self) -> QWidget:
        """Qt widget of the boxes."""
        return self

    @property
    def value(self) -> str:
        """Names of the ticked classes, joined by commas; ``all`` where all are."""
        ticked = [name for name, box in self.boxes.items() if box.isChecked()]
        return ALL if len(ticked) == len(self.boxes) else ",".join(ticked)

    @value.setter
    def value(self, names: str) -> None:
        known = [name.strip() for name in names.split(",")]
        for name, box in self.boxes.items():
            box.setChecked(names == ALL or name in known)

    def offer(self, names: Sequence[str]) -> None:
        """Offer `names`, all ticked, unless they are offered already."""
        if list(names) == list(self.boxes):
            return
        for box in self.boxes.values():
            box.deleteLater()
        self.boxes = {name: QCheckBox(name) for name in names}
        for number, (name, box) in enumerate(self.boxes.items()):
            box.setChecked(True)
            box.setAccessibleName(name)
            box.toggled.connect(lambda _: self.changed.emit(self.value))
            self._grid.addWidget(box, number // 2, number % 2, Qt.AlignmentFlag.AlignLeft)
        self.changed.emit(self.value)


class ParamsForm:
    """Rows for the fields `names` of the params dataclass `cls`.

    `texts` holds the words of a field's choices, `captions` labels other than a field's name.
    """

    def __init__(
        self,
        cls: type,
        names: Iterable[str],
        texts: Mapping[str, Mapping[str, str]] | None = None,
        captions: Mapping[str, str] | None = None,
    ) -> None:
        wanted, texts = set(names), texts or {}
        shown = [field for field in fields(cls) if field.name in wanted]
        self.captions = {field.name: caption(field) for field in shown} | dict(captions or {})
        self.widgets: dict[str, Any] = {
            field.name: ClassChecks(field)
            if field.name == CLASS_FIELD
            else widget_for(field, texts.get(field.name, {}))
            for field in shown
        }
        if unknown := wanted - set(self.widgets):
            raise ValueError(f"{cls.__name__} has no field {', '.join(sorted(unknown))}")

    def native(self, name: str) -> Any:
        """Return the Qt widget that edits field `name`."""
        return self.widgets[name].native

    def values(self) -> dict[str, Any]:
        """Return field name to the value shown."""
        return {name: widget.value for name, widget in self.widgets.items()}

    def add_to(self, layout: QFormLayout, names: Iterable[str]) -> None:
        """Append rows for `names` to `layout`."""
        for name in names:
            add_row(layout, self.captions[name], self.native(name))
