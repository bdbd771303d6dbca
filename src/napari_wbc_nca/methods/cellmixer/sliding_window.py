"""Sliding windows over a field, at positions that depend on the field's size alone.

Each window's result is blended into the field with a weight that falls towards its border. The
weights are a product of rows and columns, and so is their sum, so that each window can be added
as soon as it is finished, and no tile changes the result.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from napari_wbc_nca.methods.result import blank
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Image

if TYPE_CHECKING:
    from torch import nn

    from napari_wbc_nca.methods.cellmixer.params import CellmixerParams
    from napari_wbc_nca.methods.field import Field
    from napari_wbc_nca.types import Checkpoint

Weights = npt.NDArray[np.float32]

_UNET_SIDE = 256
"""A U-Net sees windows of any side; larger ones have less border."""


def class_maps(
    network: nn.Module,
    field: Field,
    checkpoint: Checkpoint,
    params: CellmixerParams,
    lazy: bool,
) -> Generator[Progress, None, list[Any]]:
    """Compute the probability of each class at each model pixel of a field.

    `field` is at the model's scale; `network` maps ``(B, 3, h, w)`` to logits
    ``(B, classes, h, w)``. Yields progress after each batch of windows.

    Returns
    -------
    list
        ``(Y, X)`` float32 a class, NumPy, or zarr on disk where `lazy`.
    """
    like = Image(_lazy_zeros(field.shape) if lazy else np.empty(field.shape, bool))
    maps = [blank(like, "float32") for _ in checkpoint.classes]
    side = checkpoint.window
    if checkpoint.architecture["network"] == "unet":
        side = max(side, _UNET_SIDE)
    rows, columns = (window_spans(size, side, params.overlap) for size in field.shape)
    places = [(y, x) for y in range(len(rows)) for x in range(len(columns))]
    down, across = (
        blending_weights(found, size)
        for found, size in zip((rows, columns), field.shape, strict=True)
    )
    several = bool(checkpoint.card.get("several"))
    for start in range(0, len(places), params.batch_size):
        batch = places[start : start + params.batch_size]
        found = _run(network, field, [(rows[y], columns[x]) for y, x in batch], several)
        for (y, x), values in zip(batch, found, strict=True):
            part = (_slice(rows[y]), _slice(columns[x]))
            share = down[y][:, None] * across[x]
            for own, value in zip(maps, values, strict=True):
                own[part] = np.asarray(own[part]) + share * value
        yield Progress(start + len(batch), len(places), "Classifying the field")
    return maps


def window_spans(size: int, side: int, overlap: float) -> list[range]:
    """Cover `size` pixels by windows of `side`, each sharing `overlap` with the one before.

    Examples
    --------
    >>> spans(10, 4, 0.5)
    [range(0, 4), range(2, 6), range(4, 8), range(6, 10)]
    """
    if size <= side:
        return [range(size)]
    step = max(1, round(side * (1 - overlap)))
    starts = [*range(0, size - side, step), size - side]
    return [range(start, start + side) for start in starts]


def blending_weights(found: Sequence[range], size: int) -> list[Weights]:
    """Compute each window's share at its pixels; the shares of all windows sum to 1."""
    total = np.zeros(size)
    shapes = []
    for span in found:
        index = np.arange(len(span))
        shapes.append(np.minimum(index, index[::-1]) + 1.0)
        total[_slice(span)] += shapes[-1]
    return [
        np.asarray(shape / total[_slice(span)], np.float32)
        for span, shape in zip(found, shapes, strict=True)
    ]


@torch.inference_mode()
def _run(
    network: nn.Module, field: Field, parts: Sequence[tuple[range, range]], several: bool
) -> npt.NDArray[np.float32]:
    """Probabilities ``(B, classes, h, w)`` of some windows."""
    device = next(network.parameters()).device
    images = torch.stack([field.read(part) for part in parts]).to(device)
    return np.asarray(probabilities(network(images), several).float().cpu().numpy())


def _slice(span: range) -> slice:
    return slice(span.start, span.stop)


def _lazy_zeros(shape: tuple[int, int]) -> Any:
    import dask.array as da

    return da.zeros(shape, dtype=bool)


def probabilities(logits: torch.Tensor, several: bool) -> torch.Tensor:
    """Compute ``(B, classes, h, w)`` probabilities; `several` classes may be at one pixel."""
    return torch.sigmoid(logits) if several else torch.softmax(logits, 1)
