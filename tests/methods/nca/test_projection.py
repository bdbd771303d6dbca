from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest
import torch

from napari_wbc_nca.methods.nca.cells import PROJECTIONS
from napari_wbc_nca.models.build import load_network

CHECKPOINT = planted.checkpoint()
STATE = torch.from_numpy(np.random.default_rng(0).normal(0, 0.3, (2, 9, 11, 8)).astype(np.float32))


@pytest.fixture
def network():
    return load_network(CHECKPOINT, "cpu")


def published():
    """The planted network without its readout."""
    weights = {n: w for n, w in CHECKPOINT.weights.items() if not n.startswith("centre")}
    architecture = {**CHECKPOINT.architecture, "readouts": 0}
    return load_network(replace(CHECKPOINT, weights=weights, architecture=architecture), "cpu")


@pytest.mark.parametrize("name", PROJECTIONS)
def test_a_response_lies_between_zero_and_one(name, network):
    response = PROJECTIONS[name](network, STATE)
    assert response.shape == (2, 9, 11)
    assert 0 <= float(response.min()) < float(response.max()) <= 1


@pytest.mark.parametrize("sign", [1, -1])
def test_pca_makes_the_middle_bright_whatever_the_sign(network, sign):
    middle = torch.from_numpy(planted.disc((21, 21), (10.5, 10.5), 6))
    state = torch.zeros(1, 21, 21, 8)
    state[0, ..., 2] = sign * middle.float()
    response = PROJECTIONS["pca"](network, state)[0]
    assert torch.equal(response, middle.float())


def test_pca_of_a_constant_window_is_zero(network):
    assert not PROJECTIONS["pca"](network, torch.full((1, 5, 5, 8), 3.0)).any()


def test_pca_looks_at_each_window_alone(network):
    both = PROJECTIONS["pca"](network, STATE)
    torch.testing.assert_close(both[1:], PROJECTIONS["pca"](network, STATE[1:]), rtol=0, atol=0)


def by_hand(network, known):
    """Evidence, pixel by pixel."""
    height, width = STATE.shape[1:3]
    margin = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            hidden = (network.fc2.weight @ STATE[0, y, x] + network.fc2.bias).clamp(min=0)
            z = (network.fc3.weight @ hidden + network.fc3.bias).double().numpy()
            margin[y, x] = np.log(np.exp(z[:known]).sum()) - (z[known] if known < len(z) else 0)
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            around = margin[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].mean()
            result[y, x] = 1 / (1 + np.exp(-around))
    return result


def test_evidence_is_the_formula(network):
    found = PROJECTIONS["evidence"](network, STATE)[0].numpy()
    np.testing.assert_allclose(found, by_hand(network, 2), rtol=1e-4)


def test_evidence_of_a_published_network_is_that_of_all_its_classes():
    network = published()
    found = PROJECTIONS["evidence"](network, STATE)[0].numpy()
    np.testing.assert_allclose(found, by_hand(network, 3), rtol=1e-4)


def test_centre_is_the_first_readout(network):
    z = STATE @ network.centre.weight.T + network.centre.bias
    torch.testing.assert_close(PROJECTIONS["centre"](network, STATE), z[..., 0].sigmoid())


def test_centre_needs_a_readout():
    with pytest.raises(ValueError, match="no readout 'centre'; use another projection"):
        PROJECTIONS["centre"](published(), STATE)
