from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_wbc_nca.ops.centroids import MIN_LIKELIHOOD, detect_blobs, find_peaks, likelihood_map


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
def test_bad_likelihood_input(centres, sigma, message):
    with pytest.raises(ValueError, match=message):
        likelihood_map((4, 4), centres, sigma)


def test_peaks_of_a_likelihood_map_are_its_centroids():
    centres = [[0, 0], [3, 40], [20, 21], [39, 59], [20, 30]]
    found = find_peaks(likelihood_map((40, 60), centres, 3), min_value=0.5)
    assert found.tolist() == sorted(centres)


def test_two_centroids_in_one_pixel_are_one_peak():
    found = find_peaks(likelihood_map((20, 20), [[9.8, 10.1], [10.2, 9.9]], 3), min_value=0.5)
    assert found.tolist() == [[10, 10]]


def test_two_thousand_cells_are_all_found():
    grid = np.stack(np.meshgrid(np.arange(40), np.arange(50), indexing="ij"), -1) * 10 + 5
    found = find_peaks(likelihood_map((400, 500), grid.reshape(-1, 2), 2), min_value=0.5)
    assert found.tolist() == grid.reshape(-1, 2).tolist()


def test_a_plateau_is_one_peak_at_its_middle():
    values = np.zeros((9, 30))
    values[3:6, 5:20] = 0.8
    assert find_peaks(values, 0.5, min_distance=2).tolist() == [[4, 12]]


def test_the_middle_of_a_ring_lies_on_it():
    values = np.zeros((7, 7))
    values[1:6, 1:6] = 0.8
    values[2:5, 2:5] = 0.7
    assert values[tuple(find_peaks(values, 0.5, min_distance=1)[0])] == 0.8


@pytest.mark.parametrize("values", [np.zeros((5, 5)), np.full((5, 5), 0.5), np.zeros((0, 5))])
def test_nothing_above_the_threshold(values):
    assert find_peaks(values, 0.5).shape == (0, 2)


def test_equal_peaks_that_are_too_close_are_one():
    values = np.zeros((5, 9))
    values[2, [2, 5]] = 1
    assert find_peaks(values, 0.5, min_distance=3).tolist() == [[2, 2]]
    assert find_peaks(values, 0.5, min_distance=2).tolist() == [[2, 2], [2, 5]]


@given(arrays(np.float32, (7, 8), elements=st.sampled_from([0, 0.25, 0.5, 0.75, 1])))
def test_what_a_peak_is(values):
    found = find_peaks(values, 0.4, min_distance=2)
    away = np.hypot(*np.moveaxis(found[:, None] - found[None], -1, 0))
    assert (away[~np.eye(len(found), dtype=bool)] > 2).all()
    y, x = np.mgrid[:7, :8]
    for row, column in found:
        near = np.hypot(y - row, x - column) <= 2
        assert values[row, column] > 0.4
        assert values[row, column] == values[near].max()
    # The highest value is never missed.
    if values.max() > 0.4:
        assert values[tuple(found.T)].max() == values.max()


@pytest.mark.parametrize(
    ("shape", "apart", "message"), [((3,), 2, "shape"), ((3, 3), -1, "0 or more")]
)
def test_bad_peak_input(shape, apart, message):
    with pytest.raises(ValueError, match=message):
        find_peaks(np.zeros(shape), 0.5, apart)


PLACES = [(12.0, 15.0), (14.0, 60.0), (40.0, 30.0), (45.0, 70.0)]


def stained(radius=6.0, places=PLACES, noise=3.0):
    y, x = np.mgrid[:60, :90]
    values = np.random.default_rng(0).normal(20, noise, (60, 90))
    for cy, cx in places:
        values[np.hypot(y - cy, x - cx) <= radius] += 150
    return values


@pytest.mark.parametrize("radius", [4.0, 6.0, 9.0])
@pytest.mark.parametrize("known", [False, True])
def test_a_nucleus_is_one_blob_at_its_middle(radius, known):
    found = detect_blobs(stained(radius), 2 * radius if known else 0.0)
    assert found == pytest.approx(np.asarray(PLACES), abs=1.5)


@pytest.mark.parametrize("values", [np.zeros((30, 30)), np.full((30, 30), 7.0), np.zeros((0, 3))])
def test_nothing_is_found_where_nothing_is(values):
    assert detect_blobs(values).shape == (0, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [(np.zeros((3, 4, 5)), "expected one plane"), (np.full((9, 9), np.nan), "NaN or infinity")],
)
def test_bad_blob_input(values, message):
    with pytest.raises(ValueError, match=message):
        detect_blobs(values)
