from itertools import product

import numpy as np
import pytest

from napari_wbc_nca.ops.graphcut import SURE, Costs, code_costs, minimum_cut, paper_costs

ALL = np.asarray(list(product((False, True), repeat=16))).reshape(-1, 4, 4)


def energy(masks, costs):
    """Cost of each of ``(N, h, w)`` labellings, term by term."""
    total = np.where(masks, costs.foreground, costs.background).sum((1, 2))
    total += ((masks[:, 1:] != masks[:, :-1]) * costs.down).sum((1, 2))
    return total + ((masks[:, :, 1:] != masks[:, :, :-1]) * costs.across).sum((1, 2))


@pytest.mark.parametrize("seed", range(12))
def test_no_labelling_of_a_small_grid_costs_less(seed):
    rng = np.random.default_rng(seed)
    smooth = rng.choice([0.1, 0.3, 1.0])
    costs = Costs(
        rng.random((4, 4)),
        rng.random((4, 4)),
        smooth * rng.random((3, 4)),
        smooth * rng.random((4, 3)),
    )
    assert energy(minimum_cut(costs)[None], costs)[0] == pytest.approx(
        energy(ALL, costs).min(), abs=1e-3
    )


@pytest.mark.parametrize("costs_of", [code_costs, paper_costs])
def test_seeds_hold_and_the_energy_of_the_method_is_least(costs_of):
    rng = np.random.default_rng(5)
    own, other = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    own[1, 1] = other[3, :] = other[0, 3] = True
    costs = costs_of(rng.random((4, 4)), own, other)
    mask = minimum_cut(costs)
    assert mask[1, 1] and not mask[other].any()
    assert energy(mask[None], costs)[0] == pytest.approx(energy(ALL, costs).min(), abs=1e-3)


def test_the_published_costs_are_those_of_the_published_code():
    bright = np.asarray([[0.0, 0.5], [1.0, 0.2]])
    own, other = np.asarray([[True, False], [False, False]]), np.asarray([[False] * 2, [0, True]])
    costs = code_costs(bright, own, other)
    assert costs.background.tolist() == [[SURE, 0.4999], [0.4999, 0]]
    assert costs.foreground.tolist() == [[0, 0.5001], [0.5001, SURE]]
    assert np.allclose(costs.down, [[20, 20 * np.exp(-5)]])
    assert np.allclose(costs.across, [[20], [20 * np.exp(-10)]])


def test_a_pixel_that_both_claim_is_the_others():
    both = np.ones((3, 3), bool)
    assert not minimum_cut(code_costs(np.zeros((3, 3)), both, both)).any()


def test_the_border_follows_the_contrast():
    saliency = np.full((9, 12), 0.5)
    own, other = np.zeros((9, 12), bool), np.zeros((9, 12), bool)
    own[4, 1], other[4, 10] = True, True
    step = np.zeros((9, 12))
    step[:, 5:] = 1
    mask = minimum_cut(paper_costs(saliency, own, other, contrast=step))
    assert mask[:, :5].all() and not mask[:, 5:].any()


@pytest.mark.parametrize(("seed", "expected"), [("own", True), ("other", False)])
def test_a_window_with_seeds_of_one_side_only(seed, expected):
    seeds = {"own": np.zeros((3, 5), bool), "other": np.zeros((3, 5), bool)}
    seeds[seed][1, 2] = True
    assert minimum_cut(code_costs(np.zeros((3, 5)), **seeds)).all() == expected
