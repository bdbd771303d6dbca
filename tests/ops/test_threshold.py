import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc_nca.ops.response import component_at_centre, mask_from_response, otsu_threshold


def between_class_variance(values, threshold):
    below, above = values[values <= threshold], values[values > threshold]
    if not (below.size and above.size):
        return 0.0
    return below.size * above.size * (below.mean() - above.mean()) ** 2


@given(st.lists(st.integers(0, 255), min_size=2, max_size=60).filter(lambda v: len(set(v)) > 1))
def test_otsu_has_the_largest_between_class_variance(levels):
    # With both ends of the range, each of the 256 bins holds one level; Otsu sees their centres.
    values = np.array([0, 255, *levels], float)
    centres = (values + 0.5) * 255 / 256
    best = max(between_class_variance(centres, threshold) for threshold in set(centres))
    assert between_class_variance(centres, otsu_threshold(values) + 1e-6) == pytest.approx(best)


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_otsu_moves_with_the_response(seed, scale, shift):
    values = np.random.default_rng(seed).random(50)
    expected = values > otsu_threshold(values)
    np.testing.assert_array_equal(
        values * scale + shift > otsu_threshold(values * scale + shift), expected
    )


@pytest.mark.parametrize("value", [0.0, -3.5, 1e9])
def test_a_constant_response_has_no_foreground(value):
    response = np.full((4, 5), value, np.float32)
    assert otsu_threshold(response) == value
    assert not mask_from_response(response, otsu_threshold(response), (2, 2)).any()


def test_neighbouring_floats_are_told_apart():
    response = np.array([1.0, np.nextafter(1, 2)])
    assert (response > otsu_threshold(response)).tolist() == [False, True]


@pytest.mark.parametrize(
    ("response", "message"), [([], "empty"), ([0, np.nan], "NaN"), ([0, np.inf], "infinity")]
)
def test_bad_responses_are_refused(response, message):
    with pytest.raises(ValueError, match=message):
        otsu_threshold(response)


def flood(mask, start):
    found, todo = set(), [start]
    while todo:
        y, x = todo.pop()
        inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
        if inside and mask[y, x] and (y, x) not in found:
            found.add((y, x))
            todo += [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    return found


@given(st.integers(0, 2**32 - 1), st.floats(-3, 12), st.floats(-3, 12))
def test_component_against_flood_fill(seed, y, x):
    mask = np.random.default_rng(seed).random((9, 8)) < 0.45
    pixels = [tuple(map(int, pixel)) for pixel in np.argwhere(mask)]
    component = component_at_centre(mask, (y, x))
    start = min(pixels, key=lambda p: (p[0] - y) ** 2 + (p[1] - x) ** 2)
    assert {tuple(map(int, pixel)) for pixel in np.argwhere(component)} == flood(mask, start)


def test_an_empty_mask_stays_empty():
    assert not component_at_centre(np.zeros((3, 4), bool), (1, 1)).any()


def test_holes_are_filled_and_other_cells_left_out():
    response = np.zeros((12, 16))
    response[2:8, 2:8] = 1
    response[4:6, 4:6] = 0
    response[2:8, 10:14] = 1
    expected = np.zeros((12, 16), bool)
    expected[2:8, 2:8] = True
    np.testing.assert_array_equal(mask_from_response(response, 0.5, (4.5, 4.5)), expected)
