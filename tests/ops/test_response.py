import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc_nca.ops.response import (
    component_at_centre,
    first_component,
    mask_from_response,
    orientation,
    otsu_threshold,
    pca_response,
)


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


@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_component_is_the_first_right_singular_vector(n, c, seed):
    features = np.random.default_rng(seed).normal(3, [1 + k for k in range(c)], (n, c))
    mean, vector, explained = first_component(features)
    _, singular, rows = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(mean, features.mean(axis=0))
    expected = rows[0] * np.sign(rows[0][np.abs(rows[0]).argmax()])
    if c == 1 or singular[0] > 1.01 * singular[1]:
        np.testing.assert_allclose(vector, expected, atol=1e-6)
    assert explained == pytest.approx(singular[0] ** 2 / (singular**2).sum())


def test_covariance_is_taken_in_float64():
    small = np.array([[-1, 0], [1, 0], [0, 0.5]]) * 2e-3
    features = (1e4 + small).astype(np.float32)
    exact = first_component(features.astype(np.float64))
    np.testing.assert_array_equal(first_component(features).vector, exact.vector)
    assert exact.vector[0] > 0.9


@pytest.mark.parametrize("features", [np.full((7, 3), 0.1, np.float32), np.ones((1, 3))])
def test_features_that_do_not_vary_have_no_direction(features):
    component = first_component(features)
    np.testing.assert_array_equal(component.vector, np.zeros(3))
    assert component.explained == 0


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((0, 3)), r"shape \(0, 3\)"),
        (np.zeros((2, 2, 2)), r"give \(pixels, channels\)"),
        ([[0.0, np.nan]], "NaN"),
    ],
)
def test_bad_features_are_refused(features, message):
    with pytest.raises(ValueError, match=message):
        first_component(features)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, -1]))
def test_the_middle_of_the_response_is_bright(seed, sign):
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:24, :30]
    cell = ((y - 11.5) ** 2 + (x - 14.5) ** 2 < 64).astype(float)
    colour = sign * np.array([1.0, -2.0, 0.5])
    features = cell[..., None] * colour + rng.normal(0, 0.05, (24, 30, 3))
    response = pca_response(features)
    assert response.shape == (24, 30)
    assert response[cell > 0].min() > response[cell == 0].max()


def brute_orient(response):
    height, width = response.shape
    side = min(height, width)
    centre, border = [], []
    for y in range(height):
        for x in range(width):
            squared = (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2
            if squared <= max(side / 4, 0.75) ** 2:
                centre.append(response[y, x])
            if min(y, x, height - 1 - y, width - 1 - x) < max(1, side // 8):
                border.append(response[y, x])
    return -1 if np.mean(centre) < np.mean(border) else 1


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_orientation_against_pixel_by_pixel(height, width, seed):
    response = np.random.default_rng(seed).integers(0, 5, (height, width))
    assert orientation(response) == brute_orient(response)


def test_a_flat_response_keeps_its_sign():
    assert orientation(np.zeros((9, 9))) == 1


def test_an_empty_response_is_refused():
    with pytest.raises(ValueError, match="not empty"):
        orientation(np.zeros((0, 4)))
