"""Rollout of an NCA over the cells that fire, and its gradient.

The state is kept channels-last inside a border of one pixel, so that the perception needs no
padding and the cells that fire are rows of a matrix. A few windows at a time go through all
steps: their state then stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
    """What the gradient of one step needs.

    Attributes
    ----------
    state
        ``(B, H+2, W+2, C)`` padded state before the step.
    rows
        ``(N,)`` flat indices of the cells that fired.
    seen
        Three ``(N, C)``: their own state and both convolutions.
    hidden
        ``(N, hidden)`` activations of the update's first layer.
    """

    state: Tensor
    rows: Tensor
    seen: list[Tensor]
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
        self.parts = [part.t().contiguous() for part in torch.split(weights.inner, channels, dim=1)]
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

    def perceive(self, rows: Tensor) -> list[Tensor]:
        """``(N, C)`` own state and both convolutions of the cells in `rows`."""
        w, channels = self.weights, self.padded.shape[-1]
        field = self.padded.permute(0, 3, 1, 2)
        seen = [self.padded.view(-1, channels).index_select(0, self.inside[rows])]
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

    def step(self, number: int) -> None:
        """Update the cells that fire in step `number`."""
        rows = self.firing.rows(number)
        if len(rows):
            self._update(rows)

    def trace(self, steps: int) -> list[Trace]:
        """Go through all steps and keep what their gradient needs."""
        kept = []
        for number in range(steps):
            rows = self.firing.rows(number)
            if len(rows):
                before = self.padded.clone()
                kept.append(Trace(before, rows, *self._update(rows)))
        return kept

    def _update(self, rows: Tensor) -> tuple[list[Tensor], Tensor]:
        """Update the cells in `rows`; return what they saw, and their activations."""
        # A product of a single row takes another path and differs in its last bits.
        computed = rows if len(rows) > 1 else rows.repeat(2)
        seen = self.perceive(computed)
        hidden = self.hidden(seen)
        after = torch.addmm(seen[0], hidden, self.outer)
        count = len(rows)
        flat = self.padded.view(-1, self.padded.shape[-1])
        flat.index_copy_(0, self.inside[rows], after[:count])
        reflect(self.padded)
        return [part[:count] for part in seen], hidden[:count]

    def back(self, traces: list[Trace], gradient: Tensor, total: Weights) -> Tensor:
        """Add the weights' gradients to `total`; return that of the image.

        Parameters
        ----------
        traces
            As :meth:`trace` returned them; consumed.
        gradient
            ``(B, H, W, C)`` of the last state, contiguous; overwritten.
        total
            Where the weights' gradients are summed.
        """
        while traces:
            gradient = self._back_step(traces.pop(), gradient, total)
        return gradient[..., :IMAGE_CHANNELS].permute(0, 3, 1, 2)

    def _back_step(self, trace: Trace, gradient: Tensor, total: Weights) -> Tensor:
        """Add one step's gradients to `total`; return that of the state before it."""
        channels = gradient.shape[-1]
        flat = gradient.view(-1, channels)
        change = flat.index_select(0, trace.rows)
        total.outer.addmm_(change.t(), trace.hidden)
        inner = torch.ops.aten.threshold_backward(change @ self.outer.t(), trace.hidden, 0)
        total.inner_bias.add_(inner.sum(0))
        columns = torch.split(total.inner, channels, dim=1)
        for part, grad in zip(trace.seen, columns, strict=True):
            grad.addmm_(inner.t(), part)
        flat.index_copy_(0, trace.rows, change.addmm_(inner, self.parts[0].t()))
        w = self.weights
        for kernel, weight, kernel_grad, bias_grad in (
            (w.kernel0, self.parts[1], total.kernel0, total.bias0),
            (w.kernel1, self.parts[2], total.kernel1, total.bias1),
        ):
            sparse = torch.zeros_like(flat).index_copy_(0, trace.rows, inner @ weight.t())
            grads = torch.ops.aten.convolution_backward(
                sparse.view(gradient.shape).permute(0, 3, 1, 2),
                trace.state.permute(0, 3, 1, 2), kernel, [channels],
                [1, 1], [0, 0], [1, 1], False, [0, 0], channels, [True, True, True],
            )  # fmt: skip
            gradient += fold(grads[0].permute(0, 2, 3, 1))
            kernel_grad.add_(grads[1])
            bias_grad.add_(grads[2])
        return gradient


class _Rollout(torch.autograd.Function):
    """All steps as one node of the gradient's graph."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, plan: Plan, *weights: Tensor) -> Tensor:
        ctx.plan, ctx.traces = plan, {}
        ctx.save_for_backward(image, *weights)
        states = []
        for part, window in windows(image, Weights(*weights), plan):
            if plan.keep:
                ctx.traces[part.start] = window.trace(plan.steps)
            else:
                for number in range(plan.steps):
                    window.step(number)
            states.append(window.state)
        return torch.cat(states)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        image, *weights = ctx.saved_tensors
        total = Weights(*(torch.zeros_like(weight) for weight in weights))
        images = torch.empty_like(image)
        for part, window in windows(image, Weights(*weights), ctx.plan):
            traces = ctx.traces.pop(part.start, None) or window.trace(ctx.plan.steps)
            images[part] = window.back(traces, gradients[0][part].clone(), total)
        total.outer[:IMAGE_CHANNELS] = 0
        return images, None, *total


def differentiable(image: Tensor, plan: Plan, weights: Weights) -> Tensor:
    """``(B, H, W, C)`` state after all steps, with a gradient."""
    state: Tensor = _Rollout.apply(image, plan, *weights)  # type: ignore[no-untyped-call]
    return state


def windows(image: Tensor, weights: Weights, plan: Plan) -> Iterator[tuple[slice, Window]]:
    """Windows of a batch before their first step, a few at a time."""
    for part in chunks(image, len(weights.outer)):
        yield part, Window(image[part], weights, replace(plan, origin=plan.origin[part]))
