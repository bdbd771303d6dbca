"""Centres of white blood cells for the automata, found by the bundled detector."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from napari_wbc_nca.io import zoo
from napari_wbc_nca.io.samples import WBC
from napari_wbc_nca.methods.propagation.detect import detect, view_of
from napari_wbc_nca.methods.propagation.network import load
from napari_wbc_nca.methods.propagation.params import PropagationParams

if TYPE_CHECKING:
    from napari_wbc_nca.methods.locate import Centre
    from napari_wbc_nca.methods.params import SegmentParams
    from napari_wbc_nca.methods.view import View
    from napari_wbc_nca.types import Progress

DETECTOR = "smear-cells"
"""Name of the bundled detector."""


def detected(
    view: View, diameter: float, params: SegmentParams
) -> Generator[Progress, None, list[Centre]]:
    """Centres in pixels of `view`, in raster order.

    Parameters
    ----------
    view
        The field at the scale of the automaton.
    diameter
        Of a white blood cell in image pixels.
    params
        Tiles and device.
    """
    checkpoint = zoo.resolve(DETECTOR)
    network = load(checkpoint, params.device)
    own = view_of(view.rgb, diameter / checkpoint.diameter, checkpoint.normalisation)
    chosen = PropagationParams(kinds=WBC, tile=params.tile)
    peaks = yield from detect(network, own, checkpoint, chosen)
    return [view.from_image(own.to_image((peak.y, peak.x))) for peak in peaks]
