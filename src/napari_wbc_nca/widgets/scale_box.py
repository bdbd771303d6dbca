"""Box of the scale: pixel size, typed diameter or estimate, and a circle as large as a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton, QWidget

from napari_wbc_nca.methods.params import PredictParams
from napari_wbc_nca.widgets.base import TemporaryLayer
from napari_wbc_nca.widgets.layout import choice_box, fill, with_tip
from napari_wbc_nca.widgets.params_form import ParamsForm
from napari_wbc_nca.widgets.planes import OURS, pixel_size, placement

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.widgets.planes import ImagePlanes


AUTOMATIC, PIXEL_SIZE, DIAMETER = "automatic", "pixel size", "cell diameter"


class ScaleBox(QWidget):
    """Details of the scale and a button that asks for an estimate; `mode` stands a row above."""

    changed = Signal()
    estimate_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.mode = choice_box(
            (AUTOMATIC, PIXEL_SIZE, DIAMETER),
            "Scale of the image. A wrong scale is the commonest cause of bad masks. Automatic "
            "takes the pixel size of the layer where it is in µm, and estimates it elsewhere.",
        )
        self.form = ParamsForm(PredictParams, ("pixel_size", "diameter"))
        self.form.widgets["pixel_size"].native.setDecimals(4)
        self.form.widgets["diameter"].native.setDecimals(1)
        self.estimate = QPushButton("Estimate")
        self.estimate.setToolTip("Measure the diameter of the cells in this image")
        tip = "Show a circle as large as a cell over the image, as soon as its size is known"
        self.circle = with_tip(QCheckBox("Circle"), tip)
        self.hint = QLabel()
        self.hint.setMinimumWidth(1)
        self._pixel_size = self._found = 0.0
        sizes = (self.form.native(name) for name in ("pixel_size", "diameter"))
        fill(self, self.hint, *sizes, self.estimate, self.circle)
        self.mode.currentTextChanged.connect(self._on_mode)
        self.estimate.clicked.connect(self.estimate_clicked)
        for widget in self.form.widgets.values():
            widget.changed.connect(lambda _: self.changed.emit())
        self._on_mode(AUTOMATIC)

    def params(self) -> dict[str, float]:
        """Return the two parameters of the workflow; 0 where the workflow is to find out."""
        shown = {PIXEL_SIZE: "pixel_size", DIAMETER: "diameter"}.get(self.mode.currentText())
        return {n: value if n == shown else 0.0 for n, value in self.form.values().items()}

    def diameter(self, cell: float) -> float:
        """Return the diameter of a cell in pixels, as chosen or in the last run; 0 if unknown.

        `cell` is that of the model's cells in µm; 0 where a pixel size does not give their scale.
        """
        given = self.params()
        size = given["pixel_size"] or self._pixel_size
        return given["diameter"] or (cell / size if size and cell else self._found)

    def set_diameter(self, diameter: float) -> None:
        """Show an estimated diameter, in pixels, where it can be corrected."""
        self.form.widgets["diameter"].value = round(diameter, 1)
        self.mode.setCurrentText(DIAMETER)
        self.circle.setChecked(True)
        self.changed.emit()

    def set_found(self, diameter: float) -> None:
        """Say which diameter, in pixels, the last run took; 0 where it took none."""
        self._found = diameter
        if diameter:
            self.hint.setText(f"{diameter:.0f} px in the last run")

    def set_source(self, source: ImagePlanes | None) -> None:
        """Say what automatic means for `source`, and offer its pixel size for correction."""
        known = None if source is None else pixel_size(source)
        self._pixel_size, self._found = known or 0.0, 0.0
        self.hint.setText("estimated from the image")
        if known:
            self.form.widgets["pixel_size"].value = known
            self.hint.setText(f"{known:.3g} µm a pixel, from the layer")

    def _on_mode(self, mode: str) -> None:
        self.hint.setVisible(mode == AUTOMATIC)
        self.form.native("pixel_size").setVisible(mode == PIXEL_SIZE)
        self.form.native("diameter").setVisible(mode == DIAMETER)
        self.estimate.setVisible(mode == DIAMETER)
        self.circle.setChecked(mode != AUTOMATIC)
        self.changed.emit()


CIRCLE = "cell diameter"
"""Name of the layer that shows the circle."""
SIDE = 256
"""Side of the circle's picture in pixels, whatever it is shown as."""
COLOUR = (255, 0, 255)


class Circle(TemporaryLayer):
    """A circle over the middle of what the viewer shows; nothing can be edited in it.

    A picture, not a shape: OpenGL crashes where labels follow a shapes layer that was removed.
    """

    def show(self, source: ImagePlanes, diameter: float) -> None:
        """Draw the circle, `diameter` pixels of `source` across, where it can be compared."""
        place = circle_place(source, self._centre(source), diameter)
        self.draw("image", ring(SIDE), place, rgb=True, name=CIRCLE, metadata={OURS: {}})

    def _centre(self, source: ImagePlanes) -> npt.NDArray[np.float64]:
        """Return the middle of the view in pixels of `source`, or the pixel nearest to it."""
        world = np.zeros(source.layer.ndim)
        # The camera moved with napari 0.9.
        camera = getattr(self.viewer, "scene", self.viewer).camera
        world[source.axes[-2:]] = camera.center[-2:]
        inside = np.asarray(source.layer.world_to_data(world), float)[source.axes[-2:]]
        centre: npt.NDArray[np.float64] = np.clip(inside, 0, np.subtract(source.shape, 1))
        return centre


def circle_place(source: ImagePlanes, centre: npt.ArrayLike, diameter: float) -> dict[str, Any]:
    """Place :func:`ring` on a plane; `centre` (y, x) and `diameter` in pixels of `source`."""
    place = placement(source, None, flat=True)
    move = Affine(**{name: place[name] for name in ("scale", "translate", "rotate", "shear")})
    step = diameter / SIDE
    corner = np.asarray(centre, float) - diameter / 2 + step / 2
    return place | {"scale": place["scale"] * step, "translate": np.asarray(move(corner))}


def ring(side: int) -> npt.NDArray[np.uint8]:
    """Draw a picture ``(side, side, 4)`` of a circle that touches all four edges.

    Examples
    --------
    >>> ring(64)[32, :2, 3].tolist(), ring(64)[32, 32, 3].tolist()
    ([255, 255], 0)
    """
    at = np.arange(side) - (side - 1) / 2
    radius = np.hypot(at[:, None], at[None, :])
    outer, width = side / 2, side / 32
    edge = np.clip(np.minimum(outer - radius, radius - (outer - width)), 0, 1)
    picture = np.full((side, side, 4), (*COLOUR, 0), np.uint8)
    picture[..., 3] = np.ceil(255 * edge)
    return picture
