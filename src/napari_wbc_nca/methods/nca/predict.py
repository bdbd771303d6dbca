"""Prediction that both NCA methods share: scale, centres, cells."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.cell_types import NONE
from napari_wbc_nca.io.images import check
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.methods.field import Field
from napari_wbc_nca.methods.nca.cells import Segmenter
from napari_wbc_nca.methods.nca.locate import Centre, detected, locate
from napari_wbc_nca.methods.nca.network import build
from napari_wbc_nca.methods.nca.scale import image_diameter
from napari_wbc_nca.methods.result import collect

if TYPE_CHECKING:
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.models.nca import NCA
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint, Image, Segmentation

Places = npt.NDArray[Any]

_SMALLEST_TILE = 16  # model pixels


def predict(
    image: Image,
    checkpoint: Checkpoint,
    params: NcaParams,
    points: Places | None = None,
    boxes: Places | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Segment and type the white blood cells of one image.

    Parameters
    ----------
    image
        A field or a single-cell crop, three colours.
    checkpoint
        Of an NCA method.
    params
        How; see :class:`~napari_wbc_nca.methods.nca.params.NcaParams`.
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
    image = check(image)
    _check_finds(checkpoint, params)
    given = _given(params, points, boxes, image.shape)
    network = build(checkpoint, params.device)
    field = Field(to_rgb(image.pixels), 1, checkpoint.normalisation)
    diameter = yield from image_diameter(
        field, image.pixel_size, network, checkpoint, params, boxes
    )
    view = field.rescaled(diameter / checkpoint.diameter)
    if params.locate == "evidence":
        centres = yield from _look(network, view, checkpoint, params)
    elif params.locate == "detector":
        centres = yield from detected(view, diameter, params)
    elif params.locate == "whole":
        centres = [((view.shape[0] - 1) / 2, (view.shape[1] - 1) / 2)]
    else:
        centres = [view.from_image((y, x)) for y, x in given.tolist()]
    cells = yield from Segmenter(network, checkpoint, params, view).cells(centres)
    return collect(cells, image, checkpoint, params, diameter)


def _look(
    network: NCA, view: Field, checkpoint: Checkpoint, params: NcaParams
) -> Generator[Progress, None, list[Centre]]:
    tile = max(_SMALLEST_TILE, round(params.tile / view.factor))
    return (
        yield from locate(network, view, checkpoint.diameter, tile, params.seed, params.fire_rate)
    )


def _check_finds(checkpoint: Checkpoint, params: NcaParams) -> None:
    """Refuse to look for cells with a model that knows no place without one.

    Raises
    ------
    ValueError
        When it has no class `NONE`, as the published checkpoints.
    """
    if params.locate == "evidence" and NONE not in checkpoint.classes:
        raise ValueError(
            f"model {checkpoint.name!r} has no class {NONE!r}, so it cannot find cells; give "
            "points or boxes, or locate by 'detector', or by 'whole' where the image is one cell"
        )


def _given(
    params: NcaParams, points: Places | None, boxes: Places | None, shape: tuple[int, int]
) -> Places:
    """``(N, 2)`` centres in image pixels that came with the call; empty where none are wanted.

    Raises
    ------
    ValueError
        When they are wanted and missing, of a wrong shape, or outside the image.
    """
    if params.locate not in ("points", "boxes"):
        return np.empty((0, 2))
    given, columns = (points, 2) if params.locate == "points" else (boxes, 4)
    if given is None or len(given) == 0:
        raise ValueError(
            f"locate is {params.locate!r}, but no {params.locate} were given; "
            f"add {params.locate} around the cells, or locate by 'evidence'"
        )
    array = np.asarray(given, float)
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(
            f"{params.locate} have shape {array.shape}; expected (N, {columns}), "
            f"{'y, x' if columns == 2 else 'y0, x0, y1, x1'} in pixels"
        )
    centres = array if columns == 2 else (array[:, :2] + array[:, 2:]) / 2
    if columns == 4 and not (array[:, 2:] > array[:, :2]).all():
        raise ValueError("a box has no height or width; expected y0 < y1 and x0 < x1 in pixels")
    # Written so that NaN is outside.
    outside = ~((centres >= -0.5) & (centres <= np.subtract(shape, 0.5))).all(1)
    if outside.any():
        first = centres[outside][0].round(1).tolist()
        raise ValueError(
            f"{int(outside.sum())} of {len(centres)} {params.locate} lie outside the image of "
            f"{shape} (height, width) pixels, the first at {first}; move or remove them"
        )
    return centres
