"""Fast rollout of the automaton: steps over the cells that fire, their gradient, and threads.

The state is kept channels-last inside a border of one pixel, so that the perception needs no
padding and the cells that fire are rows of a matrix. The plain step is
:func:`~napari_wbc_nca.models.nca.nca_step`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_wbc_nca.models.firing import FiringSchedule
from napari_wbc_nca.progress import run_to_end

IMAGE_CHANNELS = 3
# Products of fewer rows a thread take other paths, and differ in their last bits.
_MIN_ROWS = 256


class Weights(NamedTuple):
    """Parameters of one step, in the published layout."""

    kernel0: Tensor  # (C, 1, 3, 3), channel-wise, of the perception
    bias0: Tensor  # (C,)
    kernel1: Tensor  # (C, 1, 3, 3)
    bias1: Tensor  # (C,)
    inner: Tensor  # (hidden, 3C), first layer of the update, for (state, p0, p1)
    inner_bias: Tensor  # (hidden,)
    outer: Tensor  # (C, hidden), second layer of the update


@dataclass(frozen=True)
class Plan:
    """Settings of a rollout."""

    seed: int  # of δ
    rate: float  # share of the cells that fire
    steps: int
    origin: Tensor  # (B, 2) int64, absolute row and column of each window's first pixel
    keep: bool = True  # keep the states of all steps for the gradient, not recompute them


class StepTape(NamedTuple):
    """Values of one step that its gradient needs."""

    state: Tensor  # (B, H+2, W+2, C), padded, before the step
    rows: Tensor  # (N,), flat indices of the cells that fired
    perceived: list[Tensor]  # three (N, C): their state and both convolutions
    hidden: Tensor  # (N, hidden), activations of the update's first layer


def reflect(padded: Tensor) -> None:
    """Write the border of ``(B, H+2, W+2, C)`` by reflection of its inside."""
    padded[:, 0] = padded[:, 2]
    padded[:, -1] = padded[:, -3]
    padded[:, :, 0] = padded[:, :, 2]
    padded[:, :, -1] = padded[:, :, -3]


def reflect_adjoint(gradient: Tensor) -> Tensor:
    """Apply the adjoint of :func:`reflect`: ``(B, H+2, W+2, C)`` to its ``(B, H, W, C)`` inside."""
    gradient[:, :, 2] += gradient[:, :, 0]
    gradient[:, :, -3] += gradient[:, :, -1]
    gradient[:, 2] += gradient[:, 0]
    gradient[:, -3] += gradient[:, -1]
    return gradient[:, 1:-1, 1:-1]


def repeat_rows(rows: Tensor) -> Tensor:
    """Repeat a few ``(N, ...)`` rows, N > 0, until matrix products are bit-equal."""
    if len(rows) >= _MIN_ROWS:
        return rows
    return rows[torch.arange(_MIN_ROWS, device=rows.device) % len(rows)]


class KernelState:
    """State of the windows `part` of a batch ``(B, 3, H, W)``, before their first step."""

    def __init__(self, image: Tensor, weights: Weights, plan: Plan, part: slice) -> None:
        image, origin = image[part], plan.origin[part]
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
        self.firing = FiringSchedule(plan.seed, origin, (height, width), plan.rate)
        shape = self.padded.shape[:3]
        every = torch.arange(shape.numel(), device=image.device).view(shape)
        self.inside = every[:, 1:-1, 1:-1].reshape(-1)

    @property
    def state(self) -> Tensor:
        """``(B, H, W, C)`` view of the state."""
        return self.padded[:, 1:-1, 1:-1]

    def perceive(self, rows: Tensor) -> list[Tensor]:
        """Compute the ``(N, C)`` state and both convolutions of the cells in `rows`."""
        w, channels, field = self.weights, len(self.weights.outer), self.padded.permute(0, 3, 1, 2)
        perceived = [self.padded.view(-1, channels).index_select(0, self.inside[rows])]
        for kernel, bias in ((w.kernel0, w.bias0), (w.kernel1, w.bias1)):
            convolved = F.conv2d(field, kernel, bias, groups=channels)
            flat = convolved.permute(0, 2, 3, 1).reshape(-1, channels)
            perceived.append(flat.index_select(0, rows))
        return perceived

    def hidden(self, perceived: list[Tensor]) -> Tensor:
        """Return the ``(N, hidden)`` activations of the update's first layer."""
        total = torch.addmm(self.weights.inner_bias, perceived[0], self.parts[0])
        for part, weight in zip(perceived[1:], self.parts[1:], strict=True):
            total.addmm_(part, weight)
        return total.relu_()

    def step(self, number: int, tapes: list[StepTape] | None = None) -> None:
        """Update the cells that fire in step `number`; add to `tapes` what its gradient needs."""
        rows = self.firing.rows(number)
        count = len(rows)
        if not count:
            return
        before = self.padded if tapes is None else self.padded.clone()
        perceived = self.perceive(repeat_rows(rows))
        hidden = self.hidden(perceived)
        after = torch.addmm(perceived[0], hidden, self.outer)
        flat = self.padded.view(-1, self.padded.shape[-1])
        flat.index_copy_(0, self.inside[rows], after[:count])
        reflect(self.padded)
        if tapes is not None:
            cut = [values[:count] for values in perceived]
            tapes.append(StepTape(before, rows, cut, hidden[:count]))

    def record(self, steps: int, keep: bool = True) -> list[StepTape]:
        """Run all steps and return what their gradient needs, where it is to be kept."""
        tapes: list[StepTape] = []
        for number in range(steps):
            self.step(number, tapes if keep else None)
        return tapes

    def backward(self, tapes: list[StepTape], gradient: Tensor) -> tuple[Tensor, Weights]:
        """Compute the gradients of the image and of the weights; consumes the tapes.

        `gradient` is that of the last state, ``(B, H, W, C)`` and contiguous; it is overwritten.
        """
        total = Weights(*(torch.zeros_like(weight) for weight in self.weights))
        while tapes:
            self._step_backward(tapes.pop(), gradient, total)
        total.outer[:IMAGE_CHANNELS] = 0
        return gradient[..., :IMAGE_CHANNELS].permute(0, 3, 1, 2), total

    def _step_backward(self, tape: StepTape, gradient: Tensor, total: Weights) -> None:
        """Add one step's gradients to `total`; turn `gradient` into that of the state before."""
        channels = gradient.shape[-1]
        flat = gradient.view(-1, channels)
        change = flat.index_select(0, tape.rows)
        total.outer.addmm_(change.t(), tape.hidden)
        inner = torch.ops.aten.threshold_backward(change @ self.outer.t(), tape.hidden, 0)
        total.inner_bias.add_(inner.sum(0))
        columns = torch.split(total.inner, channels, dim=1)
        for part, grad in zip(tape.perceived, columns, strict=True):
            grad.addmm_(inner.t(), part)
        flat.index_copy_(0, tape.rows, change.addmm_(inner, self.parts[0].t()))
        w = self.weights
        for kernel, weight, kernel_grad, bias_grad in (
            (w.kernel0, self.parts[1], total.kernel0, total.bias0),
            (w.kernel1, self.parts[2], total.kernel1, total.bias1),
        ):
            sparse = torch.zeros_like(flat).index_copy_(0, tape.rows, inner @ weight.t())
            grads = torch.ops.aten.convolution_backward(
                sparse.view(gradient.shape).permute(0, 3, 1, 2),
                tape.state.permute(0, 3, 1, 2), kernel, [channels],
                [1, 1], [0, 0], [1, 1], False, [0, 0], channels, [True, True, True],
            )  # fmt: skip
            gradient += reflect_adjoint(grads[0].permute(0, 2, 3, 1))
            kernel_grad.add_(grads[1])
            bias_grad.add_(grads[2])


# Bytes of state that go through all steps together: in cache, or in an accelerator's memory.
_CHUNK = 2**21
_CHUNK_ACCELERATOR = 2**30
_SECONDS_BETWEEN_YIELDS = 0.1


def batch_slices(image: Tensor, channels: int, threads: int) -> list[slice]:
    """Cut a batch ``(B, 3, H, W)`` into slices that fit the cache and occupy all threads."""
    batch, _, height, width = image.shape
    on_cpu = image.device.type == "cpu"
    size = height * width * channels * image.element_size()
    count = math.ceil(batch / max(1, (_CHUNK if on_cpu else _CHUNK_ACCELERATOR) // size))
    if on_cpu:
        count = math.ceil(count / threads) * threads
    each = math.ceil(batch / count)
    return [slice(first, min(first + each, batch)) for first in range(0, batch, each)]


@contextmanager
def _threads(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Pool of threads for `jobs` jobs, which divide PyTorch's threads among them."""
    own = torch.get_num_threads()
    count = max(1, min(jobs, own))
    pool = ThreadPoolExecutor(count, "", torch.set_num_threads, (max(1, own // count),))
    try:
        with pool:
            yield pool
    finally:
        # The number is a thread's own, but new threads take the one that was set last.
        torch.set_num_threads(own)


def rollout_steps(
    image: Tensor, weights: Weights, plan: Plan
) -> Generator[tuple[int, int], None, Tensor]:
    """Run all steps without a gradient to the contiguous state; yield window-steps done and all."""
    batch, _, height, width = image.shape
    cut = batch_slices(image, len(weights.outer), torch.get_num_threads())
    done = dict.fromkeys(range(len(cut)), 0)
    stop = Event()
    with torch.inference_mode():
        states = image.new_empty(batch, height, width, len(weights.outer))

    def through(index: int) -> None:
        part = cut[index]
        with torch.inference_mode():
            window = KernelState(image, weights, plan, part)
            for number in range(plan.steps):
                if stop.is_set():
                    return
                window.step(number)
                done[index] += part.stop - part.start
            states[part] = window.state

    with _threads(len(cut)) as pool:
        try:
            waiting = {pool.submit(through, index) for index in done}
            while waiting:
                finished, waiting = wait(waiting, timeout=_SECONDS_BETWEEN_YIELDS)
                for future in finished:
                    future.result()
                yield sum(done.values()), batch * plan.steps
        finally:
            stop.set()
    return states


def rollout(image: Tensor, weights: Weights, plan: Plan) -> Tensor:
    """Run all steps to ``(B, H, W, C)``; with a gradient where gradients are enabled."""
    if torch.is_grad_enabled():
        state: Tensor = _Rollout.apply(image, plan, *weights)  # type: ignore[no-untyped-call]
        return state
    return run_to_end(rollout_steps(image, weights, plan))


class _Rollout(torch.autograd.Function):
    """All steps as one node of the gradient's graph."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, plan: Plan, *weights: Tensor) -> Tensor:
        cut = batch_slices(image, len(Weights(*weights).outer), torch.get_num_threads())

        def through(part: slice) -> tuple[Tensor, list[StepTape]]:
            window = KernelState(image, Weights(*weights), plan, part)
            tapes = window.record(plan.steps, plan.keep)
            return window.state, tapes

        results = _each(through, cut)
        ctx.save_for_backward(image, *weights)
        ctx.plan, ctx.cut = plan, cut
        ctx.tapes = {part.start: tapes for part, (_, tapes) in zip(cut, results, strict=True)}
        return torch.cat([state for state, _ in results])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        image, *weights = ctx.saved_tensors

        def back(part: slice) -> tuple[Tensor, Weights]:
            window = KernelState(image, Weights(*weights), ctx.plan, part)
            tapes = ctx.tapes.pop(part.start, None) or window.record(ctx.plan.steps)
            return window.backward(tapes, gradients[0][part].clone())

        results = _each(back, ctx.cut)
        totals = zip(*(total for _, total in results), strict=True)
        return torch.cat([found for found, _ in results]), None, *map(sum, totals)


def _each(job: Callable[[slice], Any], cut: Sequence[slice]) -> list[Any]:
    """Return results of `job` for each slice, in order, computed in parallel without a graph."""

    def alone(part: slice) -> Any:
        # A new thread would record gradients.
        with torch.no_grad():
            return job(part)

    with _threads(len(cut)) as pool:
        return list(pool.map(alone, cut))
