"""One cell's contribution over the image: a layer that follows what is selected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.widgets.planes import OURS, placement
from napari_wbc_nca.widgets.result_layers import stacked

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari import Viewer
    from napari.layers import Image

    from napari_wbc_nca.widgets.planes import Index
    from napari_wbc_nca.widgets.segment_run import Request

LOOK = {"colormap": "magma", "blending": "additive", "contrast_limits": (0, 1)}


class ContributionView:
    """A layer just above the image, of one cell at a time.

    Parameters
    ----------
    viewer
        Viewer that shows it.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.layer: Image | None = None

    def show(
        self, request: Request, index: Index, plane: npt.NDArray[np.float32], number: int
    ) -> None:
        """Show the contribution of cell `number`, which lies on the plane at `index`."""
        data = stacked(request, {index: plane}, np.float32)
        if self.layer is not None and self.layer in self.viewer.layers:
            self.layer.data = data
        else:
            self.layer = self._add(request, data)
        self.layer.name = f"{request.source.layer.name} contribution {number}"

    def hide(self) -> None:
        """Remove the layer."""
        if self.layer is not None and self.layer in self.viewer.layers:
            self.viewer.layers.remove(self.layer)
        self.layer = None

    def _add(self, request: Request, data: Any) -> Image:
        layers, source = self.viewer.layers, request.source
        active = layers.selection.active
        place = placement(source, request.planes[0] if len(request.planes) == 1 else None)
        added: Image = self.viewer.add_image(data, metadata={OURS: {}}, **LOOK, **place)
        if source.layer in layers:
            layers.move(len(layers) - 1, layers.index(source.layer) + 1)
        layers.selection.active = active
        return added
