"""Rollout of an NCA over the cells that fire, and its gradient.

The state is kept channels-last inside a border of one pixel, so that the perception needs no
padding and the cells that fire are rows of a matrix. A few windows at a time go through all
steps: their state then stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_wbc_nca.models.firing import Firing

IMAGE_CHANNELS = 3
# Bytes of state that go through all steps together.
_CHUNK = {"cpu": 2**21}
_CHUNK_OTHERS = 2**28


class Weights(NamedTuple):
    """Parameters of one step, in the published layout.

    Attributes
    ----------
    kernel0, kernel1
        ``(C, 1, 3, 3)`` channel-wise kernels of the perception.
    bias0, bias1
        ``(C,)`` their biases.
    inner
        ``(hidden, 3C)`` weight of the update's first layer, for (state, p0, p1).
    inner_bias
        ``(hidden,)``.
    outer
        ``(C, hidden)`` weight of the update's second layer.
    """

    kernel0: Tensor
    bias0: Tensor
    kernel1: Tensor
    bias1: Tensor
    inner: Tensor
    inner_bias: Tensor
    outer: Tensor


@dataclass(frozen=True)
class Plan:
    """What a rollout does besides its weights.

    Attributes
    ----------
    seed, rate, steps
        Of the draws, share of the cells that fire, number of steps.
    origin
        ``(B, 2)`` int64 absolute coordinates of each window's first pixel.
    keep
        Keep the states of all steps for the gradient; otherwise they are computed anew.
    """

    seed: int
    rate: float
    steps: int
    origin: Tensor
    keep: bool = True


class Trace(NamedTuple):
    """What the gradient of one step needs: padded state, fired rows, hidden activations."""

    state: Tensor
    rows: Tensor
    hidden: Tensor


def chunks(image: Tensor, channels: int) -> Iterator[slice]:
    """Slices of the batch whose states fit the cache, or the accelerator, together."""
    size = image[0, 0].numel() * channels * image.element_size()
    count = max(1, _CHUNK.get(image.device.type, _CHUNK_OTHERS) // size)
    for first in range(0, len(image), count):
        yield slice(first, min(first + count, len(image)))


def reflect(padded: Tensor) -> None:
    """Write the border of ``(B, H+2, W+2, C)`` anew from its inside, by reflection."""
    padded[:, 0] = padded[:, 2]
    padded[:, -1] = padded[:, -3]
    padded[:, :, 0] = padded[:, :, 2]
    padded[:, :, -1] = padded[:, :, -3]


def fold(gradient: Tensor) -> Tensor:
    """Adjoint of :func:`reflect`: ``(B, H+2, W+2, C)`` to its ``(B, H, W, C)`` inside."""
    gradient[:, :, 2] += gradient[:, :, 0]
    gradient[:, :, -3] += gradient[:, :, -1]
    gradient[:, 2] += gradient[:, 0]
    gradient[:, -3] += gradient[:, -1]
    return gradient[:, 1:-1, 1:-1]


class Window:
    """A few windows on their way through the steps.

    Parameters
    ----------
    image
        ``(B, 3, H, W)`` normalised image.
    weights
        Parameters of the step.
    plan
        Draws and steps; its `origin` belongs to these windows.
    """

    def __init__(self, image: Tensor, weights: Weights, plan: Plan) -> None:
        batch, _, height, width = image.shape
        channels = len(weights.outer)
        self.weights = weights
        self.parts = [part.t() for part in weights.inner.split(channels, dim=1)]
        # The update leaves the image's channels as they are.
        self.outer = weights.outer.t().clone()
        self.outer[:, :IMAGE_CHANNELS] = 0
        self.padded = image.new_zeros(batch, height + 2, width + 2, channels)
        self.padded[:, 1:-1, 1:-1, :IMAGE_CHANNELS] = image.permute(0, 2, 3, 1)
        reflect(self.padded)
        self.firing = Firing(plan.seed, plan.origin, (height, width), plan.rate)
        shape = self.padded.shape[:3]
        every = torch.arange(shape.numel(), device=image.device).view(shape)
        self.inside = every[:, 1:-1, 1:-1].reshape(-1)

    @property
    def state(self) -> Tensor:
        """``(B, H, W, C)`` view of the state."""
        return self.padded[:, 1:-1, 1:-1]

    def perceive(self, padded: Tensor, rows: Tensor) -> list[Tensor]:
        """``(N, C)`` own state and both convolutions of the cells in `rows`."""
        w, channels = self.weights, padded.shape[-1]
        field = padded.permute(0, 3, 1, 2)
        seen = [padded.view(-1, channels).index_select(0, self.inside[rows])]
        for kernel, bias in ((w.kernel0, w.bias0), (w.kernel1, w.bias1)):
            convolved = F.conv2d(field, kernel, bias, groups=channels)
            seen.append(convolved.permute(0, 2, 3, 1).reshape(-1, channels).index_select(0, rows))
        return seen

    def hidden(self, seen: list[Tensor]) -> Tensor:
        """``(N, hidden)`` activations of the update's first layer."""
        total = torch.addmm(self.weights.inner_bias, seen[0], self.parts[0])
        for part, weight in zip(seen[1:], self.parts[1:], strict=True):
            total.addmm_(part, weight)
        return total.relu_()

    def step(self, number: int) -> tuple[Tensor, Tensor]:
        """Update the cells that fire in step `number`; return their rows and activations."""
        rows = self.firing.rows(number)
        if not len(rows):
            return rows, self.padded.new_zeros(0, len(self.weights.inner))
        # A product of a single row takes another path and differs in its last bits.
        computed = rows if len(rows) > 1 else rows.repeat(2)
        hidden = self.hidden(self.perceive(self.padded, computed))[: max(len(rows), 2)]
        update = hidden @ self.outer
        flat = self.padded.view(-1, self.padded.shape[-1])
        flat.index_add_(0, self.inside[rows], update[: len(rows)])
        reflect(self.padded)
        return rows, hidden[: len(rows)]

    def trace(self, steps: int) -> list[Trace]:
        """Go through all steps and keep what their gradient needs."""
        kept = []
        for number in range(steps):
            before = self.padded.clone()
            kept.append(Trace(before, *self.step(number)))
        return kept

    def back(self, traces: list[Trace], gradient: Tensor) -> tuple[Tensor, Weights]:
        """Gradients of the first state's image and of the weights.

        Parameters
        ----------
        traces
            As :meth:`trace` returned them.
        gradient
            ``(B, H, W, C)`` of the last state, contiguous; overwritten.
        """
        total = Weights(*(torch.zeros_like(weight) for weight in self.weights))
        while traces:
            gradient = self._back_step(traces.pop(), gradient, total)
        total.outer[:IMAGE_CHANNELS] = 0
        return gradient[..., :IMAGE_CHANNELS].permute(0, 3, 1, 2), total

    def _back_step(self, trace: Trace, gradient: Tensor, total: Weights) -> Tensor:
        """Add one step's gradients to `total`; return that of the state before it."""
        channels = gradient.shape[-1]
        flat = gradient.view(-1, channels)
        change = flat.index_select(0, trace.rows)
        total.outer.addmm_(change.t(), trace.hidden)
        inner = torch.where(trace.hidden > 0, change @ self.outer.t(), 0)
        total.inner_bias.add_(inner.sum(0))
        seen = self.perceive(trace.state, trace.rows)
        for part, grad in zip(seen, total.inner.split(channels, dim=1), strict=True):
            grad.addmm_(inner.t(), part)
        w = self.weights
        for kernel, bias, part in ((0, 1, 1), (2, 3, 2)):
            sparse = torch.zeros_like(flat)
            sparse.index_copy_(0, trace.rows, inner @ self.parts[part].t())
            grads = torch.ops.aten.convolution_backward(
                sparse.view(gradient.shape).permute(0, 3, 1, 2),
                trace.state.permute(0, 3, 1, 2), w[kernel], [channels],
                [1, 1], [0, 0], [1, 1], False, [0, 0], channels, [True, True, True],
            )  # fmt: skip
            gradient += fold(grads[0].permute(0, 2, 3, 1))
            total[kernel].add_(grads[1])
            total[bias].add_(grads[2])
        flat.index_add_(0, trace.rows, inner @ self.parts[0].t())
        return gradient


class Rollout(torch.autograd.Function):
    """Rollout with a gradient; see :func:`rollout`."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, plan: Plan, *weights: Tensor) -> Tensor:
        """``(B, H, W, C)`` state after the plan's steps."""
        ctx.plan, ctx.windows = plan, []
        ctx.save_for_backward(image, *weights)
        states = []
        for part, window in windows(image, Weights(*weights), plan):
            ctx.windows.append((part, window, window.trace(plan.steps) if plan.keep else None))
            if not plan.keep:
                ctx.windows[-1] = (part, None, None)
                for number in range(plan.steps):
                    window.step(number)
            states.append(window.state.clone())
        return torch.cat(states)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Gradients of the image and of each weight."""
        image, *weights = ctx.saved_tensors
        total = Weights(*(torch.zeros_like(weight) for weight in weights))
        images = torch.empty_like(image)
        for part, window, traces in ctx.windows:
            if window is None:
                window = one_window(image, Weights(*weights), ctx.plan, part)
                traces = window.trace(ctx.plan.steps)
            images[part], grads = window.back(traces, gradients[0][part].clone())
            for sum_, grad in zip(total, grads, strict=True):
                sum_.add_(grad)
        return images, None, *total


def one_window(image: Tensor, weights: Weights, plan: Plan, part: slice) -> Window:
    """Windows `part` of the batch, before their first step."""
    own = Plan(plan.seed, plan.rate, plan.steps, plan.origin[part], plan.keep)
    return Window(image[part], weights, own)


def windows(image: Tensor, weights: Weights, plan: Plan) -> Iterator[tuple[slice, Window]]:
    """All windows of a batch, a few at a time."""
    for part in chunks(image, len(weights.outer)):
        yield part, one_window(image, weights, plan, part)
