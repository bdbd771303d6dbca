from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from napari_wbc_nca.models.lrp import relevance


def layers(channels: int = 5, head: int = 7, classes: int = 4, seed: int = 0) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    shapes = ((head, channels), (head,), (classes, head), (classes,))
    return [torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in shapes]


def inputs(batch: int = 3, channels: int = 5) -> Tensor:
    draw = torch.Generator().manual_seed(9)
    return torch.randn(batch, channels, generator=draw, dtype=torch.float64)


def by_loops(
    a: list[float], w2: Tensor, b2: Tensor, w3: Tensor, b3: Tensor, target: int, epsilon: float
) -> list[float]:
    head, channels = w2.shape
    z2 = [sum(a[i] * float(w2[j, i]) for i in range(channels)) + float(b2[j]) for j in range(head)]
    h = [max(z, 0.0) for z in z2]
    z3 = sum(h[j] * float(w3[target, j]) for j in range(head)) + float(b3[target])
    share = z3 / (z3 + (epsilon if z3 >= 0 else -epsilon))
    r2 = [h[j] * float(w3[target, j]) * share for j in range(head)]
    stable = [z + (epsilon if z >= 0 else -epsilon) for z in z2]
    return [
        sum(a[i] * float(w2[j, i]) * r2[j] / stable[j] for j in range(head))
        for i in range(channels)
    ]


@pytest.mark.parametrize("epsilon", [1e-6, 0.25, 3.0])
@pytest.mark.parametrize("target", [0, 3])
def test_equals_the_formula_by_loops(epsilon: float, target: int) -> None:
    found = relevance(inputs(), *layers(), target=target, epsilon=epsilon)
    expected = [by_loops(row.tolist(), *layers(), target, epsilon) for row in inputs()]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_a_target_of_its_own_for_each_row() -> None:
    targets = torch.tensor([2, 0, 1])
    found = relevance(inputs(), *layers(), target=targets, epsilon=0.1)
    for row, target in enumerate(targets.tolist()):
        alone = relevance(inputs(), *layers(), target=target, epsilon=0.1)
        torch.testing.assert_close(found[row], alone[row])


def test_one_layer_shares_its_logit_by_the_weights() -> None:
    weight, bias = torch.tensor([[1.0, 2.0], [3.0, -1.0]]), torch.zeros(2)
    found = relevance(torch.tensor([[4.0, 5.0]]), weight, bias, target=1, epsilon=0)
    assert found.tolist() == [[12.0, -5.0]]


def test_sums_to_the_logit_without_bias_and_epsilon() -> None:
    w2, b2, w3, b3 = layers()
    weights = (w2, b2 * 0, w3, b3 * 0)
    logits = torch.relu(inputs() @ w2.t()) @ w3.t()
    total = relevance(inputs(), *weights, target=1, epsilon=0).sum(1)
    torch.testing.assert_close(total, logits[:, 1])


def test_bias_keeps_its_share() -> None:
    w2, b2, w3, b3 = layers()
    logits = torch.relu(inputs() @ w2.t() + b2) @ w3.t() + b3
    total = relevance(inputs(), w2, b2, w3, b3, target=1, epsilon=0).sum(1)
    assert ((total - logits[:, 1]).abs() > 1e-3).all()


def test_sign_of_zero_is_one() -> None:
    weights = (torch.ones(1, 2), torch.zeros(1), torch.ones(2, 1), torch.tensor([0.0, 5.0]))
    # Both layers' outputs are 0 for class 0; ε keeps the quotient finite.
    found = relevance(torch.tensor([[1.0, -1.0]]), *weights, target=0, epsilon=0.5)
    assert found.tolist() == [[0.0, 0.0]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("epsilon", [1e-4, 0.3])
def test_agrees_with_captum(epsilon: float) -> None:
    captum = pytest.importorskip("captum.attr", reason="captum is not installed")
    rules = pytest.importorskip("captum.attr._utils.lrp_rules")
    w2, b2, w3, b3 = layers()
    net = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 4)).double()
    net.load_state_dict({"0.weight": w2, "0.bias": b2, "2.weight": w3, "2.bias": b3})
    for layer in (net[0], net[2]):
        layer.rule = rules.EpsilonRule(epsilon=epsilon)
    expected = captum.LRP(net).attribute(inputs().requires_grad_(), target=2)
    found = relevance(inputs(), w2, b2, w3, b3, target=2, epsilon=epsilon)
    torch.testing.assert_close(found, expected.detach())


@pytest.mark.parametrize("target", [-1, 4])
def test_target_that_is_no_class(target: int) -> None:
    with pytest.raises(ValueError, match=f"target is {target}; classes are numbered 0 to 3"):
        relevance(inputs(), *layers(), target=target)


def test_negative_epsilon() -> None:
    with pytest.raises(ValueError, match=r"epsilon is -1\.0; it must be at least 0"):
        relevance(inputs(), *layers(), target=0, epsilon=-1.0)
