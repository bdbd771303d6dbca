"""Prediction that both NCA methods share: scale, centres, cells."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, cast

from napari_wbc_nca.cell_types import NONE
from napari_wbc_nca.methods.field import open_field
from napari_wbc_nca.methods.nca.cells import CellSegmenter
from napari_wbc_nca.methods.nca.locate import Centre, locate, locate_by_detector
from napari_wbc_nca.methods.prompts import prompt_centres
from napari_wbc_nca.methods.result import collect
from napari_wbc_nca.methods.scale import image_diameter
from napari_wbc_nca.models.build import load_network

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.methods.prompts import Boxes, Points
    from napari_wbc_nca.models.nca import NCA
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint, Image, Segmentation

_SMALLEST_TILE = 16  # model pixels


def predict(
    image: Image,
    checkpoint: Checkpoint,
    params: NcaParams,
    points: Points | None = None,
    boxes: Boxes | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Segment and type the white blood cells of one image.

    Parameters
    ----------
    image
        A field or a single-cell crop, three colours.
    points
        ``(N, 2)`` y, x in pixels, for ``locate="points"``.
    boxes
        ``(N, 4)`` y0, x0, y1, x1 in pixels, for ``locate="boxes"``.

    Yields
    ------
    Progress
        Every few steps of a rollout, with the cells finished since the last.

    Raises
    ------
    ValueError
        For an image, points or boxes that cannot be used, or a model that cannot find cells by
        itself, saying what to do.
    """
    image, field = open_field(image, checkpoint)
    _check_finds(checkpoint, params)
    prompts = prompt_centres(params.locate, points, boxes, image.shape, "evidence")
    network = cast("NCA", load_network(checkpoint, params.device))
    diameter = yield from image_diameter(
        field, network, checkpoint, params, image.pixel_size, boxes
    )
    view = field.rescaled(diameter / checkpoint.diameter)
    if prompts is None:
        centres = yield from _locate(network, view, checkpoint, params)
    else:
        centres = [view.from_image((y, x)) for y, x in prompts.tolist()]
    segmenter = CellSegmenter(network, checkpoint, params, view)
    cells, notes = yield from segmenter.segment(centres)
    return collect(cells, image, checkpoint, params, diameter, notes=notes)


def _locate(
    network: NCA, view: Field, checkpoint: Checkpoint, params: NcaParams
) -> Generator[Progress, None, list[Centre]]:
    """Find the centres of cells without prompts."""
    if params.locate == "whole":
        return [((view.shape[0] - 1) / 2, (view.shape[1] - 1) / 2)]
    if params.locate == "detector":
        diameter = view.factor * checkpoint.diameter
        return (yield from locate_by_detector(view, diameter, params))
    tile = max(_SMALLEST_TILE, round(params.tile / view.factor))
    return (
        yield from locate(network, view, checkpoint.diameter, tile, params.seed, params.fire_rate)
    )


def _check_finds(checkpoint: Checkpoint, params: NcaParams) -> None:
    """Refuse to search for cells with a model that has no class `NONE`, as the published ones."""
    if params.locate == "evidence" and NONE not in checkpoint.classes:
        raise ValueError(
            f"model {checkpoint.name!r} has no class {NONE!r}, so it cannot find cells; give "
            "points or boxes, or locate by 'detector', or by 'whole' where the image is one cell"
        )
