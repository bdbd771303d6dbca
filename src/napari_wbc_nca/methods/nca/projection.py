"""From the NCA's features to one response map of the cell, and one of its nucleus."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import avg_pool2d

from napari_wbc_nca.models.nca import NCA
from napari_wbc_nca.ops.response import pca_response

Projection = Callable[[NCA, torch.Tensor], torch.Tensor]
"""``(network, state (B, H, W, C)) -> (B, H, W)`` response in 0–1, larger where the cell is."""

_EVIDENCE_MEAN = 5  # side of the square over which evidence is averaged


def pca(network: NCA, state: torch.Tensor) -> torch.Tensor:
    """First principal component of each window's features, all channels, as NCA-WSS has it."""
    return torch.stack([_unit(torch.from_numpy(pca_response(w.cpu().numpy()))) for w in state])


def _unit(response: torch.Tensor) -> torch.Tensor:
    """Scaled to 0–1; zeros where constant."""
    low, high = response.min(), response.max()
    return (response - low) / (high - low) if high > low else torch.zeros_like(response)


def evidence(network: NCA, state: torch.Tensor) -> torch.Tensor:
    r"""Compute how much the class head finds a cell in each pixel's own features.

    .. math:: r = \sigma\Big(\mathrm{mean}_{5\times5}
        \big(\log\sum_{c \ne none} e^{z_c} - z_{none}\big)\Big)

    The last class is taken for none, as in all models trained here; without any readout (a
    published checkpoint, which knows no such class) it is the log-sum-exp alone.
    """
    logits = network.pixel_logits(state)
    if network.centre is None:
        response = logits.logsumexp(-1)
    else:
        response = logits[..., :-1].logsumexp(-1) - logits[..., -1]
    margin = _EVIDENCE_MEAN // 2
    smooth = avg_pool2d(response[:, None], _EVIDENCE_MEAN, 1, margin, count_include_pad=False)
    return smooth[:, 0].sigmoid()


def centre(network: NCA, state: torch.Tensor) -> torch.Tensor:
    """Probability by the linear readout that was taught by middles and surroundings of boxes."""
    return network.readout(state)[..., 0].sigmoid()


def best(network: NCA, state: torch.Tensor) -> torch.Tensor:
    """Probability of a cell by the centre readout, or by the evidence where there is none."""
    return evidence(network, state) if network.centre is None else centre(network, state)


def nucleus_or_evidence(network: NCA, state: torch.Tensor) -> torch.Tensor:
    """Probability of nucleus by the second readout, or the evidence where there is none."""
    if network.centre is None:
        return evidence(network, state)
    return network.readout(state)[..., 1].sigmoid()


PROJECTIONS: dict[str, Projection] = {
    "pca": pca,
    "evidence": evidence,
    "centre": centre,
    "grown": best,
}
GROWN = "grown"
"""Projection after which :func:`~napari_wbc_nca.ops.growth.grow_region` follows."""
