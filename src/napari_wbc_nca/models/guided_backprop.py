"""Guided backpropagation: whole images by autograd, and single cells of a U-Net by patches.

A rectifier passes the backward signal only where its activation and the signal are positive
(Springenberg et al., *Striving for Simplicity*, ICLR 2015 workshop). The backward pass is therefore
not linear in the signal, and cells whose signals meet need separate passes. `GuidedUNet` computes
one patch a cell, which grows with the reach of each layer, many cells in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from napari_wbc_nca.models.unet import UNet


def guided_gradient(network: nn.Module, image: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
    r"""Compute the guided gradient of ``(signal * network(image)).sum()`` by the image.

    A rectifier of activation :math:`a` turns the signal :math:`g` into
    :math:`g \cdot 1[a > 0] \cdot 1[g > 0]`.

    Parameters
    ----------
    network
        Its rectifiers are ``nn.ReLU`` modules, none in place; in evaluation mode.
    image
        ``(B, C, H, W)``.
    signal
        ``(B, outputs, H, W)``.

    Returns
    -------
    ``(B, C, H, W)``

    Examples
    --------
    >>> rectifier, ones = nn.ReLU(), torch.ones(1, 1, 1, 2)
    >>> guided_gradient(rectifier, ones * 3, torch.tensor([[[[2.0, -2.0]]]])).flatten().tolist()
    [2.0, 0.0]
    """
    hooks = [
        module.register_full_backward_hook(_positive)
        for module in network.modules()
        if isinstance(module, nn.ReLU)
    ]
    try:
        with torch.enable_grad():
            leaf = image.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(network(leaf), leaf, signal)
    finally:
        for hook in hooks:
            hook.remove()
    return gradient


def _positive(_: nn.Module, entering: Any, leaving: Any) -> tuple[torch.Tensor]:
    """Positive part of the signal that passes a rectifier."""
    return (entering[0].clamp(min=0),)


@dataclass(frozen=True, eq=False)
class Activations:
    """Activations of one image that the guided backward pass needs.

    Attributes
    ----------
    logits
        ``(outputs, H, W)`` of the network.
    encoder, decoder
        Each block's two ``(h, w, C)`` byte masks of positive activations.
    pools
        Each pool's ``(h, w, C)`` byte mask of the pixels that were the largest of their four.
    """

    logits: torch.Tensor
    encoder: list[list[torch.Tensor]]
    decoder: list[list[torch.Tensor]]
    pools: list[torch.Tensor]


@dataclass(frozen=True, eq=False)
class GradientPatches:
    """Gradients at one level of the network, in equal patches, one a cell.

    Attributes
    ----------
    values
        ``(B, C, h, w)``; zero outside the image.
    corners
        Row and column of each patch's first pixel, which may lie outside the image.
    """

    values: torch.Tensor
    corners: Sequence[tuple[int, int]]


class GuidedUNet:
    """Guided gradients of single cells of a U-Net.

    The result is that of `guided_gradient` with the signal of one cell on the whole image, summed
    over the image's channels. Batch normalisation is folded into the convolutions, as in
    evaluation mode.

    Parameters
    ----------
    network
        Its weights are read once, here.
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
        opened: dict[nn.Module, torch.Tensor] = {}
        results: dict[nn.Module, torch.Tensor] = {}

        def keep_opened(module: nn.Module, _: object, result: torch.Tensor) -> None:
            opened[module] = _bytes(result[0] > 0)

        def keep_result(module: nn.Module, _: object, result: torch.Tensor) -> None:
            results[module] = _largest(result)

        blocks = [*self.network.encoder, *self.network.decoder]
        hooks = [
            layer.register_forward_hook(keep_opened)
            for block in blocks
            for layer in block.children()
            if isinstance(layer, nn.ReLU)
        ]
        hooks += [b.register_forward_hook(keep_result) for b in self.network.encoder[:-1]]
        try:
            logits = self.network(image[None])[0]
        finally:
            for hook in hooks:
                hook.remove()
        masks = [[opened[layer] for layer in block if layer in opened] for block in blocks]
        levels = len(self.network.encoder)
        pools = [results[block] for block in self.network.encoder[:-1]]
        return Activations(logits, masks[:levels], masks[levels:], pools)

    @torch.inference_mode()
    def backward(
        self, activations: Activations, signals: GradientPatches, kinds: Sequence[int]
    ) -> GradientPatches:
        """Compute the guided gradient of each cell by the image, summed over the image's channels.

        Parameters
        ----------
        activations
            Of the image.
        signals
            ``(B, 1, h, w)`` signal of each cell at the network's output.
        kinds
            Output that each cell's signal belongs to.

        Returns
        -------
        Patches
            ``(B, 1, h', w')``; outside a patch the gradient is zero.
        """
        head = self.network.head.weight[list(kinds)]  # (B, C, 1, 1)
        values = (signals.values * head).contiguous(memory_format=torch.channels_last)
        patches = GradientPatches(values, signals.corners)
        skips = []
        for level, (weights, masks) in enumerate(
            zip(reversed(self._decoder), reversed(activations.decoder), strict=True)
        ):
            patches = _through_block(patches, weights, masks)
            width = activations.encoder[level][1].shape[2]
            skips.append(GradientPatches(patches.values[:, :width], patches.corners))
            size = activations.encoder[level + 1][1].shape[:2]
            below = GradientPatches(patches.values[:, width:], patches.corners)
            patches = _through_upsampling(below, size, self.network.align_corners)
        for level in reversed(range(len(self._encoder))):
            patches = _through_block(patches, self._encoder[level], activations.encoder[level])
            if level:
                patches = _through_pool(patches, activations.pools[level - 1])
                _add(patches, skips[level - 1])
        return patches


def _folded(block: nn.Module) -> list[torch.Tensor]:
    """Weights of a block's convolutions, each times the factor of the normalisation behind it."""
    weights = []
    for convolution, norm in pairwise(block.children()):
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            assert norm.running_var is not None
            factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            weight = (convolution.weight * factor[:, None, None, None]).detach()
            weights.append(weight.contiguous(memory_format=torch.channels_last))
    return weights


def _largest(values: torch.Tensor) -> torch.Tensor:
    """``(h, w, C)`` bytes: the pixel that a pool of 2×2 takes of ``(1, C, h, w)``."""
    _, index = F.max_pool2d(values, 2, return_indices=True)
    mask = torch.zeros(values[0].shape, dtype=torch.bool, device=values.device)
    mask.flatten(1).scatter_(1, index[0].flatten(1), True)
    return _bytes(mask)


def _bytes(mask: torch.Tensor) -> torch.Tensor:
    """``(h, w, C)`` bytes of a ``(C, h, w)`` mask."""
    return mask.permute(1, 2, 0).to(torch.uint8, memory_format=torch.contiguous_format)


def _through_block(
    patches: GradientPatches, weights: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]
) -> GradientPatches:
    """Backward through both convolutions of a block; patches grow by two pixels on each side."""
    for weight, mask in zip(reversed(weights), reversed(masks), strict=True):
        patches.values.relu_()
        _gate(patches, mask)
        values = F.conv_transpose2d(patches.values, weight)
        patches = GradientPatches(values, [(y - 1, x - 1) for y, x in patches.corners])
    return patches


def _through_pool(patches: GradientPatches, largest: torch.Tensor) -> GradientPatches:
    """Backward through a pool, to the pixel of each four that was the largest."""
    finer = F.interpolate(patches.values, scale_factor=2, mode="nearest")
    result = GradientPatches(finer, [(2 * y, 2 * x) for y, x in patches.corners])
    _gate(result, largest)
    return result


def _through_upsampling(
    patches: GradientPatches, size: Sequence[int], align_corners: bool
) -> GradientPatches:
    """Backward through bilinear upsampling of an image of `size` by two: transposed matrices."""
    height, width = patches.values.shape[-2:]
    corners = [((y - 1) // 2, (x - 1) // 2) for y, x in patches.corners]
    down, across = (
        torch.stack(
            [
                _interpolation(corner[axis], length, start[axis], size[axis], align_corners)
                for corner, start in zip(patches.corners, corners, strict=True)
            ]
        ).to(patches.values)
        for axis, length in enumerate((height, width))
    )
    values = down.transpose(1, 2)[:, None] @ patches.values @ across[:, None]
    return GradientPatches(values, corners)


def _interpolation(
    corner: int, length: int, start: int, size: int, align_corners: bool
) -> torch.Tensor:
    """``(length, coarse)`` weights of coarse pixels from `start` on in fine ones from `corner`."""
    fine = torch.arange(corner, corner + length, dtype=torch.float64)
    if align_corners:
        position = fine * (size - 1) / (2 * size - 1)
    else:
        position = ((fine + 0.5) / 2 - 0.5).clamp(min=0)
    first = position.floor()
    share = position - first
    inside = (fine >= 0) & (fine < 2 * size)
    count = length // 2 + (3 if align_corners else 2)
    coarse = torch.arange(start, start + count, dtype=torch.float64)
    second = (first + 1).clamp(max=size - 1)
    weights = (coarse == first[:, None]) * (1 - share[:, None])
    weights = weights + (coarse == second[:, None]) * share[:, None]
    return weights * inside[:, None]


def _gate(patches: GradientPatches, mask: torch.Tensor) -> None:
    """Set to zero, in place, the values where an ``(H, W, C)`` mask is 0 and those outside it."""
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
