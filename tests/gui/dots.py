"""A method as small as can be, with everything that a method may give: dark squares are cells."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from squares import CHECKPOINT, assemble, square_cells

from napari_wbc_nca.methods.params import PredictParams
from napari_wbc_nca.methods.registry import Method
from napari_wbc_nca.params import Bounds
from napari_wbc_nca.types import Checkpoint, Image, Progress, Segmentation
from napari_wbc_nca.widgets._face_cellmixer import CLASSES
from napari_wbc_nca.widgets._face_propagation import CENTROIDS, CONTRIBUTIONS
from napari_wbc_nca.widgets._faces import CELLS, MAPS, Face


@dataclass(frozen=True)
class DotParams(PredictParams):
    """Parameters that no other method has."""

    locate: Annotated[Literal["squares", "points"], Bounds("Where cells are")] = "squares"
    rim: Annotated[int, Bounds("Width of the rim", "px", low=0, high=9)] = 2
    depth: Annotated[float, Bounds("How dark it is", low=0, high=1, advanced=True)] = 0.5


METHOD = Method("dots", "Dots", "dots:predict", "dots:train", DotParams, DotParams)
FACE = Face((CELLS, CENTROIDS, CONTRIBUTIONS, CLASSES, MAPS), "Segment dots", "No dot found")
DOTS = replace(
    CHECKPOINT, method="dots", classes=("background", "lymphocyte", "neutrophil"), name="dots"
)


def predict(
    image: Image, checkpoint: Checkpoint, params: Any, points: Any = None, boxes: Any = None
) -> Generator[Progress, None, Segmentation]:
    """Squares as cells, their rims as contributions, their classes pixel by pixel."""
    yield Progress(0, 1, "finding dots")
    if params.depth == 0:
        raise ValueError("depth is 0; choose more")
    found = assemble(square_cells(image), image, CHECKPOINT, params)
    cell = found.labels["cell"]
    number = [0, *map(checkpoint.classes.index, found.cells["class"])]
    labels = {
        "cell": cell,
        "class": np.asarray(number, np.uint32)[cell],
        "contribution": np.where(found.labels["nucleus"] > 0, 0, cell),
    }
    cells = found.cells.assign(likelihood=0.75)
    maps = {"likelihood": (cell > 0).astype(np.float32)} if params.maps else {}
    return Segmentation(labels, cells, maps, found.provenance)
