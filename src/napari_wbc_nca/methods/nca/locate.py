"""Where the cells of a field are, and how large: the network applied densely."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage as ndi

from napari_wbc_nca.cell_types import WBC
from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.nca.projection import best
from napari_wbc_nca.methods.propagation.detect import detect, view_of
from napari_wbc_nca.methods.propagation.network import load
from napari_wbc_nca.methods.propagation.params import PropagationParams
from napari_wbc_nca.ops.tiling import Tile, tiles
from napari_wbc_nca.progress import Progress, map_progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field, Part
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.models.nca import NCA


Centre = tuple[float, float]
T = TypeVar("T")

_SMOOTH = 1 / 8  # σ of the smoothing that peaks are looked for in, in diameters
_APART = 0.6  # least distance of two peaks, in diameters
_LEAST = 0.45  # least probability of a peak


def locate(
    network: NCA, view: Field, diameter: float, tile: int, seed: int, fire_rate: float
) -> Generator[Progress, None, list[Centre]]:
    """Find the white blood cells of a field, tile by tile.

    The probability of a cell is smoothed over an eighth of a diameter; its peaks are moved to
    the centre of the probability around them. What is found does not depend on the tiles.

    Parameters
    ----------
    network
        Of the checkpoint.
    view
        The field at the model's scale.
    diameter
        Of a typical cell, in model pixels.
    tile
        Side of a tile in model pixels.
    seed, fire_rate
        Of the rollout.

    Returns
    -------
    list of (y, x)
        Centres in model pixels, in raster order.
    """
    reach = int(np.ceil(diameter * (4 * _SMOOTH + _APART + 1))) + 1
    parts = list(tiles(view.shape, tile, reach))
    centres: list[Centre] = []
    for number, part in enumerate(parts):
        steps = dense(network, view, _ranges(part.halo), seed, fire_rate)
        probability = yield from nested(steps, number, len(parts), "Looking for cells")
        centres += _peaks(probability, diameter, part)
    return sorted(centres)


def dense(
    network: NCA, view: Field, part: Part, seed: int, fire_rate: float
) -> Generator[tuple[int, int], None, npt.NDArray[np.float32]]:
    """Probability of a cell at each model pixel of `part`, as in a rollout of the whole field.

    Yields steps done and steps in all; :func:`nested` makes progress of them.
    """
    halo = network.steps + 2
    outer = tuple(
        range(max(0, span.start - halo), min(size, span.stop + halo))
        for span, size in zip(part, view.shape, strict=True)
    )
    image = view.read((outer[0], outer[1]))[None].to(next(network.parameters()).device)
    origin = torch.tensor([[outer[0].start, outer[1].start]])
    state = yield from network.rollout_steps(image, seed, origin, fire_rate=fire_rate)
    with torch.inference_mode():
        response = best(network, state)[0].cpu().numpy()
    inner = tuple(
        slice(span.start - around.start, span.stop - around.start)
        for span, around in zip(part, outer, strict=True)
    )
    return np.ascontiguousarray(response[inner])


def nested(
    steps: Generator[tuple[int, int], None, T], number: int, count: int, message: str
) -> Generator[Progress, None, T]:
    """Progress of a phase of `count` parts, in its part `number`; the share done never falls.

    Parameters
    ----------
    steps
        Yields what is done of the part, and all that there is to do.
    number, count
        Parts done before, and parts in all.
    message
        Name of the phase.
    """

    def tell(step: tuple[int, int]) -> Progress:
        done, total = step
        return Progress(number * total + done, count * total, message)

    yield Progress(number, count, message)
    return (yield from map_progress(steps, tell))


def _peaks(probability: npt.NDArray[np.float32], diameter: float, tile: Tile) -> list[Centre]:
    """Centres whose peaks lie in the tile's core, in the field's coordinates."""
    smooth = ndi.gaussian_filter(probability, diameter * _SMOOTH, truncate=4, mode="nearest")
    side = 2 * int(diameter * _APART) + 1
    peak = (smooth == ndi.maximum_filter(smooth, side)) & (smooth > _LEAST)
    # Where the probability is flat, every pixel is highest: the first in raster order stands.
    order = np.where(peak, np.arange(peak.size, 0, -1).reshape(peak.shape), 0)
    peak &= order == ndi.maximum_filter(order, side)
    inner = np.zeros_like(peak)
    inner[tile.inner] = True
    centres = []
    for y, x in np.argwhere(peak & inner).tolist():
        dy, dx = _offset(smooth, (y, x), round(diameter / 2))
        # Whole numbers first: what a tile adds must not change the last bits.
        centres.append((tile.halo[0].start + y + dy, tile.halo[1].start + x + dx))
    return centres


def _offset(smooth: npt.NDArray[np.float32], peak: tuple[int, int], radius: int) -> Centre:
    """From a peak to the centre of the probability above one half around it."""
    spans = [
        np.arange(max(-radius, -p), min(radius + 1, size - p))
        for p, size in zip(peak, smooth.shape, strict=True)
    ]
    around = smooth[np.ix_(spans[0] + peak[0], spans[1] + peak[1])].astype(np.float64)
    weight = np.clip(around - 0.5, 0, None)
    if weight.sum() == 0:
        return 0.0, 0.0
    down, across = weight.sum(1) @ spans[0], weight.sum(0) @ spans[1]
    return float(down / weight.sum()), float(across / weight.sum())


def _ranges(part: tuple[slice, slice]) -> Part:
    return range(part[0].start, part[0].stop), range(part[1].start, part[1].stop)


DETECTOR = "smear-cells"
"""Name of the bundled detector."""


def detected(
    view: Field, diameter: float, params: NcaParams
) -> Generator[Progress, None, list[Centre]]:
    """Centres in pixels of `view`, in raster order.

    Parameters
    ----------
    view
        The field at the scale of the automaton.
    diameter
        Of a white blood cell in image pixels.
    params
        Tiles and device.
    """
    checkpoint = model_store.resolve(DETECTOR)
    network = load(checkpoint, params.device)
    own = view_of(view.rgb, diameter / checkpoint.diameter, checkpoint.normalisation)
    chosen = PropagationParams(kinds=WBC, tile=params.tile)
    peaks = yield from detect(network, own, checkpoint, chosen)
    return [view.from_image(own.to_image((peak.y, peak.x))) for peak in peaks]
