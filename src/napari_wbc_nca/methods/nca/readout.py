"""The readout of cell and nucleus, fitted to the features of an automaton that stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from napari_wbc_nca.methods.nca.losses import focal_loss
from napari_wbc_nca.methods.nca.samples import IGNORED, NUCLEUS, OUTSIDE
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.nca.params import NcaTrainParams
    from napari_wbc_nca.methods.nca.windows import Batch, Windows
    from napari_wbc_nca.models.nca import NCA


T = TypeVar("T")


def over_windows(
    network: NCA,
    windows: Windows,
    count: int,
    params: NcaTrainParams,
    message: str,
    take: Callable[[torch.Tensor, Batch], T],
    salt: tuple[int, ...] = (),
) -> Generator[Progress, None, list[T]]:
    """What `take` makes of the last states of about `count` windows, a batch at a time.

    Parameters
    ----------
    network
        Its automaton runs once over each window, without a gradient.
    windows, count
        What is drawn from, and how many.
    params
        Of the training; its batch and seed.
    message
        Of the progress.
    take
        Given ``(B, h, w, C)`` states and the batch they are of.
    salt
        Joins the seed, so that other fits draw other windows.
    """
    random = np.random.default_rng((params.seed, count, *salt))
    device = next(network.parameters()).device
    batches, taken = max(1, count // params.batch_size), []
    for number in range(batches):
        batch = windows.draw(params.batch_size, random)
        with torch.no_grad():
            states = network.rollout(batch.images.to(device), number, batch.origin)
            taken.append(take(states, batch))
        yield Progress(number + 1, batches, message)
    return taken


def fit_linear(
    layer: nn.Linear,
    features: torch.Tensor,
    loss: Callable[[torch.Tensor], torch.Tensor],
    pull: float,
    iterations: int,
) -> None:
    r"""Fit a linear layer to features, in place, starting from what it is.

    .. math:: \min_{w, b} L(f w + b) + \lambda |w - w_0|^2

    over standardised features f, by L-BFGS; :math:`w_0` is the layer's weight as it was.

    Parameters
    ----------
    layer
        With as many inputs as there are features.
    features
        ``(N, F)``.
    loss
        Of the layer's ``(N, outputs)`` values.
    pull
        λ.
    iterations
        At most.
    """
    mean, spread = features.mean(0), features.std(0) + 1e-3
    standard = (features - mean) / spread
    start = (layer.weight * spread).detach()
    weight = start.clone().requires_grad_()
    bias = (layer.bias + layer.weight @ mean).detach().requires_grad_()
    steps = torch.optim.LBFGS([weight, bias], max_iter=iterations, line_search_fn="strong_wolfe")

    def value() -> torch.Tensor:
        steps.zero_grad()
        result = loss(standard @ weight.T + bias) + pull * ((weight - start) ** 2).sum()
        result.backward()  # type: ignore[no-untyped-call]
        return result

    with torch.enable_grad():
        steps.step(value)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        layer.weight.copy_(weight / spread)
        layer.bias.copy_(bias - layer.weight @ mean)


_PIXELS = 400  # drawn from a window; neighbours say nearly the same
_PULL = 1e-3  # weight of the distance to where the readout was
_ITERATIONS = 100


def fit_readout(
    network: NCA, windows: Windows, params: NcaTrainParams
) -> Generator[Progress, None, None]:
    """Fit the linear readout to the pixels of ``params.readout`` windows, in place.

    By binary cross-entropy over the pixels whose target is known; see :func:`fit_linear`. A few
    drawn cells are enough for it, and it takes seconds where training the automaton takes minutes.
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
        network, windows, params.readout_fit_windows, params, "Fitting the readout", take, salt=(1,)
    )
    features, targets = zip(*taken, strict=True)
    return torch.cat(features), torch.cat(targets)


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
        params.classifier_fit_windows,
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
            loss = focal_loss(head(features[rows]), allowed[rows], params.focal_gamma)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
