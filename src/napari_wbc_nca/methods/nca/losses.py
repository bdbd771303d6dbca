"""What training minimises."""

from __future__ import annotations

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from napari_wbc_nca.methods.nca.samples import CYTOPLASM, IGNORED, NUCLEUS, OUTSIDE

_PALE = 3.0  # weight of cytoplasm, which is little, pale, and easily taken for background


def focal_loss(logits: torch.Tensor, allowed: torch.Tensor, gamma: float) -> torch.Tensor:
    r"""Focal loss of windows whose class is known only to be one of several.

    .. math:: L = -(1 - p)^\gamma \log p, \qquad p = \sum_{c \in S} \mathrm{softmax}(z)_c

    With one allowed class this is the focal loss of Lin et al. (2017); with all types of white
    blood cell, a cell of unknown type teaches that it is one. Gamma 0 is cross-entropy.

    Parameters
    ----------
    logits
        ``(B, classes)``.
    allowed
        ``(B, classes)`` bool, the set S of each window; windows with an empty set are left out.
    gamma
        Exponent.

    Returns
    -------
    Scalar, the mean over the windows that have a set; 0 when there is none.
    """
    known = allowed.any(1)
    if not known.any():
        return logits.sum() * 0
    log_p = log_softmax(logits[known], 1)
    log_p = log_p.masked_fill(~allowed[known], -torch.inf).logsumexp(1).clamp(max=0)
    return (-((1 - log_p.exp()) ** gamma) * log_p).mean()


def centre_loss(readout: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy and Dice of the centre projection, for cell and for nucleus.

    Pixels of cytoplasm count more than others in the cross-entropy, but for those that were
    drawn: what is known exactly needs no lean.

    Parameters
    ----------
    readout
        ``(B, h, w, 2)`` logits of cell and of nucleus.
    target
        ``(B, h, w)`` weak labels; ignored pixels are left out.
    """
    wanted = torch.stack([target != OUTSIDE, target == NUCLEUS], -1).to(readout.dtype)
    known = (target != IGNORED)[..., None].to(readout.dtype)
    weight = known * torch.where(target == CYTOPLASM, _PALE, 1.0)[..., None]
    entropy = binary_cross_entropy_with_logits(readout, wanted, weight=weight)
    probability = readout.sigmoid() * known
    shared = (probability * wanted).sum((0, 1, 2))
    dice = 1 - (2 * shared + 1) / (probability.sum((0, 1, 2)) + (wanted * known).sum((0, 1, 2)) + 1)
    return entropy + 0.3 * dice.mean()
