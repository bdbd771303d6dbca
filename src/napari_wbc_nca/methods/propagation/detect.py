"""Detection of cells: peaks of the likelihood that the U-Net gives each pixel."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from napari_wbc_nca.methods.colours import correct_channel_order
from napari_wbc_nca.methods.field import as_part, as_slices, open_field
from napari_wbc_nca.methods.scale import image_scale
from napari_wbc_nca.models.build import build_network, load_network
from napari_wbc_nca.ops.centroids import find_peaks
from napari_wbc_nca.ops.tiling import Tile, tiles
from napari_wbc_nca.params import split_names
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Candidate

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field, Part
    from napari_wbc_nca.methods.propagation.params import PropagationParams
    from napari_wbc_nca.models.unet import UNet
    from napari_wbc_nca.types import Checkpoint, Device, Image


Float = npt.NDArray[np.float32]

_SMALLEST_TILE = 128  # model pixels
_LARGEST_TILE = 512  # model pixels; a forward pass of it takes about half a second
_CANDIDATE = 0.4  # least likelihood of a place to be checked, over that of a cell


def build_detector(architecture: Mapping[str, Any]) -> UNet:
    """Build the network of an architecture as a card keeps it."""
    return cast("UNet", build_network("propagation", architecture, architecture["outputs"]))


def load_detector(checkpoint: Checkpoint, device: Device = "auto") -> UNet:
    """Load the network of a checkpoint; see :func:`~napari_wbc_nca.models.build.load_network`."""
    return cast("UNet", load_network(checkpoint, device))


def detector_card(
    sigma: float, least: Mapping[str, float], scaled: bool, width: float = 1.0
) -> dict[str, Any]:
    """Write the entries of a detector's card that prediction reads.

    `sigma` is the σ of its Gaussians in model pixels, `least` the likelihood of each kind above
    which a peak is a cell; `scaled` says whether its pictures were brought to one size of cells,
    and `width` how wide its peaks typically are, relative to σ.
    """
    return {
        "sigma": sigma,
        "apart": sigma,
        "width": width,
        "least": dict(least),
        "scale": "cells" if scaled else "pixels",
    }


def sigma_of(checkpoint: Checkpoint) -> float:
    """Return σ in model pixels of a detector's Gaussians."""
    return float(checkpoint.card["sigma"])


def scaled_by_cells(checkpoint: Checkpoint) -> bool:
    """Tell whether a detector was trained on pictures of one size of cells."""
    return bool(checkpoint.card["scale"] == "cells")


@dataclass(frozen=True)
class Detection:
    """A peak of the likelihood, at y, x in model pixels, in one output of the network."""

    y: int
    x: int
    kind: int
    likelihood: float

    def candidate(self, view: Field) -> Candidate:
        """Convert to a place that a reviewer should check, in pixels of the image of `view`."""
        reason = "the detector nearly found a cell there"
        return Candidate(*view.to_image((self.y, self.x)), self.likelihood, reason)


class Detections(NamedTuple):
    """Peaks that are cells, and weaker ones that a reviewer should check, in raster order."""

    cells: list[Detection]
    missed: list[Detection]


def read_channels(view: Field, part: Part, channels: int) -> torch.Tensor:
    """Read ``(channels, h, w)`` of `part`: colours, or their mean where it is one channel."""
    pixels = view.read(part)
    return pixels if channels == pixels.shape[0] else pixels.mean(0, keepdim=True)


def with_halo(part: Part, network: UNet, shape: tuple[int, int]) -> Part:
    """Return what must be read, from the stride grid on, for `part` to be as in the whole field."""
    rows, columns = (
        range(
            max(0, span.start - network.halo) // network.stride * network.stride,
            min(size, span.stop + network.halo),
        )
        for span, size in zip(part, shape, strict=True)
    )
    return rows, columns


def field_tiles(network: UNet, view: Field, params: PropagationParams, halo: int = 0) -> list[Tile]:
    """Return the tiles of a field; none is so large that a run could not be cancelled soon."""
    side = min(max(round(params.tile / view.factor), _SMALLEST_TILE), _LARGEST_TILE)
    return list(tiles(view.shape, max(network.stride, side), halo))


@torch.inference_mode()
def likelihood(network: UNet, view: Field, part: Part) -> Float:
    """Compute the ``(kinds, h, w)`` likelihood of `part`, as in a pass over the whole field."""
    outer = with_halo(part, network, view.shape)
    first = next(network.parameters())
    pixels = read_channels(view, outer, network.channels_in)[None].to(first.device)
    found = torch.sigmoid(network(pixels))[0, :, *as_slices(part, outer)]
    return np.ascontiguousarray(found.cpu().numpy())


def detect(
    network: UNet, view: Field, checkpoint: Checkpoint, params: PropagationParams
) -> Generator[Progress, None, Detections]:
    """Find the cells of a field at the model's scale, and where one was nearly found.

    The tiles in which it is read do not change the result. A kind that the detector does not know
    raises a ValueError.
    """
    distance = _min_distance(checkpoint, params)
    parts = field_tiles(network, view, params, 2 * int(np.ceil(distance)) + 2)
    found: list[Detection] = []
    for number, tile in enumerate(parts):
        yield Progress(number, len(parts), "Finding cells")
        rows, columns = part = as_part(tile.halo)
        for peak in _peaks(likelihood(network, view, part), checkpoint, params, _CANDIDATE):
            y, x = peak.y + rows.start, peak.x + columns.start
            if all(c.start <= at < c.stop for at, c in zip((y, x), tile.core, strict=True)):
                found.append(replace(peak, y=y, x=x))
    found.sort(key=lambda detection: (detection.y, detection.x, detection.kind))
    least = {n: _least(checkpoint, params, name) for n, name in enumerate(checkpoint.classes)}
    return Detections(
        [peak for peak in found if peak.likelihood > least[peak.kind]],
        [peak for peak in found if peak.likelihood <= least[peak.kind]],
    )


def _least(checkpoint: Checkpoint, params: PropagationParams, name: str) -> float:
    """Return the likelihood above which a peak is a cell of a kind."""
    return params.min_likelihood or float(checkpoint.card["least"][name])


def _min_distance(checkpoint: Checkpoint, params: PropagationParams) -> float:
    """Return the minimum distance of peaks of a kind in model pixels; 2 where unknown."""
    return max(params.min_distance, float(checkpoint.card.get("apart", 2.0)))


def _peaks(
    values: Float, checkpoint: Checkpoint, params: PropagationParams, share: float = 1.0
) -> Iterator[Detection]:
    """Find the peaks of the selected kinds above a share of the least likelihood of a cell."""
    for name in selected_kinds(checkpoint, params):
        kind = checkpoint.classes.index(name)
        least = share * _least(checkpoint, params, name)
        for y, x in find_peaks(values[kind], least, _min_distance(checkpoint, params)).tolist():
            yield Detection(y, x, kind, float(values[kind, y, x]))


def selected_kinds(checkpoint: Checkpoint, params: PropagationParams) -> list[str]:
    """Return the kinds that the parameters select, in the order of the outputs, or ValueError."""
    names = split_names(params.kinds.lower())
    if names in ((), ("all",)):
        return list(checkpoint.classes)
    if unknown := set(names) - set(checkpoint.classes):
        raise ValueError(
            f"kinds are {params.kinds!r}, but {checkpoint.name} does not know "
            f"{', '.join(sorted(unknown))}; it finds {', '.join(checkpoint.classes)}"
        )
    return [kind for kind in checkpoint.classes if kind in names]


@dataclass(frozen=True, eq=False)
class LikelihoodMap:
    """Likelihood of each kind in a field."""

    values: npt.NDArray[np.float32]  # (kinds, h, w) in model pixels
    factor: float  # image pixels per model pixel
    diameter: float  # of a white blood cell in image pixels, as it was used
    checkpoint: Checkpoint


def map_likelihood(
    image: Image, checkpoint: Checkpoint, params: PropagationParams
) -> Generator[Progress, None, LikelihoodMap]:
    """Compute the likelihood of a whole field, tile by tile; as prediction does."""
    image, _, _ = correct_channel_order(image, checkpoint, params)
    image, field = open_field(image, checkpoint)
    network = load_detector(checkpoint, params.device)
    scale = yield from image_scale(field, network, checkpoint, params, image.pixel_size)
    view = field.rescaled(scale.diameter / checkpoint.diameter)
    values = np.empty((len(checkpoint.classes), *view.shape), np.float32)
    parts = field_tiles(network, view, params)
    for number, tile in enumerate(parts):
        yield Progress(number, len(parts), "Finding cells")
        values[:, *tile.core] = likelihood(network, view, as_part(tile.core))
    return LikelihoodMap(values, view.factor, scale.diameter, checkpoint)


def centroids(likelihood_map: LikelihoodMap, params: PropagationParams) -> pd.DataFrame:
    """Find the peaks: ``y``, ``x`` in image pixels, ``class`` and ``likelihood``.

    They are those that prediction finds by the same parameters.
    """
    factor, kinds = likelihood_map.factor, likelihood_map.checkpoint.classes
    rows = [
        (*((at + 0.5) * factor - 0.5 for at in (p.y, p.x)), kinds[p.kind], p.likelihood)
        for p in _peaks(likelihood_map.values, likelihood_map.checkpoint, params)
    ]
    return pd.DataFrame(rows, columns=["y", "x", "class", "likelihood"])
