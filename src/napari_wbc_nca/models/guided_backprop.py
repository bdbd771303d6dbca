r"""Guided backpropagation of single cells of a U-Net, by patches.

A rectifier of activation :math:`a` turns the backward signal :math:`g` into
:math:`g \cdot 1[a > 0] \cdot 1[g > 0]` (Springenberg et al., *Striving for Simplicity*, ICLR 2015
workshop). The backward pass is therefore not linear in the signal, and cells whose signals meet
need separate passes: one patch a cell, which grows with the reach of each layer, many in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from napari_wbc_nca.models.unet import UNet


@dataclass(frozen=True, eq=False)
class Activations:
    """Logits of one image, and ``(h, w, C)`` byte masks that the guided backward pass needs."""

    logits: torch.Tensor  # (outputs, H, W)
    encoder: list[list[torch.Tensor]]  # where both rectifiers of each block are positive
    decoder: list[list[torch.Tensor]]
    pools: list[torch.Tensor]  # the pixels of each pool that were the largest of their four


@dataclass(frozen=True, eq=False)
class GradientPatches:
    """Gradients at one level of the network, in equal patches, one a cell."""

    values: torch.Tensor  # (B, C, h, w), zero outside the image
    corners: Sequence[tuple[int, int]]  # row and column of each first pixel, also outside


class GuidedUNet:
    """Guided gradients of single cells of a U-Net, whose weights are read once, here.

    Each is the gradient of one cell's signal by the whole image, summed over the image's channels.
    Batch normalisation is folded into the convolutions, as in evaluation mode.
    """

    def __init__(self, network: UNet) -> None:
        self.network = network
        self._encoder = [_folded(block) for block in network.encoder]
        self._decoder = [_folded(block) for block in network.decoder]
        # Only the sum over the image's channels is needed.
        self._encoder[0][0] = self._encoder[0][0].sum(1, keepdim=True)

    @torch.inference_mode()
    def activations(self, image: torch.Tensor) -> Activations:
        """Run the forward pass of ``(C, H, W)`` and record its activations."""
        kept: dict[nn.Module, torch.Tensor] = {}

        def keep(module: nn.Module, _: object, result: torch.Tensor) -> None:
            rectifies = isinstance(module, nn.ReLU)
            kept[module] = _bytes(result[0] > 0) if rectifies else _largest(result)

        pooled = self.network.encoder[:-1]
        rectifiers = [layer for layer in self.network.modules() if isinstance(layer, nn.ReLU)]
        hooks = [layer.register_forward_hook(keep) for layer in (*rectifiers, *pooled)]
        try:
            logits = self.network(image[None])[0]
        finally:
            for hook in hooks:
                hook.remove()
        encoder, decoder = (
            [[kept[x] for x in block.children() if x in kept] for block in blocks]
            for blocks in (self.network.encoder, self.network.decoder)
        )
        return Activations(logits, encoder, decoder, [kept[block] for block in pooled])

    @torch.inference_mode()
    def backward(
        self, activations: Activations, signals: GradientPatches, kinds: Sequence[int]
    ) -> GradientPatches:
        """Compute the guided gradient of each cell by the image, summed over the image's channels.

        Returns ``(B, 1, h', w')`` patches, outside of which the gradient is zero. `signals` are
        ``(B, 1, h, w)`` at the network's output, and `kinds` the output that each belongs to.
        """
        head = self.network.head.weight[list(kinds)]  # (B, C, 1, 1)
        values = (signals.values * head).contiguous(memory_format=torch.channels_last)
        patches, skips = GradientPatches(values, signals.corners), []
        for level in range(len(self._decoder)):
            block = -1 - level
            patches = _through_block(patches, self._decoder[block], activations.decoder[block])
            width = activations.encoder[level][1].shape[2]
            skips.append(replace(patches, values=patches.values[:, :width]))
            below = replace(patches, values=patches.values[:, width:])
            size = activations.encoder[level + 1][1].shape[:2]
            patches = _through_upsampling(below, size, self.network.align_corners)
        for level in reversed(range(len(self._encoder))):
            patches = _through_block(patches, self._encoder[level], activations.encoder[level])
            if level:
                patches = _through_pool(patches, activations.pools[level - 1])
                _add(patches, skips[level - 1])
        return patches


def _folded(block: Any) -> list[torch.Tensor]:
    """Multiply a block's convolutions by the factors of the normalisations behind them."""
    weights = []
    for convolution, norm in ((block[0], block[1]), (block[3], block[4])):
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = (convolution.weight * factor[:, None, None, None]).detach()
        weights.append(weight.contiguous(memory_format=torch.channels_last))
    return weights


def _largest(values: torch.Tensor) -> torch.Tensor:
    """Return ``(h, w, C)`` bytes: the pixel that a pool of 2×2 takes of ``(1, C, h, w)``."""
    _, index = F.max_pool2d(values, 2, return_indices=True)
    mask = torch.zeros(values[0].shape, dtype=torch.bool, device=values.device)
    mask.flatten(1).scatter_(1, index[0].flatten(1), True)
    return _bytes(mask)


def _bytes(mask: torch.Tensor) -> torch.Tensor:
    """Return ``(h, w, C)`` bytes of a ``(C, h, w)`` mask."""
    return mask.permute(1, 2, 0).to(torch.uint8, memory_format=torch.contiguous_format)


def _through_block(
    patches: GradientPatches, weights: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]
) -> GradientPatches:
    """Pass back through both convolutions of a block; patches grow by two pixels."""
    for weight, mask in zip(reversed(weights), reversed(masks), strict=True):
        patches.values.relu_()
        _gate(patches, mask)
        values = F.conv_transpose2d(patches.values, weight)
        patches = GradientPatches(values, [(y - 1, x - 1) for y, x in patches.corners])
    return patches


def _through_pool(patches: GradientPatches, largest: torch.Tensor) -> GradientPatches:
    """Pass back through a pool, to the pixel of each four that was the largest."""
    finer = F.interpolate(patches.values, scale_factor=2, mode="nearest")
    result = GradientPatches(finer, [(2 * y, 2 * x) for y, x in patches.corners])
    _gate(result, largest)
    return result


def _through_upsampling(
    patches: GradientPatches, size: Sequence[int], align_corners: bool
) -> GradientPatches:
    """Pass back through bilinear upsampling of an image of `size` by two."""
    corners = [((y - 1) // 2, (x - 1) // 2) for y, x in patches.corners]
    down, across = (
        torch.stack(
            [
                _interpolation(corner[axis], length, start[axis], size[axis], align_corners)
                for corner, start in zip(patches.corners, corners, strict=True)
            ]
        ).to(patches.values)
        for axis, length in enumerate(patches.values.shape[-2:])
    )
    values = down.transpose(1, 2)[:, None] @ patches.values @ across[:, None]
    return GradientPatches(values, corners)


def _interpolation(
    corner: int, length: int, start: int, size: int, align_corners: bool
) -> torch.Tensor:
    """Return ``(length, coarse)`` weights of coarse pixels from `start` in fine ones."""
    fine = torch.arange(corner, corner + length, dtype=torch.float64)[:, None]
    count = length // 2 + (3 if align_corners else 2)
    coarse = torch.arange(start, start + count, dtype=torch.float64)
    position = fine * (size - 1) / (2 * size - 1) if align_corners else (fine / 2 - 0.25).clamp(0)
    first = position.floor()
    second, share = (first + 1).clamp(max=size - 1), position - first
    weights = (coarse == first) * (1 - share) + (coarse == second) * share
    return weights * ((fine >= 0) & (fine < 2 * size))


def _gate(patches: GradientPatches, mask: torch.Tensor) -> None:
    """Set to zero, in place, the values where an ``(H, W, C)`` mask is 0 and outside of it."""
    height, width = patches.values.shape[-2:]
    for values, (y, x) in zip(patches.values, patches.corners, strict=True):
        part = mask[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
        # Bytes are multiplied several times faster once they are floats, in one order of memory.
        gate = part.to(values.dtype, memory_format=torch.contiguous_format)
        below, right = height - part.shape[0], width - part.shape[1]
        if below or right:
            top, left = min(max(-y, 0), below), min(max(-x, 0), right)
            gate = F.pad(gate, (0, 0, left, right - left, top, below - top))
        values.permute(1, 2, 0).mul_(gate)


def _add(patches: GradientPatches, others: GradientPatches) -> None:
    """Add smaller patches to those that hold them."""
    height, width = others.values.shape[-2:]
    for whole, (y, x), part, (top, left) in zip(
        patches.values, patches.corners, others.values, others.corners, strict=True
    ):
        whole[:, top - y : top - y + height, left - x : left - x + width] += part
