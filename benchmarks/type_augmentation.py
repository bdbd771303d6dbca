"""Views of single cells: turned, scaled and stained otherwise, as other laboratories would.

All functions take and return batches of torch and draw from torch's generator.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SOURCE, CELL = 128, 64  # pixels of a crop, and of the box of the cell in it
OUTER, DIAMETER = 48, 29  # model pixels: of the window, of the box in it


def turn(crops: Tensor, varied: bool, scale: float = 0.2, shift: float = 0.06) -> Tensor:
    """Resample ``(B, 128, 128, 3)`` uint8 crops to ``(B, 3, 48, 48)`` in 0–255.

    Where `varied`, each is turned by any angle, flipped, scaled by up to `scale` either way and
    shifted by up to `shift` of the half side.
    """
    count = len(crops)
    angle, flip, size, stretch = (torch.zeros(count), *torch.ones(3, count))
    offset = torch.zeros(2, count)
    if varied:
        angle = torch.rand(count) * 2 * math.pi
        flip = (torch.rand(count) < 0.5) * 2.0 - 1
        size = ((torch.rand(count) * 2 - 1) * math.log(1 + scale)).exp()
        stretch = size * (0.06 * torch.randn(count)).exp()
        offset = (torch.rand(2, count) * 2 - 1) * shift
    zoom = CELL / DIAMETER * OUTER / SOURCE
    rows = [
        torch.stack([size * angle.cos() * flip * zoom, -stretch * angle.sin() * zoom, offset[0]]),
        torch.stack([size * angle.sin() * flip * zoom, stretch * angle.cos() * zoom, offset[1]]),
    ]
    grid = F.affine_grid(
        torch.stack(rows).permute(2, 0, 1), [count, 3, OUTER, OUTER], align_corners=False
    )
    half = F.avg_pool2d(crops.permute(0, 3, 1, 2).float(), 2)
    return F.grid_sample(half, grid, padding_mode="reflection", align_corners=False)


def density(pixels: Tensor) -> Tensor:
    """Compute ``(B, 3, H, W)`` optical densities against each window's own background.

    The same as :func:`~napari_wbc_nca.ops.stain.window_density`, but for every other pixel only
    that the percentile is taken of.
    """
    background = _quantile(pixels, 0.9).clamp(min=20)
    return ((background + 1) / (pixels + 1)).log().clamp(-0.3, 4)


def stain(densities: Tensor, strength: float = 1.0) -> Tensor:
    """Draw another stain, light, focus and noise for each window of ``(B, 3, H, W)`` densities."""
    count, _, height, width = densities.shape
    mixed = torch.rand(count, 1, 1) < 0.8
    matrix = torch.eye(3) + 0.2 * strength * torch.randn(count, 3, 3) * mixed
    gain = 0.35 * torch.randn(count, 1, 1) + 0.2 * torch.randn(count, 3, 1)
    matrix = matrix * (strength * gain).exp()
    found = torch.matmul(matrix, densities.flatten(2)).view_as(densities)
    gamma = 0.2 * torch.randn(count, 1, 1, 1) + 0.1 * torch.randn(count, 3, 1, 1)
    found = found.sign() * found.abs().clamp(min=1e-6) ** (strength * gamma).exp()
    found = found + _light(count, height, width, strength)
    found = refocus(found)
    noise = 0.06 * strength * torch.rand(count, 1, 1, 1)
    found = _pale(found + noise * torch.randn(found.shape))
    return found - _quantile(found, 0.1)


def _light(count: int, height: int, width: int, strength: float) -> Tensor:
    """Tint of the background, and light that falls off in a direction."""
    falls = [torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)]
    found = 0.05 * torch.randn(count, 3, 1, 1)
    for fall in falls:
        slope = 0.4 * torch.randn(count, 3, 1, 1) + torch.randn(count, 1, 1, 1)
        found = found + 0.06 * slope * fall
    return strength * found


def refocus(densities: Tensor) -> Tensor:
    """Blur half of the windows, sharpen some, and leave the others."""
    once = _smooth(densities)
    kind, weight = torch.rand(2, len(densities), 1, 1, 1)
    sharp = torch.where(kind < 0.65, densities + 1.5 * weight * (densities - once), densities)
    blurred = torch.where(kind < 0.25, once, _smooth(once))
    return torch.where(kind < 0.5, torch.lerp(densities, blurred, weight), sharp)


def _pale(densities: Tensor) -> Tensor:
    """Make all but the densest matter paler in a quarter of the windows."""
    total = densities.mean(1, keepdim=True)
    top = densities.flatten(2).amax(2).mean(1)[:, None, None, None]
    dense = torch.sigmoid((total / top - 0.35) * 14)
    factor = torch.ones(len(densities), 1, 1, 1)
    factor = torch.where(
        torch.rand(factor.shape) < 0.25, 0.4 + 0.6 * torch.rand(factor.shape), factor
    )
    return densities * (factor + (1 - factor) * dense)


def _smooth(values: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(values, (1, 1, 1, 1), mode="reflect"), 3, 1)


def _quantile(values: Tensor, share: float) -> Tensor:
    """``(B, 3, 1, 1)`` quantile of every other pixel of each window and channel."""
    few = values[:, :, ::2, ::2].flatten(2)
    return few.kthvalue(int(share * few.shape[2]) or 1, 2).values[:, :, None, None]
