"""Probability of each class, from logits."""

from __future__ import annotations

import torch


def probabilities(logits: torch.Tensor, several: bool) -> torch.Tensor:
    """Probability of each class ``(B, classes, h, w)``.

    `several` classes may be at one pixel, or just one.
    """
    return torch.sigmoid(logits) if several else torch.softmax(logits, 1)
