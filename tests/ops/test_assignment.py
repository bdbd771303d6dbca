from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from napari_wbc_nca.ops.metrics import match_points


def brute(true, found, limit):
    """Most pairs, and least total distance, over every one-to-one assignment."""
    away = np.hypot(*np.moveaxis(true[:, None] - found[None], -1, 0))
    padded = np.full((len(true), max(len(true), len(found)) + len(true)), np.inf)
    padded[:, : len(found)] = np.where(away <= limit[:, None], away, np.inf)
    best = (0, 0.0)
    for columns in permutations(range(len(found) + len(true)), len(true)):
        chosen = padded[np.arange(len(true)), columns]
        near = np.isfinite(chosen)
        best = min(best, (-int(near.sum()), float(chosen[near].sum())))
    return -best[0], best[1]


def score(true, found, pairs):
    return len(pairs), float(np.hypot(*(true[pairs[:, 0]] - found[pairs[:, 1]]).T).sum())


@pytest.mark.parametrize("seed", range(12))
def test_as_good_as_trying_everything(seed):
    random = np.random.default_rng(seed)
    true, found = random.uniform(0, 10, (4, 2)), random.uniform(0, 10, (3 + seed % 3, 2))
    limit = random.uniform(1, 6, len(true))
    pairs = match_points(true, found, limit)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    count, total = brute(true, found, limit)
    assert score(true, found, pairs) == (count, pytest.approx(total))


@pytest.mark.parametrize("seed", range(5))
def test_as_good_as_scipy_on_all_points_at_once(seed):
    random = np.random.default_rng(seed)
    true, found = random.uniform(0, 100, (60, 2)), random.uniform(0, 100, (75, 2))
    away = np.hypot(*np.moveaxis(true[:, None] - found[None], -1, 0))
    scores = np.where(away <= 9, 1000 - away, 0)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    near = scores[rows, columns] > 0
    pairs = match_points(true, found, 9)
    expected = (near.sum(), pytest.approx(away[rows, columns][near].sum()))
    assert score(true, found, pairs) == expected


def test_greed_would_lose_a_pair():
    assert match_points([[0, 0], [0, 4]], [[0, 3], [0, 9]], 6).tolist() == [[0, 0], [1, 1]]


def test_nothing_to_assign():
    for true, found in (([], []), ([[0, 0]], []), ([], [[0, 0]]), ([[0, 0]], [[9, 9]])):
        assert match_points(true, found, 1).shape == (0, 2)


def test_coinciding_points():
    assert len(match_points([[1, 1], [1, 1]], [[1, 1], [1, 1], [1, 1]], 0.5)) == 2


def test_two_thousand_points_are_quick():
    random = np.random.default_rng(0)
    true = random.uniform(0, 1000, (2000, 2))
    moved = random.permutation(true) + 0.1
    assert len(match_points(true, moved, 10)) == 2000
