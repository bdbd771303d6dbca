"""How a class for each pixel looks in the Segment widget."""

from __future__ import annotations

from dataclasses import replace

from napari_wbc_nca.widgets._faces import CELLS, MAPS, Addition, Face

CLASSES = Addition(
    "class", "Classes", "Add the class of each pixel as a labels layer", "classes", "classes", True
)
FACE = Face(
    additions=(CELLS, CLASSES, replace(MAPS, tip="Add the probability of each class as an image")),
    captions={"min_area": "Least area"},
    preview="napari_wbc_nca.widgets._cellmixer_preview:CellmixerPreview",
)
