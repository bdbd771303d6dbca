"""U-Net: an encoder, a decoder with skips, and a linear head, as WSISPDR uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

_CONVOLUTIONS = 2  # of a block, each reaching one pixel further

Interval = tuple[int, int]


class UNet(nn.Module):
    r"""U-Net of double 3×3 convolutions with batch normalisation.

    Level :math:`i` of the encoder has ``widths[i]`` channels at :math:`2^{-i}` of the image's
    size. Level :math:`i` of the decoder takes (skip, upsampled) and has
    ``widths[max(i - 1, 0)]`` channels; Nishimura et al., *Weakly Supervised Cell Instance
    Segmentation by Propagating from Detection Response* (MICCAI 2019), with widths
    64-128-256-512-512.

    Without `align_corners` the network is equivariant to shifts by its `stride`: a crop whose
    first pixel lies on that grid, with `halo` more pixels on each side that does not lie on the
    image's border, gives the whole image's values. `stride` is the side in pixels of a pixel of
    the coarsest level, `halo` the greatest distance between an output pixel and what it depends on.

    Parameters
    ----------
    channels_in, outputs
        Channels of the image, and of the result.
    widths
        Channels of the encoder's levels, from fine to coarse; fewer than two raise ValueError.
    align_corners
        Upsample so that the corners of both grids meet, as the published network does. The logits
        of a crop then differ a little from those of the whole image.

    Examples
    --------
    >>> UNet(3, 2, widths=(4, 8))(torch.zeros(1, 3, 10, 13)).shape
    torch.Size([1, 2, 10, 13])
    """

    def __init__(
        self,
        channels_in: int,
        outputs: int,
        widths: Sequence[int] = (16, 32, 64, 128),
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"widths are {tuple(widths)}; expected those of two levels or more")
        self.channels_in, self.align_corners = channels_in, align_corners
        self.encoder = nn.ModuleList(
            _block(before, width)
            for before, width in zip((channels_in, *widths), widths, strict=False)
        )
        self.decoder = nn.ModuleList()
        below = widths[-1]
        for level in reversed(range(len(widths) - 1)):
            width = widths[max(level - 1, 0)]
            self.decoder.append(_block(widths[level] + below, width))
            below = width
        self.head = nn.Conv2d(below, outputs, 1)
        self.stride = 2 ** (len(widths) - 1)
        self.halo = 0
        for pixel in range(self.stride):
            low, high = _receptive_field(pixel, pixel, len(widths) - 1, align_corners)
            self.halo = max(self.halo, pixel - low, high - pixel)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute ``(B, outputs, H, W)`` logits of ``(B, channels_in, H, W)``, padded by zeros.

        Sides that are no multiples of `stride` are padded below and to the right first.
        """
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.stride, 0, -height % self.stride))
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for block in self.decoder:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=self.align_corners)
            x = block(torch.cat((skips.pop(), x), 1))
        logits: torch.Tensor = self.head(x)[..., :height, :width]
        return logits


class Norm(nn.BatchNorm2d):
    """Batch normalisation that does not count batches, so that all of its state is float32."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.register_buffer("num_batches_tracked", None)

    def _load_from_state_dict(self, *args: Any) -> None:
        # The parent's would add a count to states that have none.
        nn.Module._load_from_state_dict(self, *args)


def _block(before: int, after: int) -> nn.Sequential:
    """Build two convolutions; each rectifier is a separate module, for hooks."""
    layers: list[nn.Module] = []
    for width in (before, after):
        layers += [nn.Conv2d(width, after, 3, padding=1), Norm(after), nn.ReLU()]
    return nn.Sequential(*layers)


def _receptive_field(low: int, high: int, coarser: int, align_corners: bool) -> Interval:
    """Return the pixels of a level's input, with `coarser` levels, that a result needs."""
    low, high = low - _CONVOLUTIONS, high + _CONVOLUTIONS
    if not coarser:
        return low, high
    # Aligned corners move a position by up to half a coarse pixel, by how far it is across.
    first, last = (low - 1) // 2, (high if align_corners else high - 1) // 2 + 1
    first, last = _receptive_field(first, last, coarser - 1, align_corners)
    return 2 * first - _CONVOLUTIONS, 2 * last + 1 + _CONVOLUTIONS
