from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc_nca.ops import stain

SHAPE = (60, 80)
SPOTS = ((15, 20), (45, 60), (20, 65))


def falling_light(shape=SHAPE):
    """Background that darkens towards the corners, another way in each channel."""
    y, x = np.meshgrid(*(np.arange(n) / n * 2 - 1 for n in shape), indexing="ij")
    light = -0.2 * y**2 - 0.15 * x**2 + 0.1 * x * y + 0.05 * y
    return np.exp(np.log(np.asarray([230.0, 220, 240]) + 1) + light[..., None] * (1, 1.2, 0.8)) - 1


def stained(rgb, factor=0.4, radius=6):
    """`rgb` with spots that let `factor` of the light through, and where they lie."""
    y, x = np.ogrid[: rgb.shape[0], : rgb.shape[1]]
    spots = np.zeros(rgb.shape[:2], bool)
    for cy, cx in SPOTS:
        spots |= np.hypot(y - cy, x - cx) < radius
    return np.where(spots[..., None], rgb * factor, rgb), spots


def test_background_with_fall_off_has_no_density():
    clean, spots = stained(falling_light())
    noisy = clean * np.exp(np.random.default_rng(0).normal(0, 0.015, clean.shape))
    density = stain.fit_background(noisy)(clean, (0, 0), SHAPE)
    assert density.dtype == np.float32
    assert np.abs(density[~spots]).max() < 0.04
    np.testing.assert_allclose(density[spots], -np.log(0.4), atol=0.05)


def test_even_background_does_not_follow_the_light():
    rgb = falling_light()
    density = stain.fit_normalisation({"name": "density_even"}, rgb)(rgb, (0, 0), SHAPE)
    assert np.ptp(density) > 0.4


def test_density_is_the_formula():
    background = stain.Polynomial(np.log([[200.0, 100, 50]]))
    rgb = np.asarray([[[199, 99, 49], [0, 0, 0]]])
    expected = [[[0, 0, 0], np.log([200, 100, 50])]]
    np.testing.assert_allclose(background(rgb, (5, 7), (20, 20)), expected, atol=1e-6)


def test_terms_are_relative_to_the_whole_field():
    coefficients = np.zeros((6, 3))
    coefficients[1] = 1  # grows with y alone
    density = stain.Polynomial(coefficients)(np.zeros((1, 1, 3)), (5, 9), (20, 10))
    np.testing.assert_allclose(density, 5 / 20 * 2 - 1)


def test_standard_has_mean_zero_and_deviation_one():
    rgb = stained(falling_light())[0]
    scaled = stain.fit_normalisation({"name": "standard"}, rgb)(rgb, (0, 0), SHAPE)
    np.testing.assert_allclose(scaled.mean((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std((0, 1)), 1, atol=1e-3)


def test_constant_colours_stay_finite():
    rgb = np.full((9, 9, 3), 128, np.uint8)
    for name in ("density", "density_even", "standard"):
        assert (
            np.abs(stain.fit_normalisation({"name": name}, rgb)(rgb, (0, 0), (9, 9))).max() < 1e-3
        )


def test_published_reads_its_constants():
    constants = {"name": "published", "mean": (0.5, 0.25, 0), "std": (0.5, 0.25, 2)}
    rgb = np.full((1, 1, 3), 255.0)
    assert stain.fit_normalisation(constants, rgb)(rgb, (0, 0), (1, 1)).tolist() == [[[1, 3, 0.5]]]


@pytest.mark.parametrize("name", ["density", "density_even", "standard"])
@given(data=st.data())
def test_a_part_equals_the_whole_bit_for_bit(name, data):
    rgb = np.random.default_rng(1).integers(0, 256, (*SHAPE, 3)).astype(np.float32)
    normalise = stain.fit_normalisation({"name": name}, stain.sample_field(rgb))
    y0, x0 = (data.draw(st.integers(0, size - 1)) for size in SHAPE)
    y1, x1 = data.draw(st.integers(y0 + 1, SHAPE[0])), data.draw(st.integers(x0 + 1, SHAPE[1]))
    part = normalise(rgb[y0:y1, x0:x1], (y0, x0), SHAPE)
    np.testing.assert_array_equal(part, normalise(rgb, (0, 0), SHAPE)[y0:y1, x0:x1])


def test_sample_is_small_and_spread_evenly():
    field = np.arange(900 * 1200).reshape(900, 1200)[..., None].repeat(3, -1)
    sample = stain.sample_field(field)
    assert 4000 <= sample.shape[0] * sample.shape[1] < 8000
    step = int(sample[0, 1, 0])
    np.testing.assert_array_equal(sample, field[::step, ::step])


def test_unknown_name_is_refused():
    message = "unknown stain normalisation 'macenko'; known are .*density, density_even, standard"
    with pytest.raises(ValueError, match=message):
        stain.fit_normalisation({"name": "macenko"}, np.zeros((2, 2, 3)))


USUAL = {"chroma": (0.2, 0.2), "faint": (0.4, 0.55), "dark": (1.7, 1.0)}


def dyed(strength=1.0, saturation=1.0):
    """Draw densities of red cells and nuclei over a background, ``(N, 3)``."""
    density = np.zeros((1000, 3))
    density[:400] = (0.1, 0.45, 0.2)
    density[:60] = (0.7, 0.8, 0.4)
    mean = density.mean(1, keepdims=True)
    return strength * (mean + saturation * (density - mean))


def test_usual_colours_stay_as_they_are():
    assert stain.restoring_matrix(dyed(), **USUAL) is None
    assert stain.restoring_matrix(dyed(saturation=0), **USUAL) is None
    assert stain.restoring_matrix(np.zeros((100, 3)), **USUAL) is None


def test_flat_colours_are_restored_and_their_mean_stays():
    flat = dyed(saturation=0.3)
    found = flat @ stain.restoring_matrix(flat, **USUAL)
    np.testing.assert_allclose(found.mean(1), flat.mean(1), atol=1e-9)
    red = found[200] / found[200].sum()
    assert np.linalg.norm(red - 1 / 3) == pytest.approx(0.2, abs=0.02)


def test_faint_and_dark_stains_are_restored():
    faint, dark = dyed(0.4), dyed(3.0)
    found = faint @ stain.restoring_matrix(faint, **USUAL)
    assert np.median(found[:400].sum(1)) == pytest.approx(0.55)
    np.testing.assert_allclose(found[0] / found[0].sum(), faint[0] / faint[0].sum())
    found = dark @ stain.restoring_matrix(dark, **USUAL)
    assert np.quantile(found.sum(1), 0.75) == pytest.approx(1)


def test_how_much_of_a_field_is_stained_does_not_matter_to_faint_stains():
    sparse = np.concatenate([dyed(), np.zeros((20_000, 3))])
    assert stain.restoring_matrix(sparse, **USUAL) is None


def test_a_normalisation_restores_where_it_says_what_is_usual():
    rgb = (200 * np.exp(-dyed(0.4)).reshape(50, 20, 3)).round()
    plain, restored = (
        stain.fit_normalisation({"name": "density_even", **own}, rgb)(rgb, (0, 0), (50, 20))
        for own in ({}, USUAL)
    )
    red = (10, 10)  # a red cell's
    assert plain[red].sum() < 0.4
    assert restored[red].sum() == pytest.approx(0.55, abs=0.02)
    assert stain.without_usual({"name": "density_even", **USUAL}) == {"name": "density_even"}
