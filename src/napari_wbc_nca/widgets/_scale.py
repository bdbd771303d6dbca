"""How large the cells are: from the pixel size, a typed diameter, or an estimate, as a circle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_wbc_nca.methods.params import SegmentParams
from napari_wbc_nca.widgets._forms import ParamsForm
from napari_wbc_nca.widgets._planes import OURS, pixel_size, placement

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari import Viewer
    from napari.layers import Layer

    from napari_wbc_nca.widgets._planes import Source

CIRCLE = "cell diameter"
"""Name of the layer that shows the circle."""
AUTOMATIC, PIXEL_SIZE, DIAMETER = "automatic", "pixel size", "cell diameter"


class ScaleBox(QWidget):
    """Chooses where the scale comes from; asks for an estimate, and is told it."""

    changed = Signal()
    estimate_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.mode = QComboBox()
        self.mode.addItems([AUTOMATIC, PIXEL_SIZE, DIAMETER])
        self.mode.setToolTip(
            "Scale of the image. A wrong scale is the commonest cause of bad masks. Automatic "
            "takes the pixel size of the layer where it is in µm, and estimates it elsewhere."
        )
        self.mode.setAccessibleName("Scale")
        self.form = ParamsForm(SegmentParams, ("pixel_size", "diameter"))
        self.estimate = QPushButton("Estimate")
        self.estimate.setToolTip("Measure the diameter of the cells in this image")
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self._arrange()
        self.mode.currentTextChanged.connect(self._on_mode)
        self.estimate.clicked.connect(self.estimate_wanted)
        for widget in self.form.widgets.values():
            widget.changed.connect(self._on_value)
        self._on_mode(AUTOMATIC)

    def params(self) -> dict[str, float]:
        """The two parameters of the workflow; 0 where the workflow is to find out."""
        shown = {AUTOMATIC: "", PIXEL_SIZE: "pixel_size", DIAMETER: "diameter"}
        values = self.form.values()
        return {name: values[name] if name == shown[self.choice] else 0.0 for name in values}

    @property
    def choice(self) -> str:
        """Where the scale comes from."""
        text: str = self.mode.currentText()
        return text

    def set_diameter(self, diameter: float) -> None:
        """Show an estimated diameter, in pixels, where it can be corrected."""
        self.form.widgets["diameter"].value = round(diameter, 1)
        self.mode.setCurrentText(DIAMETER)
        self.changed.emit()

    def set_source(self, source: Source | None) -> None:
        """Say what automatic means for `source`, and offer its pixel size for correction."""
        known = None if source is None else pixel_size(source)
        if known:
            self.form.widgets["pixel_size"].value = known
            self.hint.setText(f"{known:.3g} µm a pixel, from the layer")
        else:
            self.hint.setText("estimated from the image")

    def _arrange(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.addWidget(self.form.native("pixel_size"))
        row.addWidget(self.form.native("diameter"))
        row.addWidget(self.estimate)
        for part in (self.mode, self.hint):
            layout.addWidget(part)
        layout.addLayout(row)
        self.form.widgets["pixel_size"].native.setDecimals(4)
        self.form.widgets["diameter"].native.setDecimals(1)

    def _on_mode(self, mode: str) -> None:
        self.hint.setVisible(mode == AUTOMATIC)
        self.form.native("pixel_size").setVisible(mode == PIXEL_SIZE)
        self.form.native("diameter").setVisible(mode == DIAMETER)
        self.estimate.setVisible(mode == DIAMETER)
        self.changed.emit()

    def _on_value(self, value: Any = None) -> None:
        self.changed.emit()


class Circle:
    """A circle as large as a cell over the middle of what the viewer shows.

    Parameters
    ----------
    viewer
        Viewer that shows it.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.layer: Layer | None = None

    def show(self, source: Source, diameter: float) -> None:
        """Draw the circle, `diameter` pixels of `source` across, where it can be compared."""
        corners = circle_box(self._centre(source), diameter)
        self.hide()
        active = self.viewer.layers.selection.active
        self.layer = self.viewer.add_shapes(
            [corners],
            shape_type="ellipse",
            name=CIRCLE,
            face_color="transparent",
            edge_color="#ff00ff",
            edge_width=max(1.0, diameter / 40),
            metadata={OURS: {}},
            **placement(source, None, flat=True),
        )
        self.layer.editable = False
        self.viewer.layers.selection.active = active

    def hide(self) -> None:
        """Remove the circle; it only helps to choose."""
        if self.layer is not None and self.layer in self.viewer.layers:
            self.viewer.layers.remove(self.layer)
        self.layer = None

    def _centre(self, source: Source) -> npt.NDArray[np.float64]:
        world = np.zeros(source.layer.ndim)
        shown = self.viewer.camera.center[-2:]
        world[source.axes[-2:]] = shown
        inside = np.asarray(source.layer.world_to_data(world), float)[source.axes[-2:]]
        height, width = source.image(next(source.planes())).shape
        centre: npt.NDArray[np.float64] = np.clip(inside, 0, (height, width))
        return centre


def circle_box(centre: npt.ArrayLike, diameter: float) -> npt.NDArray[np.float64]:
    """Corners ``(4, 2)`` of the square around a circle.

    Examples
    --------
    >>> circle_box((5, 5), 4).tolist()
    [[3.0, 3.0], [3.0, 7.0], [7.0, 7.0], [7.0, 3.0]]
    """
    half = diameter / 2
    offsets = np.array([(-half, -half), (-half, half), (half, half), (half, -half)])
    corners: npt.NDArray[np.float64] = np.asarray(centre, float) + offsets
    return corners
