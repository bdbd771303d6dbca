"""How instances from centroids look in the Segment widget."""

from __future__ import annotations

from dataclasses import replace

from napari_wbc_nca.widgets._faces import CELLS, MAPS, Addition, Face

CENTROIDS = Addition(
    "points",
    "Points",
    "Add centroids as points, with their likelihood",
    "centroids",
    "points",
    True,
)
CONTRIBUTIONS = Addition(
    "contribution",
    "Contributions",
    "Add labels of the cell that each pixel contributes most to",
    "contributions",
)
FACE = Face(
    additions=(
        CELLS,
        CENTROIDS,
        CONTRIBUTIONS,
        replace(MAPS, tip="Add the likelihood of centroids as an image for each kind of cell"),
    ),
    names=("kinds", "min_likelihood", "min_distance", "saliency", "locate"),
    captions={"min_likelihood": "Likelihood ≥", "min_distance": "Distance ≥"},
    texts={
        "saliency": {
            "model": "the model's own",
            "stain": "stain, against the background",
            "inverse": "dark on bright (phase contrast)",
            "generic": "any difference from the background",
        },
        "locate": {"detector": "by the detector", "points": "at points", "boxes": "in boxes"},
    },
    preview="napari_wbc_nca.widgets._propagation_preview:PropagationPreview",
    tools="napari_wbc_nca.widgets._propagation_tools:PropagationTools",
)
