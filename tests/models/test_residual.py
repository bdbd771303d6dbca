from __future__ import annotations

import pytest
import torch

from napari_wbc_nca.models.build import build_network
from napari_wbc_nca.models.residual import ResidualClassifier


@pytest.fixture
def network() -> ResidualClassifier:
    torch.manual_seed(0)
    return ResidualClassifier((4, 8, 6), 3)


def test_features_are_mean_and_maximum_of_the_last_layer(network):
    windows = torch.randn(2, 3, 13, 9)
    features = network.features(windows)
    assert features.shape == (2, 12)
    assert (features[:, 6:] >= features[:, :6]).all()
    torch.testing.assert_close(network(windows), network.head(features))


def test_a_layer_without_weights_passes_on_what_the_skipping_path_has(network):
    block = network.blocks[0]
    for layer in (block.first, block.second):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    x = torch.randn(1, 4, 5, 6)
    torch.testing.assert_close(block(x), block.skip(x).relu())


@pytest.mark.parametrize(
    ("architecture", "match"),
    [
        ({"network": "residual", "widths": "8"}, "expected 2-7 numbers in 1-1024"),
        ({"network": "residual", "widths": "8-4096"}, "expected 2-7 numbers in 1-1024"),
        ({"network": "residual", "widths": "8-8", "steps": 4}, "that of another network"),
        ({"network": "dense", "widths": "8-8"}, "network is 'dense'; expected one of residual"),
    ],
)
def test_an_architecture_that_cannot_be_built_is_refused(architecture, match):
    with pytest.raises(ValueError, match=match):
        build_network("nca_max", architecture, 3)
