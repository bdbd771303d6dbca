"""Change a part of a result by centroids that a person added or removed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.methods import registry

CONTRIBUTION = "contribution"
"""Name of a cell's map of what its pixels contribute to its detection."""

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.methods.params import PredictParams
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint, Image, Segmentation


def update(
    previous: Segmentation,
    image: Image,
    checkpoint: Checkpoint,
    params: PredictParams,
    added: npt.NDArray[Any],
    removed: Sequence[int],
) -> Generator[Progress, None, Segmentation]:
    """Segmentation in which only the cells that a change touches are made anew.

    Parameters
    ----------
    previous
        Result of a run or of an update, in the same session.
    image, checkpoint, params
        Those that it was made with.
    added
        ``(N, 2)`` y, x of new centroids in pixels.
    removed
        Labels of cells.

    Raises
    ------
    ValueError
        When the method cannot do this, or a centroid or label is not one of the image's.
    """
    method = registry.get(checkpoint.method)
    if not method.update:
        raise ValueError(f"{method.name} cannot change a part of a result; run it again")
    steps = registry.load(method.update)
    result: Segmentation = yield from steps(previous, image, checkpoint, params, added, removed)
    before = previous.provenance.get("corrections", ())
    correction = {"added": np.asarray(added).tolist(), "removed": [int(n) for n in removed]}
    provenance = {
        **previous.provenance,
        **result.provenance,
        "corrections": [*before, correction],
    }
    return replace(result, provenance=provenance)


def contribution(found: Segmentation, label: int) -> npt.NDArray[np.float32] | None:
    """``(Y, X)`` share that each pixel has in the detection of one cell; None where not kept."""
    if found.kept is None:
        return None
    numbers = {own: number for number, own in found.kept.labels.items()}
    cell = found.kept.cells.get(numbers.get(label))
    if cell is None or CONTRIBUTION not in cell.maps:
        return None
    values = cell.maps[CONTRIBUTION]
    plane = np.zeros(found.labels["cell"].shape, np.float32)
    y, x = (slice(at, at + size) for at, size in zip(cell.origin, values.shape, strict=True))
    plane[y, x] = values
    return plane
