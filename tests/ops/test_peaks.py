from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_wbc_nca.ops.centroids import find_peaks, likelihood_map


def test_peaks_of_a_likelihood_map_are_its_centroids():
    centres = [[0, 0], [3, 40], [20, 21], [39, 59], [20, 30]]
    found = find_peaks(likelihood_map((40, 60), centres, 3), least=0.5)
    assert found.tolist() == sorted(centres)


def test_two_centroids_in_one_pixel_are_one_peak():
    found = find_peaks(likelihood_map((20, 20), [[9.8, 10.1], [10.2, 9.9]], 3), least=0.5)
    assert found.tolist() == [[10, 10]]


def test_two_thousand_cells_are_all_found():
    grid = np.stack(np.meshgrid(np.arange(40), np.arange(50), indexing="ij"), -1) * 10 + 5
    found = find_peaks(likelihood_map((400, 500), grid.reshape(-1, 2), 2), least=0.5)
    assert found.tolist() == grid.reshape(-1, 2).tolist()


def test_a_plateau_is_one_peak_at_its_middle():
    values = np.zeros((9, 30))
    values[3:6, 5:20] = 0.8
    assert find_peaks(values, 0.5, apart=2).tolist() == [[4, 12]]


def test_the_middle_of_a_ring_lies_on_it():
    values = np.zeros((7, 7))
    values[1:6, 1:6] = 0.8
    values[2:5, 2:5] = 0.7
    assert values[tuple(find_peaks(values, 0.5, apart=1)[0])] == 0.8


@pytest.mark.parametrize("values", [np.zeros((5, 5)), np.full((5, 5), 0.5), np.zeros((0, 5))])
def test_nothing_above_the_threshold(values):
    assert find_peaks(values, 0.5).shape == (0, 2)


def test_equal_peaks_that_are_too_close_are_one():
    values = np.zeros((5, 9))
    values[2, [2, 5]] = 1
    assert find_peaks(values, 0.5, apart=3).tolist() == [[2, 2]]
    assert find_peaks(values, 0.5, apart=2).tolist() == [[2, 2], [2, 5]]


@given(arrays(np.float32, (7, 8), elements=st.sampled_from([0, 0.25, 0.5, 0.75, 1])))
def test_what_a_peak_is(values):
    found = find_peaks(values, 0.4, apart=2)
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
def test_bad_input(shape, apart, message):
    with pytest.raises(ValueError, match=message):
        find_peaks(np.zeros(shape), 0.5, apart)
