import numpy as np
import pytest

from napari_wbc_nca.ops.graphcut import fit_saliency


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
