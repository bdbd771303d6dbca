"""A method as small as can be, with everything that a method may give: dark squares are cells."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from squares import CHECKPOINT, square_cells

from napari_wbc_nca.methods.params import PredictParams
from napari_wbc_nca.methods.registry import Method
from napari_wbc_nca.ops.labels import cell_table
from napari_wbc_nca.params import bounded
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Cell, Checkpoint, Image, Segmentation
from napari_wbc_nca.widgets.method_form import (
    CELLS,
    CENTROIDS,
    CLASSES,
    CONTRIBUTIONS,
    MAPS,
    MethodDisplay,
)


@dataclass(frozen=True)
class DotParams(PredictParams):
    """Parameters that no other method has."""

    locate: Literal["squares", "points"] = bounded("squares", "Where cells are")
    rim: int = bounded(2, "Width of the rim", 0, 9, "px")
    depth: float = bounded(0.5, "How dark it is", 0, 1, advanced=True)


METHOD = Method(
    "dots", "Dots", "dots:predict", "dots:train", DotParams, DotParams, update="dots:update"
)
FACE = MethodDisplay(
    (CELLS, CENTROIDS, CONTRIBUTIONS, CLASSES, MAPS),
    "Segment dots",
    "No dot found",
    tools="napari_wbc_nca.widgets.propagation_tools:PropagationTools",
)
DOTS = replace(
    CHECKPOINT, method="dots", classes=("background", "lymphocyte", "neutrophil"), name="dots"
)


@dataclass
class Kept:
    """Cells by number, and the integer of each."""

    cells: dict[int, Cell] = field(default_factory=dict)
    labels: dict[int, int] = field(default_factory=dict)


def predict(
    image: Image, checkpoint: Checkpoint, params: Any, points: Any = None, boxes: Any = None
) -> Generator[Progress, None, Segmentation]:
    """Squares as cells, their rims as contributions, their classes pixel by pixel."""
    yield Progress(0, 1, "finding dots")
    if params.depth == 0:
        raise ValueError("depth is 0; choose more")
    cells = [_known(cell) for cell in square_cells(image)]
    kept = Kept(dict(enumerate(cells)), {n: n + 1 for n in range(len(cells))})
    return collect(kept, image, checkpoint, params)


def update(
    previous: Segmentation,
    image: Image,
    checkpoint: Checkpoint,
    params: Any,
    added: np.ndarray,
    removed: Sequence[int],
) -> Generator[Progress, None, Segmentation]:
    """A lymphocyte of 10 pixels at each new point."""
    yield Progress(0, 1, "updating")
    cells, labels = dict(previous.kept.cells), dict(previous.kept.labels)
    for number in [n for n, label in labels.items() if label in removed]:
        del cells[number], labels[number]
    for y, x in added:
        if not (0 <= y < image.shape[0] and 0 <= x < image.shape[1]):
            raise ValueError(f"({y:.0f}, {x:.0f}) lies outside the image; remove it")
        number = max(cells, default=-1) + 1
        mask = np.ones((10, 10), bool)
        cell = replace(_lymphocyte(), centre=(y, x), origin=(int(y) - 5, int(x) - 5), mask=mask)
        cells[number] = _known(replace(cell, nucleus=~mask, response=mask.astype(np.float32)))
        labels[number] = max(labels.values(), default=0) + 1
    return collect(Kept(cells, labels), image, checkpoint, params)


def collect(kept: Kept, image: Image, checkpoint: Checkpoint, params: Any) -> Segmentation:
    """Everything that the cells give."""
    order = sorted(kept.labels, key=lambda n: kept.labels[n])
    rows = cell_table([kept.cells[n] for n in order], checkpoint.classes, image.pixel_size)
    rows["label"] = [kept.labels[n] for n in order]
    rows["likelihood"] = 0.75
    for axis, name in enumerate(("peak_y", "peak_x")):
        rows[name] = np.array([kept.cells[n].centre[axis] for n in order], float)
    labels = {name: np.zeros(image.shape, np.uint32) for name in ("cell", "class", "contribution")}
    for n in order:
        cell = kept.cells[n]
        part = tuple(
            slice(at, at + size) for at, size in zip(cell.origin, cell.mask.shape, strict=True)
        )
        labels["cell"][part][cell.mask] = kept.labels[n]
        labels["class"][part][cell.mask] = checkpoint.classes.index(cell.label_class)
        labels["contribution"][part][cell.mask & ~cell.nucleus] = kept.labels[n]
    maps = {"likelihood": (labels["cell"] > 0).astype(np.float32)} if params.maps else {}
    in_memory = isinstance(image.pixels, np.ndarray)
    return Segmentation(labels, rows, maps, {"diameter": 20.0}, kept if in_memory else None)


def _known(cell: Cell) -> Cell:
    probabilities = {"background": 0.0, **cell.probabilities}
    maps = {"contribution": cell.response * np.float32(0.5)}
    return replace(cell, probabilities=probabilities, maps=maps)


def _lymphocyte() -> Cell:
    blank = np.zeros((1, 1))
    return Cell(
        (0, 0), (0, 0), blank > 0, blank > 0, blank.astype(np.float32), "lymphocyte",
        {"neutrophil": 0.1, "lymphocyte": 0.9}, 0.9,
    )  # fmt: skip
