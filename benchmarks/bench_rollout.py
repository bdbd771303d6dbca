"""Rollout against the papers' plain formulation, with the same δ.

pytest -p pytest_benchmark.plugin benchmarks/bench_rollout.py

``papers`` is their size, and takes minutes; ``-k short`` takes seconds. The times of both stand in
one table; the test of the difference compares the states of all steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_wbc_nca.models.firing import fire_mask
from napari_wbc_nca.models.nca import NCA

CHANNELS, SIDE = 128, 64
SIZES = {"short": (8, 8), "papers": (64, 64)}
"""Name to crops and steps."""


@dataclass(frozen=True, eq=False)
class Setting:
    """A network and the crops it runs over."""

    network: NCA
    image: Tensor

    def ours(self) -> Tensor:
        """State ``(B, H, W, C)``, only the cells that fire computed."""
        return self.network.rollout(self.image)

    def plain(self) -> Tensor:
        """The same from a state ``(B, C, H, W)``, all cells computed, δ multiplied at the end."""
        net, image = self.network, self.image
        batch, _, height, width = image.shape
        line = torch.arange(SIDE)
        state = torch.cat((image, image.new_zeros(batch, net.channels - 3, height, width)), 1)
        for step in range(net.steps):
            mask = fire_mask(0, step, line[:, None], line, 0.5)[..., None]
            seen = torch.cat((state, net.p0(state), net.p1(state)), 1)
            update = net.fc1(F.relu(net.fc0(seen.permute(0, 2, 3, 1)))) * mask
            changed = state + update.permute(0, 3, 1, 2)
            state = torch.cat((image, changed[:, 3:]), 1)
        return state.permute(0, 2, 3, 1)


@pytest.fixture(params=SIZES)
def setting(request: pytest.FixtureRequest) -> Setting:
    """The papers' network and random crops."""
    crops, steps = SIZES[request.param]
    torch.manual_seed(0)
    network = NCA(CHANNELS, CHANNELS, steps).eval().requires_grad_(False)
    return Setting(network, torch.randn(crops, 3, SIDE, SIDE))


@pytest.mark.parametrize("formulation", ["plain", "ours"])
def test_rollout(benchmark: Any, setting: Setting, formulation: str) -> None:
    """Time one rollout."""
    with torch.inference_mode():
        run = getattr(setting, formulation)
        benchmark.pedantic(run, rounds=1 if setting.network.steps == SIZES["papers"][1] else 5)


def test_difference(setting: Setting) -> None:
    """Largest difference, relative to the largest state."""
    with torch.inference_mode():
        ours, plain = setting.ours(), setting.plain()
    assert float((ours - plain).abs().max() / plain.abs().max()) < 1e-5
