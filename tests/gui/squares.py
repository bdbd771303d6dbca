"""A workflow that answers at once: dark squares are cells."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

import napari_wbc_nca
from napari_wbc_nca.io._files import file_sha256
from napari_wbc_nca.io.images import prepare, require_colours, to_rgb
from napari_wbc_nca.ops.labels import cell_table
from napari_wbc_nca.ops.overlaps import resolve_overlaps
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Cell, Checkpoint, Image, Segmentation

if TYPE_CHECKING:
    from napari_wbc_nca.methods.nca.params import NcaParams

MANIFEST = Path(napari_wbc_nca.__file__).parent / "napari.yaml"
CHECKPOINT = Checkpoint(
    method="nca_wss",
    architecture={},
    weights={},
    classes=("neutrophil", "lymphocyte"),
    diameter=32.0,
    pixel_size=0.4,
    window=64,
    normalisation={},
    name="squares",
)


def smear(*corners: tuple[int, int], shape: tuple[int, int] = (90, 120)) -> np.ndarray:
    """White ``(Y, X, 3)`` uint8 picture with a dark square of 20 pixels at each corner."""
    pixels = np.full((*shape, 3), 255, np.uint8)
    for y, x in corners:
        pixels[y : y + 20, x : x + 20] = 40
    return pixels


def square_cells(image: Image) -> list[Cell]:
    """Dark components; the first is a lymphocyte, the others are neutrophils."""
    marked, _ = ndimage.label(
        np.asarray(to_rgb(require_colours(prepare(image)).pixels)).max(axis=-1) < 128
    )
    cells = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(marked)):
        mask = marked[rows, columns] == number + 1
        name = CHECKPOINT.classes[number == 0]
        probabilities = {known: 0.9 if known == name else 0.1 for known in CHECKPOINT.classes}
        cells.append(
            Cell(
                centre=((rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2),
                origin=(rows.start, columns.start),
                mask=mask,
                nucleus=ndimage.binary_erosion(mask, iterations=4),
                response=mask.astype(np.float32),
                label_class=name,
                probabilities=probabilities,
                confidence=0.9,
                maps={"response": mask.astype(np.float32)},
            )
        )
    return cells


def assemble(
    cells: Sequence[Cell],
    image: Image,
    checkpoint: Checkpoint,
    params: NcaParams,
    points: np.ndarray | None = None,
    boxes: np.ndarray | None = None,
) -> Segmentation:
    settled = resolve_overlaps(cells, image.shape)
    labels = {name: np.zeros(image.shape, np.uint32) for name in ("cell", "nucleus")}
    for number, cell in enumerate(settled, start=1):
        for name, mask in (("cell", cell.mask), ("nucleus", cell.nucleus)):
            labels[name][tuple(np.argwhere(mask).T + np.reshape(cell.origin, (2, 1)))] = number
    maps = {"response": (labels["cell"] > 0).astype(np.float32)} if params.maps else {}
    cells_table = cell_table(settled, checkpoint.classes, image.pixel_size)
    given = {"points": points, "boxes": boxes}
    found: dict[str, Any] = {n: place.tolist() for n, place in given.items() if place is not None}
    if image.source:  # which ties results and corrections together
        source = {"source": image.source, "sha256": file_sha256(image.source)}
        found |= {"program": "napari-wbc-nca", "input": source}
    return Segmentation(labels, cells_table, maps, {"diameter": 20.0, **found})


@dataclass
class Workflow:
    """Stand-in for the workflow; a test sets what goes wrong, and reads what was asked."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    error: Exception | None = None
    slow: bool = False
    stuck: threading.Event | None = None
    go: threading.Event = field(default_factory=threading.Event)
    missed: list[dict[str, Any]] = field(default_factory=list)

    def run(
        self,
        image: Image,
        checkpoint: Checkpoint,
        params: NcaParams,
        points: np.ndarray | None = None,
        boxes: np.ndarray | None = None,
    ) -> Generator[Progress, None, Segmentation]:
        self.calls.append({"image": image, "params": params, "points": points, "boxes": boxes})
        yield Progress(0, 4, "finding cells")
        cells = square_cells(image)
        for number, cell in enumerate(cells):
            yield Progress(number + 1, len(cells) + 1, "segmenting cells", cells=(cell,))
            while self.slow and not self.go.is_set():
                time.sleep(0.02)
                yield Progress(number + 1, len(cells) + 1, "segmenting cells")
            if self.stuck is not None:
                self.stuck.wait(20)
            if self.error is not None:
                raise self.error
        found = assemble(cells, image, checkpoint, params, points, boxes)
        if self.missed:
            found = replace(found, provenance={**found.provenance, "likely_missed": self.missed})
        return found

    def estimate(self, *_: Any) -> Generator[Progress, None, float]:
        """Diameter of the squares; takes as long as a test wants."""
        yield Progress(0, 4, "Estimating the scale")
        while self.slow and not self.go.is_set():
            time.sleep(0.02)
            yield Progress(1, 4, "Estimating the scale")
        return 20.0
