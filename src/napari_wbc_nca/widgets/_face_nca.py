"""How the neural cellular automata look in the Segment widget."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.params import as_dict, from_mapping
from napari_wbc_nca.widgets._faces import CELLS, MAPS, Addition, Face

if TYPE_CHECKING:
    from napari_wbc_nca.widgets._run import Finished, Request


def again(first: Finished, projection: str) -> Request:
    """The request of the run `first` by another projection, where and at the scale it found."""
    request = first.request
    given = as_dict(request.params)
    scale = {"diameter": given["diameter"] or first.diameter()}
    params = from_mapping(NcaParams, given | scale | {"projection": projection})
    if params.locate not in ("evidence", "detector"):
        return replace(request, params=params)
    return replace(request, params=replace(params, locate="points"), points=first.centres())


FACE = Face(
    additions=(
        CELLS,
        Addition(
            "nucleus", "Nuclei", "Add nuclei as a labels layer with the cells' integers", "nuclei"
        ),
        replace(MAPS, tip="Add the response and the most relevant channels as images"),
    ),
    action="Segment WBCs",
    nothing="No white blood cell found",
    names=("projection", "locate"),
    texts={
        "projection": {"model": "the model's own"},
        "locate": {
            "evidence": "by evidence",
            "detector": "by the detector",
            "points": "at points",
            "boxes": "in boxes",
            "whole": "whole image is one cell",
        },
    },
    live="projection",
    again=again,
)
