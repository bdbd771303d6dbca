from __future__ import annotations

import numpy as np
import planted
import pytest
import torch

from napari_wbc_nca.methods.field import Field
from napari_wbc_nca.methods.nca.cells import PROJECTIONS
from napari_wbc_nca.methods.nca.predict import cell_probability, locate
from napari_wbc_nca.models.build import load_network

CENTRES = [(24.0, 30.0), (30.0, 120.0), (80.0, 70.0), (100.0, 140.0)]
FIELD = planted.smear(*CENTRES, red=((60, 20), (20, 75), (104, 30)))
CHECKPOINT = planted.checkpoint()


@pytest.fixture
def network():
    return load_network(CHECKPOINT, "cpu")


@pytest.fixture
def view():
    return Field(FIELD, 2.0, CHECKPOINT.normalisation)


def found(network, view, tile=1000, seed=0, fire_rate=0.5):
    yielded, peaks = planted.run(locate(network, view, CHECKPOINT.diameter, tile, seed, fire_rate))
    return yielded, [centre for centre, height in peaks if height > 0.45]


def test_white_cells_are_found_and_red_ones_are_not(network, view):
    _, centres = found(network, view)
    image = [view.to_image(centre) for centre in centres]
    np.testing.assert_allclose(image, np.asarray(CENTRES) - 0.5, atol=1.5)


@pytest.mark.parametrize("tile", [16, 23, 40, 64])
def test_centres_do_not_depend_on_tiles(network, view, tile):
    assert found(network, view, tile)[1] == found(network, view)[1]


def test_progress_is_one_phase_that_never_falls_back(network, view):
    yielded, _ = found(network, view, tile=40)
    assert {progress.message for progress in yielded} == {"Finding cells"}
    shares = planted.shares(yielded, "Finding cells")
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert len(set(shares)) >= 5  # four tiles, each at least begun and ended


def test_an_empty_field_has_no_cells(network):
    empty = Field(planted.smear(red=((60, 20), (20, 75))), 2.0, CHECKPOINT.normalisation)
    assert found(network, empty)[1] == []


def test_a_part_looks_as_in_the_whole(network, view):
    _, whole = planted.run(cell_probability(network, view, (range(60), range(80)), 0, 0.5))
    _, part = planted.run(cell_probability(network, view, (range(13, 41), range(22, 60)), 0, 0.5))
    np.testing.assert_array_equal(part, whole[13:41, 22:60])
    assert part.dtype == np.float32


def test_the_seed_and_the_fire_rate_reach_the_rollout(network, view):
    part = (range(60), range(80))
    _, first = planted.run(cell_probability(network, view, part, 0, 0.5))
    for seed, fire_rate in ((1, 0.5), (0, 0.9)):
        _, other = planted.run(cell_probability(network, view, part, seed, fire_rate))
        assert (first != other).any()


def test_a_network_without_readout_is_looked_at_by_its_evidence(network, view):
    part = (range(60), range(80))
    state = network.rollout(view.read(part)[None])
    for readout, name in ((network.centre, "centre"), (None, "evidence")):
        network.centre = readout
        _, seen = planted.run(cell_probability(network, view, part, 0, 0.5))
        np.testing.assert_array_equal(seen, PROJECTIONS[name](network, state)[0])


@pytest.mark.parametrize("seed", range(4))
def test_centres_do_not_depend_on_tiles_whatever_the_network_sees(network, seed):
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network.fc1.weight.normal_(std=0.5)
    network.centre.weight.normal_(std=3)
    network.centre.bias.fill_(1)
    cells = [tuple(random.uniform(5, 115, 2)) for _ in range(6)]
    field = Field(planted.smear(*cells), random.uniform(1.2, 3), CHECKPOINT.normalisation)
    _, whole = found(network, field, seed=seed)
    assert len(whole) > 2
    assert found(network, field, 16, seed)[1] == whole
    assert found(network, field, int(random.integers(17, 60)), seed)[1] == whole


def test_a_large_cell_of_flat_probability_is_one_cell(network):
    network.centre.weight.mul_(20)  # far into saturation
    network.centre.bias.mul_(20)
    field = Field(planted.smear((60, 80), radius=20), 2.0, CHECKPOINT.normalisation)
    _, centres = found(network, field)
    assert len(centres) == 1
    np.testing.assert_allclose(field.to_image(centres[0]), (59.5, 79.5), atol=8)
    assert found(network, field, 16)[1] == centres


def test_a_large_dark_area_does_not_swarm_with_cells(network):
    pixels = planted.smear((30, 30))
    pixels[60:, 60:] = 30  # the border of the diaphragm
    field = Field(pixels, 2.0, CHECKPOINT.normalisation)
    _, centres = found(network, field)
    assert 1 <= len(centres) < 8
    assert found(network, field, 16)[1] == centres
