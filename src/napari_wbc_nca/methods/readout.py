"""The readout of cell and nucleus, fitted to the features of an automaton that stays as it is."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from napari_wbc_nca.methods.weak import IGNORED, NUCLEUS, OUTSIDE
from napari_wbc_nca.types import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.params import NcaTrainParams
    from napari_wbc_nca.methods.windows import Windows
    from napari_wbc_nca.models.nca import NCA

_PIXELS = 400  # drawn from a window; neighbours say nearly the same
_PULL = 1e-3  # weight of the distance to where the readout was
_ITERATIONS = 100


def fit_readout(
    network: NCA, windows: Windows, params: NcaTrainParams
) -> Generator[Progress, None, None]:
    r"""Fit the linear readout to the pixels of ``params.readout`` windows, in place.

    .. math:: \min_w \mathrm{BCE}(w \cdot f, t) + \lambda |w - w_0|^2

    over standardised features f of the pixels whose target t is known, by L-BFGS; :math:`w_0` is
    the readout as it was. A few drawn cells are enough for it, and it takes seconds where
    training the automaton takes minutes.
    """
    features, targets = yield from _pixels(network, windows, params)
    centre = network.centre
    if centre is None or not len(targets):
        return
    mean, spread = features.mean(0), features.std(0) + 1e-3
    start = (centre.weight * spread).detach()
    weight = start.clone().requires_grad_()
    bias = (centre.bias + centre.weight @ mean).detach().requires_grad_()
    wanted = torch.stack([targets != OUTSIDE, targets == NUCLEUS], -1).to(features.dtype)
    standard = (features - mean) / spread
    steps = torch.optim.LBFGS([weight, bias], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        steps.zero_grad()
        logits = standard @ weight.T + bias
        value = binary_cross_entropy_with_logits(logits, wanted)
        value = value + _PULL * ((weight - start) ** 2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        steps.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        centre.weight.copy_(weight / spread)
        centre.bias.copy_(bias - centre.weight @ mean)


def _pixels(
    network: NCA, windows: Windows, params: NcaTrainParams
) -> Generator[Progress, None, tuple[torch.Tensor, torch.Tensor]]:
    """Features ``(N, C)`` and targets ``(N,)`` of some known pixels of each window."""
    random = np.random.default_rng((params.seed, params.readout, 1))
    shuffle = torch.Generator().manual_seed(params.seed)
    device = next(network.parameters()).device
    features, targets = [], []
    count = max(1, params.readout // params.batch)
    for number in range(count):
        batch = windows.draw(params.batch, random)
        origin = torch.arange(params.batch)[:, None] * torch.tensor([4096, 0])
        with torch.no_grad():
            states = network.rollout(batch.images.to(device), number, origin)
        for state, target in zip(states, batch.targets, strict=True):
            known = (target != IGNORED).flatten().nonzero()[:, 0]
            some = known[torch.randperm(len(known), generator=shuffle)[:_PIXELS]]
            features.append(state.flatten(0, 1)[some.to(device)])
            targets.append(target.flatten()[some].to(device))
        yield Progress(number + 1, count, "Fitting the readout")
    return torch.cat(features), torch.cat(targets)
