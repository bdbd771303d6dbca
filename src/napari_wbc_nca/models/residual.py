"""Residual network that classifies windows of single cells."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3×3 convolutions beside a path that skips them; halves the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, 2, 1)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.skip = nn.Conv2d(inputs, outputs, 1, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convert ``(B, inputs, H, W)`` to ``(B, outputs, ⌈H/2⌉, ⌈W/2⌉)``."""
        return F.relu(self.second(F.relu(self.first(x))) + self.skip(x))


class ResidualClassifier(nn.Module):
    """Residual network with a linear classifier over mean and maximum of its last features.

    The first convolution and each block halve the resolution.


    Parameters
    ----------
    widths
        Channels of the first convolution and of each block.
    classes
        Outputs of the classifier.
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 5, 2, 2)
        self.blocks = nn.Sequential(*(Block(*pair) for pair in pairwise(widths)))
        self.head = nn.Linear(2 * widths[-1], classes)

    def features(self, x: Tensor) -> Tensor:
        """Pool mean and maximum of the last features of ``(B, 3, H, W)`` windows, ``(B, F)``."""
        x = self.blocks(F.relu(self.stem(x.contiguous(memory_format=torch.channels_last))))
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Classify ``(B, 3, H, W)`` windows: ``(B, classes)`` logits."""
        logits: Tensor = self.head(self.features(x))
        return logits
