r"""Rollout of the automaton for training, with products in bfloat16 and the state in float32.

Processors with matrix units multiply bfloat16 several times faster than float32. Perception and
the first layer of the update are one convolution here,

.. math:: W_0 (c,\; p_0 * c,\; p_1 * c) + b = k * c + b',

which costs three times the products and saves the passes over memory. Prediction stays in float32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_wbc_nca.models.nca_kernel import IMAGE_CHANNELS, Weights

_PRODUCTS, _LAYOUT = torch.bfloat16, torch.channels_last
_weight_gradients = torch.ops.aten.convolution_backward


def rollout(image: Tensor, weights: Weights, steps: int, fire_rate: float) -> Tensor:
    """Run `steps` of the automaton, with a gradient of `weights`; firing cells are torch's draw.

    Returns the ``(B, C, H, W)`` float32 state of ``(B, 3, H, W)`` images, H and W at least 3. The
    image has no gradient.
    """
    kernel, bias = _compose(weights)
    # The update leaves the image's channels as they are.
    outer = F.pad(weights.outer[IMAGE_CHANNELS:], (0, 0, IMAGE_CHANNELS, 0))
    apply: Any = _Bfloat16Rollout.apply  # torch declares no types for it
    state: Tensor = apply(image, kernel, bias, outer, steps, fire_rate)
    return state


def _compose(weights: Weights) -> tuple[Tensor, Tensor]:
    """Return ``(hidden, C, 3, 3)`` kernel and ``(hidden,)`` bias of perception and first layer."""
    own, first, second = torch.split(weights.inner, len(weights.outer), 1)  # (hidden, C) each
    kernel = F.pad(own[:, :, None, None], (1, 1, 1, 1))
    kernel = kernel + first[:, :, None, None] * weights.kernel0[:, 0]
    kernel = kernel + second[:, :, None, None] * weights.kernel1[:, 0]
    return kernel, weights.inner_bias + first @ weights.bias0 + second @ weights.bias1


class _Bfloat16Rollout(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        kernel: Tensor,
        bias: Tensor,
        outer: Tensor,
        steps: int,
        fire_rate: float,
    ) -> Tensor:
        """Keep of each step the padded state and the activations, both in bfloat16."""
        batch, _, height, width = image.shape
        kernel = kernel.to(_PRODUCTS).contiguous(memory_format=_LAYOUT)
        bias, outer = bias.to(_PRODUCTS), outer.to(_PRODUCTS)[:, :, None, None]
        empty = image.new_zeros(batch, len(outer) - IMAGE_CHANNELS, height, width)
        state = torch.cat([image, empty], 1).contiguous(memory_format=_LAYOUT)
        ctx.kept, ctx.weights = [], (kernel, outer)
        for _ in range(steps):
            padded = F.pad(state.to(_PRODUCTS), (1, 1, 1, 1), mode="reflect")
            padded = padded.contiguous(memory_format=_LAYOUT)
            hidden = F.conv2d(padded, kernel, bias).relu_()
            fire = torch.rand(batch, 1, height, width, device=image.device) < fire_rate
            hidden.mul_(fire.to(_PRODUCTS))
            state += F.conv2d(hidden, outer)
            ctx.kept.append((padded, hidden))
        return state

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        """Go back step by step; sums of the weights' gradients are float32."""
        kernel, outer = ctx.weights
        turned = kernel.flip(2, 3).transpose(0, 1).contiguous(memory_format=_LAYOUT)
        back = outer.transpose(0, 1).contiguous()
        gradient = gradients[0].contiguous(memory_format=_LAYOUT).clone()
        sums = [torch.zeros(w.shape, device=w.device) for w in (kernel, kernel[:, 0, 0, 0], outer)]
        for padded, hidden in reversed(ctx.kept):
            own = gradient.to(_PRODUCTS)
            sums[2] += _of_weights(own, hidden, outer, bias=False)[0]
            # Zero where the cell did not fire, too: its activation is 0.
            inner = torch.ops.aten.threshold_backward(F.conv2d(own, back), hidden, 0)
            for total, part in zip(
                sums, _of_weights(inner, padded, kernel, bias=True), strict=False
            ):
                total += part
            gradient += _unpad(F.conv2d(inner, turned, padding=2))
        ctx.kept = None
        return None, sums[0], sums[1], sums[2][:, :, 0, 0], None, None


def _of_weights(gradient: Tensor, source: Tensor, kernel: Tensor, bias: bool) -> list[Tensor]:
    """Compute the gradients of a convolution's kernel, and of its bias where it has one."""
    sizes = [len(kernel)] if bias else None
    plain = ([1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    found = _weight_gradients(gradient, source, kernel, sizes, *plain, [False, True, bias])
    return [part for part in found[1:] if part is not None]


def _unpad(padded: Tensor) -> Tensor:
    """Add the reflected border of ``(B, C, H+2, W+2)`` to its ``(B, C, H, W)`` inside."""
    for axis in (2, 3):
        for border, source in ((0, 2), (-1, -3)):
            padded.select(axis, source).add_(padded.select(axis, border))
    return padded[:, :, 1:-1, 1:-1]
