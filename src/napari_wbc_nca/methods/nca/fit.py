"""Losses of classifier and readout, and their fit to the states of a frozen automaton."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from napari_wbc_nca.methods.nca.samples import CYTOPLASM, IGNORED, NUCLEUS, OUTSIDE
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.nca.params import NcaTrainParams
    from napari_wbc_nca.methods.nca.samples import WindowBatch, WindowSampler
    from napari_wbc_nca.models.nca import NCA

T = TypeVar("T")

_CYTOPLASM_WEIGHT = 3.0  # cytoplasm is small, pale, and easily taken for background
_PIXELS = 400  # drawn from a window; neighbours say nearly the same
_READOUT_DECAY, _READOUT_ITERATIONS = 1e-3, 100  # weight λ of the distance to the start
_CLASSIFIER_STEPS, _CLASSIFIER_ROWS = 600, 512
_CLASSIFIER_RATE, _CLASSIFIER_DECAY = 2e-3, 0.05


def focal_loss(logits: torch.Tensor, allowed: torch.Tensor, gamma: float) -> torch.Tensor:
    r"""Compute the mean focal loss of windows whose class is one of a set.

    .. math:: L = -(1 - p)^\gamma \log p, \qquad p = \sum_{c \in S} \mathrm{softmax}(z)_c

    With one allowed class this is the focal loss of Lin et al. (2017); with all types of white
    blood cell, a cell of unknown type trains the network to see one. Gamma 0 is cross-entropy.
    `logits` are ``(B, classes)``; `allowed`, ``(B, classes)`` bool, holds the set S of each window.
    Windows with an empty set are left out; 0 where none is left.
    """
    known = allowed.any(1)
    if not known.any():
        return logits.sum() * 0
    log_p = log_softmax(logits[known], 1)
    log_p = log_p.masked_fill(~allowed[known], -torch.inf).logsumexp(1).clamp(max=0)
    return (-((1 - log_p.exp()) ** gamma) * log_p).mean()


def readout_loss(readout: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Compute binary cross-entropy and Dice loss of the readout, for cell and for nucleus.

    `readout` holds ``(B, h, w, 2)`` logits of cell and of nucleus, `target` is ``(B, h, w)``.
    Pixels of cytoplasm count more in the cross-entropy, except in masks, which are exact.
    """
    wanted = _cell_and_nucleus(target).to(readout.dtype)
    known = (target != IGNORED)[..., None].to(readout.dtype)
    weight = known * torch.where(target == CYTOPLASM, _CYTOPLASM_WEIGHT, 1.0)[..., None]
    entropy = binary_cross_entropy_with_logits(readout, wanted, weight=weight)
    probability = readout.sigmoid() * known
    shared = (probability * wanted).sum((0, 1, 2))
    dice = 1 - (2 * shared + 1) / (probability.sum((0, 1, 2)) + (wanted * known).sum((0, 1, 2)) + 1)
    return entropy + 0.3 * dice.mean()


def _cell_and_nucleus(target: torch.Tensor) -> torch.Tensor:
    """Return ``(..., 2)`` bool: whether a pixel is cell, and whether nucleus."""
    return torch.stack([target != OUTSIDE, target == NUCLEUS], -1)


def fit_linear_readout(
    network: NCA, sampler: WindowSampler, params: NcaTrainParams
) -> Generator[Progress, None, None]:
    r"""Fit the linear readout to the pixels of ``params.readout_fit_windows`` windows, in place.

    .. math:: \min_{w, b} H(f w + b) + \lambda |w - w_0|^2

    H is the binary cross-entropy over standardised features f of pixels whose target is known,
    :math:`w_0` the weight as it was; by L-BFGS. A few masks are enough, and it takes seconds
    where training the automaton takes minutes.
    """
    layer = network.centre
    features, targets = yield from _pixels(network, sampler, params)
    if layer is None or not len(targets):
        return
    wanted = _cell_and_nucleus(targets).to(features.dtype)
    mean, spread = features.mean(0), features.std(0) + 1e-3
    standard = (features - mean) / spread
    start = (layer.weight * spread).detach()
    weight = start.clone().requires_grad_()
    bias = (layer.bias + layer.weight @ mean).detach().requires_grad_()
    steps = torch.optim.LBFGS(
        [weight, bias], max_iter=_READOUT_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        steps.zero_grad()
        entropy = binary_cross_entropy_with_logits(standard @ weight.T + bias, wanted)
        result = entropy + _READOUT_DECAY * ((weight - start) ** 2).sum()
        result.backward()  # type: ignore[no-untyped-call]
        return result

    with torch.enable_grad():
        steps.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        layer.weight.copy_(weight / spread)
        layer.bias.copy_(bias - layer.weight @ mean)


def _pixels(
    network: NCA, sampler: WindowSampler, params: NcaTrainParams
) -> Generator[Progress, None, tuple[torch.Tensor, torch.Tensor]]:
    """Sample features ``(N, C)`` and targets ``(N,)`` of some known pixels of each window."""
    shuffle = torch.Generator().manual_seed(params.seed)

    def take(states: torch.Tensor, batch: WindowBatch) -> tuple[torch.Tensor, torch.Tensor]:
        features, targets = [], []
        for state, target in zip(states, batch.targets, strict=True):
            known = (target != IGNORED).flatten().nonzero()[:, 0]
            some = known[torch.randperm(len(known), generator=shuffle)[:_PIXELS]]
            features.append(state.flatten(0, 1)[some.to(state.device)])
            targets.append(target.flatten()[some].to(state.device))
        return torch.cat(features), torch.cat(targets)

    count = params.readout_fit_windows
    random = np.random.default_rng((params.seed, count, 1))
    parts = yield from _map_states(
        network, sampler, count, params.batch_size, random, "Fitting the readout", take
    )
    features, targets = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(targets)


def fit_classifier(
    network: NCA, sampler: WindowSampler, params: NcaTrainParams
) -> Generator[Progress, None, None]:
    """Fit both layers of the classifier to ``params.classifier_fit_windows`` windows, in place.

    A rollout costs far more than the classifier, so each window is rolled out once and its
    standardised features serve many steps.
    """
    count = params.classifier_fit_windows
    parts = yield from _map_states(
        network,
        sampler,
        count,
        params.batch_size,
        np.random.default_rng((params.seed, count)),
        "Fitting the classifier",
        lambda states, batch: (network.pooled(states), batch.allowed.to(states.device)),
    )
    features, allowed = (torch.cat(part) for part in zip(*parts, strict=True))
    mean, spread = features.mean(0), features.std(0) + 1e-3
    first = nn.Linear(network.fc2.in_features, network.fc2.out_features, device=features.device)
    network.fc3.reset_parameters()
    head = nn.Sequential(first, nn.ReLU(), network.fc3)
    _fit_head(head, (features - mean) / spread, allowed, params)
    with torch.no_grad():
        network.fc2.weight.copy_(first.weight / spread)
        network.fc2.bias.copy_(first.bias - network.fc2.weight @ mean)


def _fit_head(
    head: nn.Module, features: torch.Tensor, allowed: torch.Tensor, params: NcaTrainParams
) -> None:
    shuffle = torch.Generator().manual_seed(params.seed)
    adam = torch.optim.AdamW(head.parameters(), _CLASSIFIER_RATE, weight_decay=_CLASSIFIER_DECAY)
    with torch.enable_grad():
        for _ in range(_CLASSIFIER_STEPS):
            rows = torch.randint(len(features), (_CLASSIFIER_ROWS,), generator=shuffle)
            loss = focal_loss(head(features[rows]), allowed[rows], params.focal_gamma)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()


def _map_states(
    network: NCA,
    sampler: WindowSampler,
    count: int,
    batch_size: int,
    random: np.random.Generator,
    message: str,
    take: Callable[[torch.Tensor, WindowBatch], T],
) -> Generator[Progress, None, list[T]]:
    """Collect `take` of the ``(B, h, w, C)`` last states of about `count` windows, by batches."""
    device = next(network.parameters()).device
    batches, taken = max(1, count // batch_size), []
    for number in range(batches):
        batch = sampler.draw(batch_size, random)
        with torch.no_grad():
            states = network.rollout(batch.images.to(device), number, batch.origin)
            taken.append(take(states, batch))
        yield Progress(number + 1, batches, message)
    return taken
