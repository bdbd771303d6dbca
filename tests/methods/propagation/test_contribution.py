from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage as ndi

from napari_wbc_nca.methods.propagation.contribution import (
    Centroid,
    ForwardPass,
    region_radius,
    rivals,
    signal,
    trimmed,
)
from napari_wbc_nca.methods.propagation.params import PropagationParams
from napari_wbc_nca.ops.centroids import likelihood_map

SIGMA, SHAPE = 3.0, (50, 60)
CENTRES = {0: Centroid(20, 20, 0), 1: Centroid(20, 27, 0), 2: Centroid(48, 2, 0)}


@pytest.fixture
def traced():
    values = likelihood_map(SHAPE, [(c.y, c.x) for c in CENTRES.values()], SIGMA)
    return ForwardPass(SimpleNamespace(), values[None], (0, 0))


def signals(traced, **changes):
    """Signal of each cell on the whole field."""
    params, radius = PropagationParams(**changes), region_radius(SIGMA)
    near = rivals(CENTRES, SIGMA)
    whole = {}
    for number, centre in CENTRES.items():
        padded = np.zeros(np.add(SHAPE, 2 * radius), np.float32)
        y, x = centre.pixel
        own = signal(number, CENTRES, near[number], traced, SIGMA, params)
        padded[y : y + 2 * radius + 1, x : x + 2 * radius + 1] = own
        whole[number] = padded[radius:-radius, radius:-radius]
    return whole


def test_regions_are_those_of_the_published_code(traced):
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    gaussians = np.stack(
        [np.exp(-((y - c.y) ** 2 + (x - c.x) ** 2) / (2 * SIGMA**2)) for c in CENTRES.values()]
    )
    owner = gaussians.argmax(0)
    for number, found in signals(traced, signal="one").items():
        region = (owner == number) & (gaussians[number] >= 0.01)
        assert (found == region).all()
    for number, found in signals(traced).items():
        expected = traced.likelihood[0] * ((owner == number) & (gaussians[number] >= 0.01))
        assert np.allclose(found, expected / expected.max())


def test_a_component_is_a_threshold_and_a_labelling(traced):
    for least, given in ((125 / 255, 0.0), (0.8, 0.8)):
        parts, _ = ndi.label(traced.likelihood[0] >= least)
        found = signals(traced, region="component", signal="one", min_likelihood=given)
        for number, centre in CENTRES.items():
            assert (found[number] == (parts == parts[centre.pixel])).all()
    assert not (found[0] * found[1]).any()
    traced.likelihood[0][20, 20:28] = 0.9  # a bridge: both cells are one component
    found = signals(traced, region="component", signal="one", min_likelihood=0.8)
    assert found[0][20, 20:28].all() and (found[0] == found[1]).all()


def test_raw_signals_and_contributions_keep_their_height(traced):
    traced.likelihood[0] *= 0.7
    assert max(own.max() for own in signals(traced).values()) == 1
    for own in signals(traced, contribution_scale="raw").values():
        assert own.max() == pytest.approx(0.7)
    gradient = np.zeros((5, 5), np.float32)
    gradient[2, 2], gradient[2, 3] = 0.3, 0.009
    raw = trimmed(gradient, (0, 0), (40, 40), noise=0.01, scaled=False)
    assert raw.values.max() == np.float32(0.3) and np.count_nonzero(raw.values) == 1
    assert not trimmed(gradient / 100, (0, 0), (40, 40), noise=0.01, scaled=False).values.any()


def test_the_derivative_is_that_of_the_sigmoid(traced):
    y = traced.likelihood[0]
    found = signals(traced, derivative=True)[2]
    expected = signals(traced)[2] * y * (1 - y)
    assert np.allclose(found, expected / expected.max(), atol=1e-6)


def test_kinds_do_not_share_pixels_out():
    two = {0: Centroid(20, 20, 0), 1: Centroid(20, 22, 1), 2: Centroid(20, 24, 0)}
    assert rivals(two, SIGMA) == {0: [2], 1: [], 2: [0]}
    assert rivals({}, SIGMA) == {}


def test_contributions_are_cut_to_where_they_are_and_to_the_field():
    gradient = np.zeros((8, 9), np.float32)
    gradient[0, 0], gradient[3, 4], gradient[5, 6], gradient[4, 4] = 9, 2, 1, -1
    gradient[3, 5] = 0.01
    found = trimmed(gradient, (-1, -1), (40, 40), noise=0.01)
    # The first pixel lies outside the field; what is below a hundredth of the largest is none.
    assert found.corner == (1, 2)
    expected = np.zeros((5, 5), np.float32)
    expected[1, 1], expected[3, 3] = 1, 0.5
    assert np.allclose(found.values, expected)
    assert found.box == (range(1, 6), range(2, 7))


def test_a_gradient_that_vanishes_contributes_nothing():
    found = trimmed(np.full((4, 4), -1.0), (2, 3), (40, 40), noise=0.01)
    assert not found.values.any() and found.corner == (2, 3)
