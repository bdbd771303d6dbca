"""Training patches, turned, scaled and stained anew each time, with their likelihood maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from napari_wbc_nca.methods.field import shown
from napari_wbc_nca.methods.nca.windows import restain
from napari_wbc_nca.ops.centroids import likelihood_map

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.methods.propagation.params import PropagationTrainParams
    from napari_wbc_nca.methods.propagation.samples import AnnotatedField


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches to learn from.

    Attributes
    ----------
    images
        ``(B, C, h, w)`` float32, as the network sees them; zeros beyond a picture's border.
    targets
        ``(B, kinds, h, w)`` float32 likelihood.
    taught
        ``(B, kinds)`` bool: whether the patch teaches that kind.
    """

    images: torch.Tensor
    targets: torch.Tensor
    taught: torch.Tensor


class Patches:
    """Draws patches around random cells.

    A patch is turned by a multiple of 90°, flipped, scaled and stained anew. Its Gaussians are
    scaled with it: how wide a trained detector's peaks are tells how large its cells are.

    Parameters
    ----------
    fields
        What to draw from.
    params
        Side, scaling, σ, colours and normalisation.
    """

    def __init__(self, fields: Sequence[AnnotatedField], params: PropagationTrainParams) -> None:
        self.fields, self.params = fields, params
        weights = np.asarray([field.weight for field in fields])
        self._chances = weights / weights.sum()

    def draw(self, count: int, random: np.random.Generator) -> Batch:
        """`count` patches."""
        chosen = random.choice(len(self.fields), count, p=self._chances)
        drawn = [self._patch(self.fields[number], random) for number in chosen]
        images, targets = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        taught = np.stack([self.fields[number].taught for number in chosen])
        return Batch(images, targets, torch.from_numpy(taught))

    def _patch(
        self, field: AnnotatedField, random: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        params = self.params
        spread = np.log(params.max_scale_factor)
        scale = float(np.exp(np.clip(random.normal(0, spread / 2), -spread, spread)))
        side = max(1, round(params.patch_size * field.fine / scale))
        origin = _origin(field, side, random)
        pixels = _cut(field.pixels, origin, side).float()
        if side != params.patch_size:
            pixels = F.interpolate(
                pixels[None], (params.patch_size,) * 2, mode="bilinear", antialias=True
            )[0]
        ratio = params.patch_size / side
        centres = [(own - origin + 0.5) * ratio - 0.5 for own in field.centres]
        target = targets((params.patch_size,) * 2, centres, params.sigma * scale)
        image = presented(restain(pixels, random), {"name": params.normalisation}, params.colour)
        return _turned(image, target, random)


def _origin(field: AnnotatedField, side: int, random: np.random.Generator) -> npt.NDArray[np.int_]:
    """First pixel of a patch that holds a random cell; a smaller picture lies anywhere in it."""
    kinds = [centres for centres in field.centres if len(centres)]
    size = np.asarray(field.shape)
    if kinds:
        centres = kinds[random.integers(len(kinds))]
        held = centres[random.integers(len(centres))]
    else:
        held = random.uniform(0, size)
    low, high = np.minimum(0, size - side), np.maximum(0, size - side)
    wanted = random.uniform(held - side, held)
    wanted = np.where(size < side, random.uniform(low, high + 1), wanted)
    return np.asarray(np.clip(np.rint(wanted), low, high), int)


def _cut(pixels: torch.Tensor, origin: npt.NDArray[np.int_], side: int) -> torch.Tensor:
    """Square of `pixels`; zeros beyond their border."""
    low, high = np.maximum(origin, 0), np.minimum(origin + side, pixels.shape[1:])
    part = pixels[:, low[0] : high[0], low[1] : high[1]]
    before, after = low - origin, origin + side - high
    return F.pad(part, (int(before[1]), int(after[1]), int(before[0]), int(after[0])))


def targets(
    shape: tuple[int, int], centres: Sequence[npt.NDArray[Any]], sigma: float
) -> torch.Tensor:
    """``(kinds, h, w)`` likelihood of each kind's centres."""
    return torch.from_numpy(np.stack([likelihood_map(shape, own, sigma) for own in centres]))


def presented(pixels: torch.Tensor, normalisation: Mapping[str, Any], colour: str) -> torch.Tensor:
    """Channels ``(C, h, w)`` that the network sees of normalised ``(3, h, w)``."""
    values = shown(pixels, normalisation)
    return values if colour == "rgb" else values.mean(0, keepdim=True)


def _turned(
    image: torch.Tensor, target: torch.Tensor, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    quarter, flip = int(random.integers(4)), bool(random.integers(2))
    turned = [torch.rot90(part, quarter, (1, 2)) for part in (image, target)]
    first, second = (part.flip(2) if flip else part for part in turned)
    return first, second
