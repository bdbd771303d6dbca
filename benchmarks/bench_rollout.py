"""Rollout against the papers' plain formulation, with the same δ, in one run.

Run with ``python benchmarks/bench_rollout.py``; the papers' size takes minutes on two cores,
``--steps 8`` seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_wbc_nca.models.firing import fires
from napari_wbc_nca.models.nca import NCA


def plain_rollout(net: NCA, image: Tensor, masks: list[Tensor]) -> Tensor:
    """State ``(B, C, H, W)``, all cells computed, δ multiplied at the end."""
    batch, _, height, width = image.shape
    state = torch.cat((image, image.new_zeros(batch, net.channels - 3, height, width)), 1)
    for mask in masks:
        seen = torch.cat((state, net.p0(state), net.p1(state)), 1)
        update = net.fc1(F.relu(net.fc0(seen.permute(0, 2, 3, 1)))) * mask
        changed = state + update.permute(0, 3, 1, 2)
        state = torch.cat((image, changed[:, 3:]), 1)
    return state.permute(0, 2, 3, 1)


def timed(run: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """What `run` returns, and the seconds it took."""
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start


def main() -> None:
    """Print seconds of both, their ratio and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crops", type=int, default=64)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=1, help="the fastest of each counts")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    net = NCA(options.channels, options.hidden, options.steps)
    image = torch.randn(options.crops, 3, options.side, options.side)
    line = torch.arange(options.side)
    masks = [fires(0, step, line[:, None], line, 0.5)[..., None] for step in range(options.steps)]
    with torch.inference_mode():
        net.rollout(image[:1], steps=1)
        runs = [
            (timed(lambda: net.rollout(image)), timed(lambda: plain_rollout(net, image, masks)))
            for _ in range(options.repeats)
        ]
    ours, plain = (min(seconds for _, seconds in runs_of) for runs_of in zip(*runs, strict=True))
    (state, _), (expected, _) = runs[0]
    error = ((state - expected).abs().max() / expected.abs().max()).item()
    print(f"plain {plain:.2f} s, ours {ours:.2f} s, {plain / ours:.2f} times faster")
    print(f"largest difference {error:.1e} of the largest state")


if __name__ == "__main__":
    main()
