"""What is fitted to the states of an automaton that stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import nn

from napari_wbc_nca.types import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.params import NcaTrainParams
    from napari_wbc_nca.methods.windows import Batch, Windows
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
    batches, taken = max(1, count // params.batch), []
    for number in range(batches):
        batch = windows.draw(params.batch, random)
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
