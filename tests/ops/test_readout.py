from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from napari_wbc_nca.ops.readout import Head, class_probabilities, fit_head

RANDOM = np.random.default_rng(0)
PRIOR = Head(RANDOM.normal(size=(3, 4)), RANDOM.normal(size=3))
FEATURES = RANDOM.normal(size=(6, 2, 4))
ALLOWED = np.eye(3, dtype=bool)[[0, 1, 2, 0, 1, 0]]


def by_loops(head: Head, features, allowed, prior: Head, strength: float) -> float:
    """Compute the objective of the docstring cell by cell."""
    sets = [tuple(row) for row in allowed.tolist()]
    scale = np.sqrt(features.reshape(-1, 4).var(0).mean())
    total = 0.0
    for cell, own in zip(features, sets, strict=True):
        p = np.mean([np.exp(z) / np.exp(z).sum() for z in cell @ head.weight.T + head.bias], 0)
        total -= np.log(p[list(own)].sum()) / (sets.count(own) * len(set(sets)))
    total *= len(sets) / (len(sets) + 5)
    moved = scale**2 * ((head.weight - prior.weight) ** 2).sum()
    return total + strength * (moved + ((head.bias - prior.bias) ** 2).sum())


def test_the_fit_is_the_minimum_of_the_stated_objective():
    found = fit_head(FEATURES, ALLOWED, PRIOR, 0.03)

    def loss(flat):
        return by_loops(Head(flat[:12].reshape(3, 4), flat[12:]), FEATURES, ALLOWED, PRIOR, 0.03)

    start = np.concatenate([PRIOR.weight.ravel(), PRIOR.bias])
    best = minimize(loss, start, method="BFGS", options={"gtol": 1e-7}).fun
    assert by_loops(found, FEATURES, ALLOWED, PRIOR, 0.03) == pytest.approx(best, abs=1e-6)


def test_nothing_changes_without_examples_and_more_with_more_of_them():
    assert fit_head(FEATURES[:0], ALLOWED[:0], PRIOR, 0.03) is PRIOR
    moved = [
        np.abs(fit_head(np.tile(FEATURES, (n, 1, 1)), np.tile(ALLOWED, (n, 1)), PRIOR, 0.03).weight
               - PRIOR.weight).sum()
        for n in (1, 3, 9)
    ]  # fmt: skip
    assert 0 < moved[0] < moved[1] < moved[2]


def test_a_strong_prior_holds_and_a_weak_one_gives_way():
    cells, own = np.repeat(FEATURES[:3, :1], 2, 1), ALLOWED[[1, 2, 0]]
    strong, weak = (fit_head(cells, own, PRIOR, value) for value in (1e6, 1e-4))
    np.testing.assert_allclose(strong.weight, PRIOR.weight, atol=1e-4)
    assert (class_probabilities(cells, weak).argmax(1) == own.argmax(1)).all()


def test_a_set_of_classes_is_fitted_as_their_sum():
    both = np.array([[True, True, False]])
    found = class_probabilities(FEATURES[:1], fit_head(FEATURES[:1], both, PRIOR, 1e-3))
    one = class_probabilities(FEATURES[:1], fit_head(FEATURES[:1], both & [1, 0, 1], PRIOR, 1e-3))
    before = class_probabilities(FEATURES[:1], PRIOR)
    assert found[0, :2].sum() > max(0.9, before[0, :2].sum())
    # The class that the model thinks likelier of the two stays so, unless the other is named.
    assert before[0, 0] < before[0, 1]
    assert found[0, 0] < found[0, 1]
    assert one[0, 0] > one[0, 1]
