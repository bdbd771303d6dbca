"""Detection: the likelihood of a field's pixels, and its peaks."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from napari_wbc_nca.methods.field import Field
from napari_wbc_nca.methods.propagation.network import apart_of, least_of
from napari_wbc_nca.ops.centroids import find_peaks
from napari_wbc_nca.ops.tiling import tiles
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_wbc_nca.methods.field import Part
    from napari_wbc_nca.methods.propagation.params import PropagationParams
    from napari_wbc_nca.models.unet import UNet
    from napari_wbc_nca.types import Checkpoint

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Detection:
    """A peak of the likelihood.

    Attributes
    ----------
    y, x
        In model pixels; the middle of the first pixel is (0, 0).
    kind
        Output of the network.
    likelihood
        0–1, of the peak.
    """

    y: int
    x: int
    kind: int
    likelihood: float


def view_of(rgb: Any, factor: float, normalisation: Mapping[str, Any]) -> Field:
    """A field as a detector sees it.

    Parameters
    ----------
    rgb
        ``(Y, X, 3)`` in 0–255; NumPy or dask.
    factor
        Image pixels per model pixel.
    normalisation
        Of the checkpoint; ``maximum`` divides by the largest value of the whole field.
    """
    if normalisation["name"] == "maximum":
        largest = rgb.max()
        largest = largest.compute() if hasattr(largest, "compute") else largest
        normalisation = {**normalisation, "maximum": float(largest)}
    return Field(rgb, factor, normalisation)


def seen(view: Field, part: Part, channels: int) -> torch.Tensor:
    """``(channels, h, w)`` of some rows and columns: colours, or their mean where it is one."""
    pixels = view.read(part)
    return pixels if channels == pixels.shape[0] else pixels.mean(0, keepdim=True)


def around(part: Part, network: UNet, shape: tuple[int, int]) -> Part:
    """What must be read for the values of `part` to be those of the whole field.

    It begins on the network's stride grid.
    """
    rows, columns = (
        range(
            max(0, span.start - network.halo) // network.stride * network.stride,
            min(size, span.stop + network.halo),
        )
        for span, size in zip(part, shape, strict=True)
    )
    return rows, columns


def inside(part: Part, outer: Part) -> tuple[slice, slice]:
    """Place of `part` in `outer`."""
    y, x = (
        slice(span.start - first.start, span.stop - first.start)
        for span, first in zip(part, outer, strict=True)
    )
    return y, x


@torch.inference_mode()
def likelihood(network: UNet, view: Field, part: Part) -> Float:
    """``(kinds, h, w)`` likelihood of some rows and columns, as in a pass over the whole field."""
    outer = around(part, network, view.shape)
    first = next(network.parameters())
    pixels = seen(view, outer, network.channels_in)[None].to(first.device)
    found = torch.sigmoid(network(pixels))[0, :, *inside(part, outer)]
    return np.ascontiguousarray(found.cpu().numpy())


def detect(
    network: UNet, view: Field, checkpoint: Checkpoint, params: PropagationParams
) -> Generator[Progress, None, list[Detection]]:
    """Find the cells of a field, tile by tile; what is found does not depend on the tiles.

    Parameters
    ----------
    network
        Of the checkpoint.
    view
        The field at the model's scale.
    checkpoint
        Tells the least likelihood of each kind.
    params
        Kinds, least likelihood, least distance, and side of a tile.

    Returns
    -------
    list of Detection
        In raster order.

    Raises
    ------
    ValueError
        For a kind that the detector does not know.
    """
    wanted = [checkpoint.classes.index(kind) for kind in kinds_of(checkpoint, params)]
    apart = max(params.min_distance, apart_of(checkpoint))
    reach = 2 * int(np.ceil(apart)) + 2
    side = max(network.stride, round(params.tile / view.factor))
    parts = list(tiles(view.shape, side, reach))
    found: list[Detection] = []
    for number, tile in enumerate(parts):
        yield Progress(number, len(parts), "Looking for cells")
        rows, columns = (range(span.start, span.stop) for span in tile.halo)
        values = likelihood(network, view, (rows, columns))
        for kind in wanted:
            least = params.min_likelihood or least_of(checkpoint, checkpoint.classes[kind])
            for y, x in find_peaks(values[kind], least, apart).tolist():
                place = (y + rows.start, x + columns.start)
                if all(c.start <= p < c.stop for p, c in zip(place, tile.core, strict=True)):
                    found.append(Detection(*place, kind, float(values[kind, y, x])))
    return sorted(found, key=lambda detection: (detection.y, detection.x, detection.kind))


def kinds_of(checkpoint: Checkpoint, params: PropagationParams) -> list[str]:
    """Kinds that are wanted, in the order of the outputs.

    Raises
    ------
    ValueError
        For a kind that the detector does not know.
    """
    names = [name.strip().lower() for name in params.kinds.split(",") if name.strip()]
    if not names or names == ["all"]:
        return list(checkpoint.classes)
    if unknown := set(names) - set(checkpoint.classes):
        raise ValueError(
            f"kinds are {params.kinds!r}, but {checkpoint.name} does not know "
            f"{', '.join(sorted(unknown))}; it finds {', '.join(checkpoint.classes)}"
        )
    return [kind for kind in checkpoint.classes if kind in names]
