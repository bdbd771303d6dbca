import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc_nca.ops.response import first_component, orientation, pca_response


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
