"""Requests of the Segment widget, computed plane by plane, and what a run has finished."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.params import as_dict, from_mapping
from napari_wbc_nca.progress import Progress, map_progress
from napari_wbc_nca.types import Cell, Checkpoint, Segmentation
from napari_wbc_nca.widgets.planes import ImagePlanes, Index, on_plane

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.layers import Layer

    from napari_wbc_nca.methods.params import PredictParams
    from napari_wbc_nca.widgets.method_form import MethodDisplay


@dataclass(frozen=True, eq=False)
class Request:
    """What one run segments, by the model of a name or file, and the outputs that become layers.

    Points are ``(N, lead + 2)`` positions, see :func:`napari_wbc_nca.widgets.planes.to_plane`;
    boxes ``(N, lead + 4)``: leading axes, then y0, x0, y1, x1.
    """

    source: ImagePlanes
    planes: tuple[Index, ...]
    model: str
    params: PredictParams
    display: MethodDisplay
    outputs: frozenset[str]
    points: npt.NDArray[np.float64] | None = None
    boxes: npt.NDArray[np.float64] | None = None

    def prompts(self, index: Index) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
        """Return points and boxes on the plane at `index`, without leading axes."""
        points, boxes = (
            None if some is None else some[on_plane(some, index)][:, len(index) :]
            for some in (self.points, self.boxes)
        )
        return points, boxes


@dataclass(frozen=True, eq=False)
class Step:
    """Progress on a plane, counted among those of the request; its last step has the result."""

    plane: int
    checkpoint: Checkpoint
    progress: Progress
    segmentation: Segmentation | None = None


@dataclass(eq=False)
class Finished:
    """What a run has finished so far; grows with every step, and survives a cancel."""

    request: Request
    checkpoint: Checkpoint | None = None
    cells: dict[Index, list[Cell]] = field(default_factory=dict)
    done: dict[Index, Segmentation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._levels = _levels(self.request.source.layer)

    def is_current(self, layers: Iterable[Layer]) -> bool:
        """Return whether the image is still among the viewer's `layers`, with the pixels it had."""
        layer = self.request.source.layer
        return any(layer == other for other in layers) and all(
            now is then for now, then in zip(_levels(layer), self._levels, strict=False)
        )

    def notes(self) -> list[str]:
        """List what the methods said of the results, each sentence once."""
        found = (note for seg in self.done.values() for note in seg.provenance.get("notes", ()))
        return list(dict.fromkeys(map(str, found)))

    def add(self, step: Step) -> None:
        """Take in one step."""
        index = self.request.planes[step.plane]
        self.checkpoint = step.checkpoint
        self.cells.setdefault(index, []).extend(step.progress.cells)
        if step.segmentation is not None:
            self.done[index] = step.segmentation

    def progress(self, step: Step) -> Progress:
        """Return the progress after `step`: in planes, or that of the only plane."""
        if (planes := len(self.request.planes)) == 1:
            return step.progress
        finished = step.plane + (step.segmentation is not None)
        return Progress(finished, planes, step.progress.message)

    def centres(self) -> npt.NDArray[np.float64]:
        """Return all centres ``(N, lead + 2)``: leading axes, then y and x in pixels."""
        rows = [(*index, *cell.centre) for index, cells in self.cells.items() for cell in cells]
        return np.array(rows, float).reshape(-1, len(self.request.source.lead) + 2)

    def diameter(self) -> float:
        """Return the diameter in pixels that all planes were segmented at; 0 without one."""
        found = {seg.provenance.get("diameter", 0.0) for seg in self.done.values()}
        return float(found.pop()) if len(found) == 1 else 0.0

    def segmentations(self) -> dict[Index, Segmentation]:
        """Return results by plane; of an unfinished plane, its finished cells."""
        from napari_wbc_nca.workflow import segment

        found = dict(self.done)
        for index, cells in self.cells.items():
            if index not in found and cells and self.checkpoint is not None:
                image, prompts = self.request.source.image(index), self.request.prompts(index)
                params = self.request.params
                found[index] = segment.assemble(cells, image, self.checkpoint, params, *prompts)
        return found


def segment_planes(request: Request) -> Generator[Step, None, None]:
    """Segment the planes of `request` one by one; runs in a thread.

    The workflow is imported here: it loads torch, which would hold up the window for seconds.
    """
    from napari_wbc_nca.io import model_store
    from napari_wbc_nca.workflow import segment

    checkpoint = model_store.resolve(request.model)
    for number, index in enumerate(request.planes):
        points, boxes = request.prompts(index)
        if len(request.planes) > 1 and any(g is not None and not len(g) for g in (points, boxes)):
            continue  # nobody marked a cell on this plane
        image = request.source.image(index)
        steps = segment.run(image, checkpoint, request.params, points=points, boxes=boxes)
        step = partial(Step, number, checkpoint)
        segmentation = yield from map_progress(steps, step)
        yield step(Progress(1, 1, "done"), segmentation)


def estimate_diameter(request: Request) -> Generator[Progress | None, None, float]:
    """Measure the diameter in pixels of a typical white cell on the first plane, in a thread."""
    from napari_wbc_nca.io import model_store
    from napari_wbc_nca.workflow import segment

    yield None
    checkpoint = model_store.resolve(request.model)
    image = request.source.image(request.planes[0])
    return (yield from segment.estimate_diameter(image, checkpoint, request.params))


def _levels(layer: Layer) -> list[Any]:
    return list(layer.data) if layer.multiscale else [layer.data]


def with_projection(first: Finished, projection: str) -> Request:
    """Request the run `first` by another projection, where and at the scale it found cells."""
    request = first.request
    values = as_dict(request.params)
    scale = {"diameter": values["diameter"] or first.diameter()}
    values |= scale | {"projection": projection}
    points = request.points
    if values["locate"] in ("evidence", "detector"):
        values["locate"], points = "points", first.centres()
    return replace(request, params=from_mapping(type(request.params), values), points=points)
