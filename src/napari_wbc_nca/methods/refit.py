"""The classifier fitted anew to the features of a trained automaton, which stays as it is."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_wbc_nca.methods.fits import over_windows
from napari_wbc_nca.methods.losses import focal_loss

if TYPE_CHECKING:
    from napari_wbc_nca.methods.params import NcaTrainParams
    from napari_wbc_nca.methods.windows import Windows
    from napari_wbc_nca.models.nca import NCA
    from napari_wbc_nca.types import Progress

_STEPS, _ROWS = 600, 512
_RATE, _SHRINK = 2e-3, 0.05  # step size and weight decay


def refit(
    network: NCA, windows: Windows, params: NcaTrainParams
) -> Generator[Progress, None, None]:
    """Fit both layers of the classifier to ``params.refit`` windows, in place.

    A rollout costs far more than the classifier, so each window is rolled out once and its
    features are learnt from many times. They are standardised meanwhile; the first layer takes
    that in at the end.
    """
    taken = yield from over_windows(
        network,
        windows,
        params.refit,
        params,
        "Fitting the classifier",
        lambda states, batch: (network.pooled(states), batch.allowed.to(states.device)),
    )
    features, allowed = (torch.cat(parts) for parts in zip(*taken, strict=True))
    mean, spread = features.mean(0), features.std(0) + 1e-3
    first = nn.Linear(network.fc2.in_features, network.fc2.out_features, device=features.device)
    network.fc3.reset_parameters()
    head = nn.Sequential(first, nn.ReLU(), network.fc3)
    _fit(head, (features - mean) / spread, allowed, params)
    with torch.no_grad():
        network.fc2.weight.copy_(first.weight / spread)
        network.fc2.bias.copy_(first.bias - network.fc2.weight @ mean)


def _fit(
    head: nn.Module, features: torch.Tensor, allowed: torch.Tensor, params: NcaTrainParams
) -> None:
    shuffle = torch.Generator().manual_seed(params.seed)
    adam = torch.optim.AdamW(head.parameters(), _RATE, weight_decay=_SHRINK)
    with torch.enable_grad():
        for _ in range(_STEPS):
            rows = torch.randint(len(features), (_ROWS,), generator=shuffle)
            loss = focal_loss(head(features[rows]), allowed[rows], params.gamma)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
