from __future__ import annotations

import torch

from napari_wbc_nca.models import nca_bfloat16, nca_kernel
from napari_wbc_nca.models.nca import NCA


def network():
    torch.manual_seed(1)
    found = NCA(16, 32, 4, classes=3, pool="mean_max", readouts=0)
    torch.nn.init.normal_(found.fc1.weight, std=0.1)
    return found


def gradients(found, state):
    """Gradient of each weight of the step by a loss that all pixels of all channels change."""
    found.zero_grad()
    state = state.contiguous()
    weight = torch.linspace(-1, 1, state[0].numel()).view(state.shape[1:])
    ((state - 0.2) ** 2 * weight).mean().backward()
    return {name: p.grad.clone() for name, p in found.named_parameters() if p.grad is not None}


def test_state_and_gradients_are_those_of_the_exact_rollout():
    found, image = network(), torch.rand(2, 3, 11, 9)
    exact = found.rollout(image, fire_rate=1.0)
    fast = nca_bfloat16.rollout(image, found._weights(), found.steps, 1.0).permute(0, 2, 3, 1)
    assert torch.equal(fast[..., :3].permute(0, 3, 1, 2), image)
    assert (fast - exact).norm() < 0.01 * exact.norm()
    expected, own = gradients(found, exact), gradients(found, fast)
    assert expected.keys() == own.keys()
    for name, gradient in expected.items():
        assert (own[name] - gradient).norm() < 0.03 * gradient.norm(), name


def test_cells_fire_at_the_rate_asked_for():
    found, image = network(), torch.zeros(1, 3, 64, 64)
    torch.nn.init.ones_(found.fc0.bias)
    state = nca_bfloat16.rollout(image, found._weights(), 1, 0.25).detach()
    fired = (state[0, nca_kernel.IMAGE_CHANNELS :].abs().amax(0) > 0).float().mean()
    assert 0.22 < fired < 0.28
