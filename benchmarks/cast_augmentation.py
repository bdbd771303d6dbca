"""Windows as other laboratories might stain, light and photograph them.

All functions take and return ``(B, 3, h, w)`` optical densities, 0 in the background, and draw from
torch's generator: none of the twelve fixed casts that measure (``casts.py``) is used here.
"""

from __future__ import annotations

import torch
from torch import Tensor
from type_augmentation import refocus

DYES = ((0.62, 0.71, 0.33), (0.16, 0.87, 0.46), (0.55, -0.45, 0.70))
"""Directions, in red, green and blue, of azure, of eosin and of what neither explains."""
_DARKEST = 0.004  # least share of light that a camera distinguishes from none


def cast(densities: Tensor, plain: float = 0.15) -> Tensor:
    """Change stain, light, camera, focus and noise; a share `plain` of windows stays as it is."""
    count = len(densities)
    found = camera(restain(paler(densities)))
    found = refocus(found)
    noise = 0.04 * torch.rand(count, 1, 1, 1)
    found = found + noise * torch.randn(found.shape) + 0.03 * torch.randn(count, 3, 1, 1)
    kept = torch.rand(count, 1, 1, 1) < plain
    return torch.where(kept, densities, found.clamp(-0.3, 4))


def paler(densities: Tensor) -> Tensor:
    """Leave 0.3 to 1 of the density of all but the densest matter in half of the windows."""
    count = len(densities)
    total = densities.mean(1, keepdim=True)
    top = total.flatten(2).quantile(0.98, 2)[..., None, None].clamp(min=0.1)
    middle, slope = 0.3 + 0.25 * torch.rand(2, count, 1, 1, 1)
    dense = ((total / top - middle) / slope).clamp(0, 1)
    left = 0.3 + 0.7 * torch.rand(count, 1, 1, 1)
    left = torch.where(torch.rand(count, 1, 1, 1) < 0.5, left, 1.0)
    return densities * (left + (1 - left) * dense)


def restain(densities: Tensor) -> Tensor:
    """Change amounts and colours of both dyes, and mix the channels by a random matrix."""
    count = len(densities)
    dyes = torch.tensor(DYES).expand(count, 3, 3)
    amounts = torch.linalg.solve(dyes.mT, densities.flatten(2))  # (B, 3 dyes, pixels)
    gain = 0.35 * torch.randn(count, 1, 1) + 0.35 * torch.randn(count, 3, 1)
    colours = dyes + 0.1 * torch.randn(count, 3, 3)
    found = colours.mT @ (gain.clamp(-1, 1).exp() * amounts)
    mixed = torch.eye(3) + 0.12 * torch.randn(count, 3, 3)
    channels = (0.2 * torch.randn(count, 3, 1)).clamp(-0.7, 0.7).exp()
    return (channels * (mixed @ found)).view_as(densities)


def camera(densities: Tensor) -> Tensor:
    """Light windows by a coloured lamp, change gamma, contrast and saturation, and measure again.

    Densities refer to the background as the camera shows it.
    """
    count = len(densities)
    lamp = 1 - 0.55 * torch.rand(count, 3, 1, 1) * torch.rand(count, 1, 1, 1)
    one = (count, 1, 1, 1)
    gamma = (0.3 * torch.randn(one)).clamp(-0.7, 0.7).exp()
    contrast = torch.where(torch.rand(one) < 0.6, 0.6 + 0.75 * torch.rand(one), 1.0)
    middle = 0.4 + 0.4 * torch.rand(one)
    saturation = torch.where(torch.rand(one) < 0.6, 0.25 + 1.25 * torch.rand(one), 1.0)

    def shown(light: Tensor) -> Tensor:
        stretched = contrast * (light.clamp(0, 1) ** gamma - middle) + middle
        return stretched.mean(1, keepdim=True).lerp(stretched, saturation).clamp(_DARKEST, 1)

    return (shown(lamp) / shown(lamp * (-densities).exp())).log()
