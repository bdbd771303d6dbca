"""Fit linear readouts of frozen features to a few examples, with known weights as the prior."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

_FEW = 5.0  # examples by which the prior counts as much as they do
_ITERATIONS = 100
_LEAST = 1e-12  # probability


class Head(NamedTuple):
    """Linear classifier: weight ``(C, F)`` and bias ``(C,)`` of C classes."""

    weight: Float
    bias: Float


def class_probabilities(features: npt.NDArray[Any], head: Head) -> Float:
    """Compute the mean softmax over the passes of each cell.

    Parameters
    ----------
    features
        ``(N, P, F)``, of P passes of each of N cells.
    head
        The classifier.

    Returns
    -------
    ndarray
        ``(N, C)`` probabilities.
    """
    return np.asarray(_softmax(features @ head.weight.T + head.bias).mean(1), np.float64)


def fit_head(
    features: npt.NDArray[Any],
    allowed: Bool,
    prior: Head,
    strength: float,
    moved_classes: Bool | None = None,
) -> Head:
    r"""Fit a classifier of frozen features to examples, as near to `prior` as they allow.

    .. math:: \min_{W, b} \frac{n}{n + 5} \sum_i v_i \Big(-\log \sum_{c \in S_i} p_c(f_i)\Big)
        + \lambda \big(s^2 |W - W_0|^2 + |b - b_0|^2\big)

    with the mean probability p over the passes of a cell, the scale s of the features, and weights
    v that sum to 1, the same sum for each set of classes. Without examples the prior is returned.
    This is maximum a posteriori estimation with a Gaussian prior around :math:`W_0, b_0` (Chelba
    and Acero, *Adaptation of maximum entropy capitalizer*, EMNLP 2004).

    Parameters
    ----------
    features
        ``(N, P, F)``, of P passes of each of N cells.
    allowed
        ``(N, C)``: the set S of classes that a cell may have.
    prior
        The classifier before.
    strength
        λ.
    moved_classes
        ``(C,)``: the classes whose weights may change; all by default.

    Examples
    --------
    >>> prior = Head(np.zeros((2, 1)), np.zeros(2))
    >>> head = fit_head(np.array([[[1.0]], [[-1.0]]]), np.eye(2, dtype=bool), prior, 0.01)
    >>> class_probabilities(np.array([[[1.0]]]), head)[0].argmax()
    np.int64(0)
    """
    count = len(features)
    if not count:
        return prior
    values, shape = np.asarray(features, np.float64), prior.weight.shape
    flat = values.reshape(-1, shape[1])
    scale = float(np.sqrt(flat.var(0).mean())) or 1.0
    weights = _balanced(allowed) * count / (count + _FEW)
    own = allowed[:, None, :]
    free = np.ones(shape[0], bool) if moved_classes is None else moved_classes

    def loss(parameters: Float) -> tuple[float, Float]:
        weight, bias = parameters[: prior.weight.size].reshape(shape), parameters[-shape[0] :]
        soft = _softmax(values @ weight.T + bias)  # (N, P, C)
        right = (soft * own).sum(2).mean(1).clip(_LEAST)
        towards = -(weights / right)[:, None, None] * own / values.shape[1]
        slope = soft * (towards - (soft * towards).sum(2, keepdims=True))
        moved, shifted = (weight - prior.weight) * scale, bias - prior.bias
        cost = -(weights * np.log(right)).sum()
        cost += strength * ((moved**2).sum() + (shifted**2).sum())
        by_weight = slope.reshape(-1, shape[0]).T @ flat + 2 * strength * scale * moved
        by_bias = slope.sum((0, 1)) + 2 * strength * shifted
        slopes = [(by_weight * free[:, None]).ravel(), by_bias * free]
        return float(cost), np.concatenate(slopes)

    start = np.concatenate([prior.weight.ravel(), prior.bias]).astype(np.float64)
    options = {"maxiter": _ITERATIONS}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return Head(found[: prior.weight.size].reshape(shape), found[-shape[0] :])


def _softmax(logits: Float) -> Float:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float64)


def _balanced(allowed: Bool) -> Float:
    """Weight examples so that each set of classes counts alike; the weights sum to 1."""
    _, own, counts = np.unique(allowed, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(1 / (counts[own.ravel()] * len(counts)), np.float64)
