"""Segment one image with any model, and record how it was done."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.io import model_store
from napari_wbc_nca.io._files import file_sha256
from napari_wbc_nca.io.images import as_image
from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.colours import correct_channel_order
from napari_wbc_nca.methods.field import open_field
from napari_wbc_nca.methods.result import CONTRIBUTION, collect
from napari_wbc_nca.methods.scale import image_scale
from napari_wbc_nca.models.build import choose_device, load_network
from napari_wbc_nca.params import as_dict, check, from_mapping
from napari_wbc_nca.progress import Progress, run_to_end
from napari_wbc_nca.types import Cell, Checkpoint, Image, Segmentation

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.methods.params import PredictParams


def segment(image: Any, model: str | Path | Checkpoint, **params: Any) -> Segmentation:
    """Segment and type the white blood cells of one image.

    Parameters
    ----------
    image
        File, array ``(Y, X, 3)`` or :class:`~napari_wbc_nca.types.Image`.
    model
        Name of a bundled or downloaded model, file, or checkpoint.
    **params
        Fields of the method's prediction parameters, and `points` ``(N, 2)`` or `boxes`
        ``(N, 4)`` in pixels.

    Returns
    -------
    Segmentation
        Labels, table of cells, maps and provenance.

    Raises
    ------
    ValueError
        For an image, a model or a parameter that cannot be used, saying what to do.

    Examples
    --------
    >>> from napari_wbc_nca.io.images import sample_path  # doctest: +SKIP
    >>> segment(sample_path("smear-1"), "wbc-smear").cells[["label", "class"]]  # doctest: +SKIP
    """
    checkpoint = model if isinstance(model, Checkpoint) else model_store.resolve(model)
    given = {name: params.pop(name, None) for name in ("points", "boxes")}
    chosen: PredictParams = from_mapping(registry.get(checkpoint.method).predict_params, params)
    return run_to_end(run(as_image(image), checkpoint, chosen, **given))


def run(
    image: Image,
    checkpoint: Checkpoint,
    params: PredictParams,
    points: npt.NDArray[Any] | None = None,
    boxes: npt.NDArray[Any] | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Segment an image as :func:`segment`; each step holds the cells finished since the last."""
    check(params)
    file_sha256(image.source)  # here, in whatever thread this is; a cancelled run asks again
    predict = registry.load(registry.get(checkpoint.method).predict)
    image, order, said = correct_channel_order(image, checkpoint, params)
    result: Segmentation = yield from predict(image, checkpoint, params, points=points, boxes=boxes)
    found = {**result.provenance, **_prompt_positions(points, boxes), "channel_order": order}
    if notes := [*said, *found.get("notes", ())]:
        found["notes"] = notes
    return replace(result, provenance=provenance(image, checkpoint, params, found))


def assemble(
    cells: Sequence[Cell],
    image: Image,
    checkpoint: Checkpoint,
    params: PredictParams,
    points: npt.NDArray[Any] | None = None,
    boxes: npt.NDArray[Any] | None = None,
) -> Segmentation:
    """Assemble the segmentation of the `cells` that a cancelled run had finished."""
    result = collect(cells, image, checkpoint, params)
    found = {**result.provenance, **_prompt_positions(points, boxes), "complete": False}
    return replace(result, provenance=provenance(image, checkpoint, params, found))


def _prompt_positions(*places: npt.NDArray[Any] | None) -> dict[str, Any]:
    """Return the points and boxes that came with a call, as JSON has them."""
    named = zip(("points", "boxes"), places, strict=True)
    return {name: np.asarray(given).tolist() for name, given in named if given is not None}


def estimate_diameter(
    image: Image, checkpoint: Checkpoint, params: PredictParams
) -> Generator[Progress, None, float]:
    """Estimate the diameter in pixels that a run with these parameters would use.

    An image that cannot be used raises an ImageError, which says what to do.
    """
    image, _, _ = correct_channel_order(image, checkpoint, params)
    checkpoint = model_store.finder_of(checkpoint)
    image, field = open_field(image, checkpoint)
    network = load_network(checkpoint, params.device)
    scale = yield from image_scale(field, network, checkpoint, params, image.pixel_size)
    return scale.diameter


def provenance(
    image: Image, checkpoint: Checkpoint, params: PredictParams, found: Any
) -> dict[str, Any]:
    """Record everything needed to repeat a run, and what the run `found` by itself."""
    return {
        "program": f"napari-wbc-nca {version('napari-wbc-nca')}",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "input": {
            "name": image.name,
            "source": image.source,
            "shape": list(image.shape),
            "pixel_size": image.pixel_size,
            "sha256": file_sha256(image.source),
        },
        "model": {
            "name": checkpoint.name,
            "method": checkpoint.method,
            "classes": list(checkpoint.classes),
            "sha256": checkpoint.sha256,
        },
        "parameters": as_dict(params),
        "device": choose_device(params.device).type,
        **found,
    }


def update(
    previous: Segmentation,
    image: Image,
    checkpoint: Checkpoint,
    params: PredictParams,
    added: npt.NDArray[Any],
    removed: Sequence[int],
) -> Generator[Progress, None, Segmentation]:
    """Add and remove centroids of a result; only the cells that this touches are computed again.

    `previous` is the result of a run or of an update in the same session, `added` are ``(N, 2)`` y,
    x of new centroids in pixels, and `removed` labels of cells. Where the method cannot do this, or
    a centroid or label is not one of the image's, a ValueError is raised.
    """
    method = registry.get(checkpoint.method)
    if not method.update:
        raise ValueError(f"{method.name} cannot change a part of a result; run it again")
    steps = registry.load(method.update)
    order = previous.provenance.get("channel_order", params.channel_order)
    image, _, _ = correct_channel_order(image, checkpoint, replace(params, channel_order=order))
    result: Segmentation = yield from steps(previous, image, checkpoint, params, added, removed)
    before = previous.provenance.get("corrections", ())
    correction = {"added": np.asarray(added).tolist(), "removed": [int(n) for n in removed]}
    record = {**previous.provenance, **result.provenance, "corrections": [*before, correction]}
    return replace(result, provenance=record)


def contribution(found: Segmentation, label: int) -> npt.NDArray[np.float32] | None:
    """Map the share ``(Y, X)`` of each pixel in the detection of one cell; None where not kept."""
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
