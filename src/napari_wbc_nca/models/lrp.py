"""Layer-wise relevance propagation (LRP), by the ε-rule, from a class to the pooled channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def relevance(
    pooled: Tensor, *layers: Tensor, target: int | Tensor, epsilon: float = 1e-9
) -> Tensor:
    """Compute the relevance of each channel for the logit of a class.

    From the logit back through the linear layers of the classifier,
    ``R_i = Σ_j a_i w_ij R_j / (z_j + ε sign z_j)`` with ``z_j = Σ_i a_i w_ij + b_j`` and
    ``sign 0 = 1`` (WBC-NCA); the ReLU between two passes relevance on. Each bias keeps its
    share: the relevances sum to the logit only at ε = 0 without biases.

    Parameters
    ----------
    pooled
        ``(B, C)`` pooled state.
    layers
        ``(outputs, inputs)`` weight and ``(outputs,)`` bias of each layer, from the first to the
        last; the first has C inputs, the last an output a class.
    target
        Index of the class to explain, one for all or ``(B,)`` int64.
    epsilon
        Stabiliser; at 0 a layer's output that is exactly 0 gives NaN.

    Returns
    -------
    ``(B, C)``, signed

    Raises
    ------
    ValueError
        For a negative `epsilon` or a target that is no class.

    Examples
    --------
    >>> import torch
    >>> one, none = torch.eye(2), torch.zeros(2)
    >>> relevance(torch.tensor([[3.0, 5.0]]), one, none, one, none, target=1).tolist()
    [[0.0, 5.0]]
    """
    if not epsilon >= 0:
        raise ValueError(f"epsilon is {epsilon!r}; it must be at least 0")
    targets = torch.as_tensor(target, device=pooled.device).expand(len(pooled))
    classes = len(layers[-1])
    if targets.numel() and not 0 <= int(targets.min()) <= int(targets.max()) < classes:
        raise ValueError(f"target is {target}; classes are numbered 0 to {classes - 1}")
    passed, inputs = [], pooled
    for weight, bias in zip(layers[::2], layers[1::2], strict=True):
        outputs = F.linear(inputs, weight, bias)
        passed.append((inputs, weight, outputs))
        inputs = F.relu(outputs)
    back = outputs * F.one_hot(targets, classes).to(outputs)
    for inputs, weight, outputs in reversed(passed):
        sign = torch.where(outputs >= 0, 1.0, -1.0).to(outputs)
        back = inputs * ((back / (outputs + epsilon * sign)) @ weight)
    return back
