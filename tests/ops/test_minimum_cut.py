from itertools import product

import numpy as np
import pytest

from napari_wbc_nca.ops.minimum_cut import (
    SURE,
    Costs,
    code_costs,
    fit_saliency,
    minimum_cut,
    paper_costs,
)

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


def test_the_inverse_of_the_image_is_that_of_the_paper():
    bright = np.asarray([[0.0, 0.5, 0.8]])[..., None].repeat(3, -1)
    assert np.allclose(fit_saliency("inverse", bright)(bright), [[1, 1 - 0.5 / 0.8, 0]])


def stained():
    """Density of a field: a third of it cells, and some dark nuclei in them."""
    rng = np.random.default_rng(0)
    density = rng.normal(0, 0.005, (60, 60, 3))
    density[20:40] += 0.08
    density[25:30, :10] += 0.8
    return density


@pytest.mark.parametrize("name", ["stain", "generic"])
def test_half_separates_pale_cells_from_the_background_however_dark_the_nuclei(name):
    density = stained()
    salient = fit_saliency(name, density)(density)
    assert 0 <= salient.min() and salient.max() < 1
    assert (salient[20:40] > 0.5).mean() > 0.99
    assert (salient[:20] < 0.5).mean() > 0.99


def test_only_the_generic_one_sees_what_is_brighter_than_the_background():
    density = stained()
    density[50:] -= 0.3
    assert (fit_saliency("generic", density)(density)[50:] > 0.5).all()
    assert (fit_saliency("stain", density)(density)[50:] == 0).all()


def test_an_empty_field_has_no_level_of_its_own():
    assert (fit_saliency("stain", np.zeros((5, 5, 3)))(np.zeros((5, 5, 3))) == 0).all()
    assert np.isfinite(fit_saliency("inverse", np.zeros((5, 5, 3)))(np.zeros((5, 5, 3)))).all()


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ValueError, match="the sample is empty"):
        fit_saliency("stain", np.zeros((0, 4, 3)))
    with pytest.raises(ValueError, match="unknown saliency 'colour'; known are stain"):
        fit_saliency("colour", np.zeros((2, 2, 3)))
