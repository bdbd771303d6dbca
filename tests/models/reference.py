"""The papers' plain formulation of the NCA, with δ given."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_wbc_nca.models.firing import fires
from napari_wbc_nca.models.nca import NCA


def plain_rollout(net: NCA, image: Tensor, seed: int, origin: Tensor, rate: float) -> Tensor:
    """State ``(B, C, H, W)``, every cell computed, the mask multiplied at the end."""
    batch, _, height, width = image.shape
    rest = image.new_zeros(batch, net.channels - 3, height, width)
    state = torch.cat((image, rest), 1)
    y = origin[:, 0, None, None] + torch.arange(height, device=image.device)[:, None]
    x = origin[:, 1, None, None] + torch.arange(width, device=image.device)
    for step in range(net.steps):
        seen = torch.cat((state, net.p0(state), net.p1(state)), 1).permute(0, 2, 3, 1)
        update = net.fc1(F.relu(net.fc0(seen)))
        update = update * fires(seed, step, y, x, rate)[..., None]
        changed = state + update.permute(0, 3, 1, 2)
        state = torch.cat((image, changed[:, 3:]), 1)
    return state.permute(0, 2, 3, 1)
