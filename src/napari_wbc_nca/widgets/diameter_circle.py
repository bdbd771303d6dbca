"""A circle as large as a cell, over the image: what a diameter in pixels looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine

from napari_wbc_nca.widgets.planes import OURS, placement

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari import Viewer
    from napari.layers import Layer

    from napari_wbc_nca.widgets.planes import Source

CIRCLE = "cell diameter"
"""Name of the layer that shows the circle."""
SIDE = 256
"""Side of the circle's picture in pixels, whatever it is shown as."""
COLOUR = (255, 0, 255)


class Circle:
    """A circle over the middle of what the viewer shows; nothing can be edited in it.

    A picture, not a shape: OpenGL crashes where labels follow a shapes layer that was removed.

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
        place = circle_place(source, self._centre(source), diameter)
        if self.layer is not None and self.layer in self.viewer.layers:
            for name, value in place.items():
                setattr(self.layer, name, value)
            return
        active = self.viewer.layers.selection.active
        self.layer = self.viewer.add_image(
            ring(SIDE), rgb=True, name=CIRCLE, metadata={OURS: {}}, **place
        )
        self.viewer.layers.selection.active = active

    def hide(self) -> None:
        """Remove the circle; it only helps to choose."""
        if self.layer is not None and self.layer in self.viewer.layers:
            self.viewer.layers.remove(self.layer)
        self.layer = None

    def _centre(self, source: Source) -> npt.NDArray[np.float64]:
        """Middle of the view in pixels of `source`, or the pixel nearest to it."""
        world = np.zeros(source.layer.ndim)
        # The camera moved with napari 0.9.
        camera = getattr(self.viewer, "scene", self.viewer).camera
        world[source.axes[-2:]] = camera.center[-2:]
        inside = np.asarray(source.layer.world_to_data(world), float)[source.axes[-2:]]
        height, width = source.image(next(source.planes())).shape
        centre: npt.NDArray[np.float64] = np.clip(inside, 0, (height - 1, width - 1))
        return centre


def circle_place(source: Source, centre: npt.ArrayLike, diameter: float) -> dict[str, Any]:
    """Keyword arguments that put :func:`ring` on a plane.

    Parameters
    ----------
    source
        Planes that the circle is to be compared with.
    centre, diameter
        Of the circle, in pixels of `source`.
    """
    place = placement(source, None, flat=True)
    move = Affine(**{name: place[name] for name in ("scale", "translate", "rotate", "shear")})
    step = diameter / SIDE
    corner = np.asarray(centre, float) - diameter / 2 + step / 2
    return place | {"scale": place["scale"] * step, "translate": np.asarray(move(corner))}


def ring(side: int) -> npt.NDArray[np.uint8]:
    """Picture ``(side, side, 4)`` of a circle that touches all four edges.

    Examples
    --------
    >>> ring(64)[32, :2, 3].tolist(), ring(64)[32, 32, 3].tolist()
    ([255, 255], 0)
    """
    at = np.arange(side) - (side - 1) / 2
    radius = np.hypot(at[:, None], at[None, :])
    outer, width = side / 2, side / 32
    edge = np.clip(np.minimum(outer - radius, radius - (outer - width)), 0, 1)
    picture = np.empty((side, side, 4), np.uint8)
    picture[..., :3] = COLOUR
    picture[..., 3] = np.ceil(255 * edge)
    return picture
