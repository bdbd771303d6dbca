"""The readout of cell and nucleus, fitted to the features of an automaton that stays as it is."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from napari_wbc_nca.methods.fits import fit_linear, over_windows
from napari_wbc_nca.methods.weak import IGNORED, NUCLEUS, OUTSIDE

if TYPE_CHECKING:
    from napari_wbc_nca.methods.params import NcaTrainParams
    from napari_wbc_nca.methods.windows import Batch, Windows
    from napari_wbc_nca.models.nca import NCA
    from napari_wbc_nca.types import Progress

_PIXELS = 400  # drawn from a window; neighbours say nearly the same
_PULL = 1e-3  # weight of the distance to where the readout was
_ITERATIONS = 100


def fit_readout(
    network: NCA, windows: Windows, params: NcaTrainParams
) -> Generator[Progress, None, None]:
    """Fit the linear readout to the pixels of ``params.readout`` windows, in place.

    By binary cross-entropy over the pixels whose target is known; see
    :func:`~napari_wbc_nca.methods.fits.fit_linear`. A few drawn cells are enough for it, and it
    takes seconds where training the automaton takes minutes.
    """
    features, targets = yield from _pixels(network, windows, params)
    if network.centre is None or not len(targets):
        return
    wanted = torch.stack([targets != OUTSIDE, targets == NUCLEUS], -1).to(features.dtype)
    fit_linear(
        network.centre,
        features,
        lambda logits: binary_cross_entropy_with_logits(logits, wanted),
        _PULL,
        _ITERATIONS,
    )


def _pixels(
    network: NCA, windows: Windows, params: NcaTrainParams
) -> Generator[Progress, None, tuple[torch.Tensor, torch.Tensor]]:
    """Features ``(N, C)`` and targets ``(N,)`` of some known pixels of each window."""
    shuffle = torch.Generator().manual_seed(params.seed)

    def take(states: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        features, targets = [], []
        for state, target in zip(states, batch.targets, strict=True):
            known = (target != IGNORED).flatten().nonzero()[:, 0]
            some = known[torch.randperm(len(known), generator=shuffle)[:_PIXELS]]
            features.append(state.flatten(0, 1)[some.to(state.device)])
            targets.append(target.flatten()[some].to(state.device))
        return torch.cat(features), torch.cat(targets)

    taken = yield from over_windows(
        network, windows, params.readout, params, "Fitting the readout", take, salt=(1,)
    )
    features, targets = zip(*taken, strict=True)
    return torch.cat(features), torch.cat(targets)
