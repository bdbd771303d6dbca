"""An accelerator draws what the processor draws, and comes to the same states and labels."""

from __future__ import annotations

import pytest
import torch

from napari_wbc_nca.models.firing import FiringSchedule, fire_mask
from napari_wbc_nca.models.nca import NCA

THERE = {"cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.skipif(not there, reason=f"there is no {name}"))
        for name, there in THERE.items()
    ]
)
def device(request):
    return torch.device(request.param)


@pytest.mark.parametrize("seed", [0, 2**40 + 7])
@pytest.mark.parametrize("rate", [0.02, 0.5, 1.0])
def test_the_same_cells_fire(device, seed, rate):
    y, x = torch.arange(-70, 90)[:, None], torch.arange(-5, 200)
    origin = torch.tensor([[-70, -5], [12, 40]])
    here = FiringSchedule(seed, origin, (30, 40), rate)
    there = FiringSchedule(seed, origin.to(device), (30, 40), rate)
    for step in (0, 1, 63):
        drawn = fire_mask(seed, step, y.to(device), x.to(device), rate)
        assert torch.equal(drawn.cpu(), fire_mask(seed, step, y, x, rate))
        assert torch.equal(there.rows(step).cpu(), here.rows(step))


@pytest.mark.parametrize("pool", ["mean", "max", "mean_max", "parts"])
def test_the_states_and_labels_are_the_same(device, pool):
    torch.manual_seed(0)
    net = NCA(channels=12, hidden=16, steps=10, pool=pool).eval()
    image, origin = torch.randn(3, 3, 24, 20), torch.tensor([[0, 0], [-9, 4], [300, 7]])
    with torch.inference_mode():
        state = net.rollout(image, 7, origin)
        cells, types = net.readout(state), net.classify(state)
        net.to(device)
        found = net.rollout(image.to(device), 7, origin.to(device))
        # Convolutions may be rounded to ten bits there.
        torch.testing.assert_close(found.cpu(), state, rtol=1e-2, atol=1e-2)
        differ = (net.readout(found).cpu() > 0) != (cells > 0)
        assert differ.float().mean() < 0.01
        torch.testing.assert_close(net.classify(found).cpu(), types, rtol=1e-2, atol=1e-2)
