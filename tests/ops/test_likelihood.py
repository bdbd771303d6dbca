from __future__ import annotations

import numpy as np
import pytest

from napari_wbc_nca.ops.centroids import MIN_LIKELIHOOD, likelihood_map


def definition(shape, centres, sigma):
    """The per-cell definition: a Gaussian over the whole field for each, then the maximum."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    cells = [np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * sigma**2)) for cy, cx in centres] + [
        np.zeros(shape)
    ]
    largest = np.max(cells, axis=0)
    return np.where(largest < MIN_LIKELIHOOD, 0, largest)


@pytest.mark.parametrize("sigma", [0.6, 2.5, 12.0])
def test_as_defined_cell_by_cell(sigma):
    random = np.random.default_rng(0)
    shape = (61, 83)
    centres = random.uniform(-1.5 * sigma, 1, (40, 2)) * shape + random.uniform(0, 9, (40, 2))
    np.testing.assert_allclose(
        likelihood_map(shape, centres, sigma), definition(shape, centres, sigma), atol=2e-7
    )


def test_more_cells_than_are_looked_at_at_a_time():
    random = np.random.default_rng(1)
    centres = random.uniform(0, 1, (400, 2)) * (90, 120)
    expected = definition((90, 120), centres, 12)
    np.testing.assert_allclose(likelihood_map((90, 120), centres, 12), expected, atol=2e-7)


def test_no_cell_is_no_likelihood():
    assert likelihood_map((4, 5), np.empty((0, 2)), 3).tolist() == np.zeros((4, 5)).tolist()


def test_coinciding_cells_are_one():
    twice = likelihood_map((9, 9), [[4, 4.2], [4, 4.2]], 2)
    np.testing.assert_array_equal(twice, likelihood_map((9, 9), [[4, 4.2]], 2))


def test_cells_at_the_border_and_outside():
    centres = [[0, 0], [8.5, 9.5], [-3, 5], [500, 500]]
    np.testing.assert_allclose(
        likelihood_map((9, 10), centres, 2), definition((9, 10), centres, 2), atol=2e-7
    )


def test_two_thousand_cells():
    centres = np.stack(np.meshgrid(np.arange(40), np.arange(50), indexing="ij"), -1) * 10.0 + 5
    found = likelihood_map((400, 500), centres.reshape(-1, 2), 2)
    assert (found[5::10, 5::10] == 1).all()
    assert (found == 1).sum() == 2000


@pytest.mark.parametrize(
    ("centres", "sigma", "message"),
    [([[0, 0]], 0, "must be positive"), ([[0, np.nan]], 1, "NaN or infinite")],
)
def test_bad_input(centres, sigma, message):
    with pytest.raises(ValueError, match=message):
        likelihood_map((4, 4), centres, sigma)
