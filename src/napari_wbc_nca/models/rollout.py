"""Rollouts of batches, and their gradient.

A few windows at a time go through all steps, so that their state stays in the processor's
cache. Each thread takes its own windows and computes alone: threads that share every single
operation wait for each other many times a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from threading import Event
from typing import Any

import torch
from torch import Tensor

from napari_wbc_nca.models.step import Plan, Trace, Weights, Window

# Bytes of state that go through all steps together: in cache, or in an accelerator's memory.
_CHUNK = 2**21
_CHUNK_ACCELERATOR = 2**30
_SECONDS_BETWEEN_YIELDS = 0.1


def parts(image: Tensor, channels: int, threads: int) -> list[slice]:
    """Cut a batch into slices that fit the cache and occupy all threads.

    Parameters
    ----------
    image
        ``(B, 3, H, W)``.
    channels
        Channels of the state.
    threads
        Threads that take slices.
    """
    batch, _, height, width = image.shape
    on_cpu = image.device.type == "cpu"
    size = height * width * channels * image.element_size()
    fitting = max(1, (_CHUNK if on_cpu else _CHUNK_ACCELERATOR) // size)
    count = math.ceil(batch / fitting)
    if on_cpu:
        count = math.ceil(count / threads) * threads
    each = math.ceil(batch / max(count, 1))
    return [slice(first, min(first + each, batch)) for first in range(0, batch, max(each, 1))]


@contextmanager
def _crew(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for `jobs` jobs, which divide PyTorch's threads among themselves."""
    own = torch.get_num_threads()
    count = max(1, min(jobs, own))
    pool = ThreadPoolExecutor(
        count, initializer=torch.set_num_threads, initargs=(max(1, own // count),)
    )
    try:
        with pool:
            yield pool
    finally:
        # The number is a thread's own, but new threads take the one that was set last.
        torch.set_num_threads(own)


def rollout_steps(
    image: Tensor, weights: Weights, plan: Plan
) -> Generator[tuple[int, int], None, Tensor]:
    """All steps without a gradient, yielding window-steps done and in all.

    Returns
    -------
    Tensor
        ``(B, H, W, C)`` state, contiguous.
    """
    batch, _, height, width = image.shape
    cut = parts(image, len(weights.outer), torch.get_num_threads())
    done = dict.fromkeys(range(len(cut)), 0)
    stop = Event()
    with torch.inference_mode():
        states = image.new_empty(batch, height, width, len(weights.outer))

    def through(index: int) -> None:
        part = cut[index]
        with torch.inference_mode():
            window = _window(image, weights, plan, part)
            for number in range(plan.steps):
                if stop.is_set():
                    return
                window.step(number)
                done[index] += part.stop - part.start
            states[part] = window.state

    with _crew(len(cut)) as pool:
        try:
            waiting: set[Future[None]] = {pool.submit(through, index) for index in done}
            while waiting:
                finished, waiting = wait(waiting, timeout=_SECONDS_BETWEEN_YIELDS)
                for future in finished:
                    future.result()
                yield sum(done.values()), batch * plan.steps
        finally:
            stop.set()
    return states


def rollout(image: Tensor, weights: Weights, plan: Plan) -> Tensor:
    """``(B, H, W, C)`` state after all steps; with a gradient where gradients are enabled."""
    if torch.is_grad_enabled():
        state: Tensor = _Rollout.apply(image, plan, *weights)  # type: ignore[no-untyped-call]
        return state
    run = rollout_steps(image, weights, plan)
    while True:
        try:
            next(run)
        except StopIteration as end:
            finished: Tensor = end.value
            return finished


class _Rollout(torch.autograd.Function):
    """All steps as one node of the gradient's graph."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, plan: Plan, *weights: Tensor) -> Tensor:
        cut = parts(image, len(Weights(*weights).outer), torch.get_num_threads())

        def through(part: slice) -> tuple[Tensor, list[Trace]]:
            window = _window(image, Weights(*weights), plan, part)
            if plan.keep:
                traces = window.trace(plan.steps)
                return window.state, traces
            for number in range(plan.steps):
                window.step(number)
            return window.state, []

        results = _each(through, cut)
        ctx.save_for_backward(image, *weights)
        ctx.plan, ctx.cut = plan, cut
        ctx.traces = {part.start: traces for part, (_, traces) in zip(cut, results, strict=True)}
        return torch.cat([state for state, _ in results])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        image, *weights = ctx.saved_tensors

        def back(part: slice) -> tuple[Tensor, Weights]:
            window = _window(image, Weights(*weights), ctx.plan, part)
            traces = ctx.traces.pop(part.start, None) or window.trace(ctx.plan.steps)
            return window.back(traces, gradients[0][part].clone())

        results = _each(back, ctx.cut)
        totals = zip(*(total for _, total in results), strict=True)
        return torch.cat([found for found, _ in results]), None, *map(sum, totals)


def _each(job: Callable[[slice], Any], cut: Sequence[slice]) -> list[Any]:
    """Results of `job` for each slice, in order, computed side by side without a graph."""

    def alone(part: slice) -> Any:
        # A new thread would record gradients.
        with torch.no_grad():
            return job(part)

    with _crew(len(cut)) as pool:
        return list(pool.map(alone, cut))


def _window(image: Tensor, weights: Weights, plan: Plan, part: slice) -> Window:
    """Windows `part` of a batch, before their first step."""
    return Window(image[part], weights, replace(plan, origin=plan.origin[part]))
