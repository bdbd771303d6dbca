"""What a person reviewed in full: all of the image, or what lies inside of shapes."""

from __future__ import annotations

from collections.abc import Iterable

from napari.layers import Layer, Shapes
from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_wbc_nca.widgets.base import LayerBox
from napari_wbc_nca.widgets.layout import Column

ALL, INSIDE = "all of the image", "inside shapes:"


class Reviewed(Column):
    """Chooses the Shapes layer of what was reviewed, where it was not everything.

    Parameters
    ----------
    tip
        What becomes of all else.
    """

    def __init__(self, tip: str) -> None:
        super().__init__()
        self.mode = QComboBox()
        self.mode.addItems([ALL, INSIDE])
        self.mode.setToolTip(tip)
        self.mode.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.shapes = LayerBox(Shapes, "Shapes around what was reviewed in full")
        self.setToolTip(tip)
        self.rows.addWidget(self.mode)
        self.rows.addWidget(self.shapes)
        self.mode.currentTextChanged.connect(self._show)
        self._show(ALL)

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the viewer's layers."""
        self.shapes.offer(layers)

    def regions(self) -> Shapes | None:
        """Layer of reviewed regions; None where all was reviewed.

        Raises
        ------
        ValueError
            When regions are asked for and there are none.
        """
        if self.mode.currentText() == ALL:
            return None
        layer = self.shapes.layer
        if layer is None or not len(layer.data):
            raise ValueError(
                "Reviewed is 'inside shapes', but there are none. Draw around what was reviewed in "
                f"a Shapes layer, or set it to '{ALL}'."
            )
        return layer

    def _show(self, text: str) -> None:
        self.shapes.setVisible(text == INSIDE)
