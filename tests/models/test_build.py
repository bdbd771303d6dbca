from __future__ import annotations

import pytest
import torch
from checkpoints import ARCHITECTURE, checkpoint, mixer

from napari_wbc_nca.io.weights import WeightsError
from napari_wbc_nca.models.build import (
    build_network,
    check_weights,
    load_model,
    load_network,
    weight_shapes,
)
from napari_wbc_nca.models.nca import NCA

UNET = {"channels_in": 3, "outputs": 2, "widths": "8-16", "align_corners": False}


@pytest.mark.parametrize("pool", ["mean", "max"])
@pytest.mark.parametrize("sizes", [{}, {"head": 7, "readouts": 0}, {"readouts": 1}])
def test_shapes_are_those_of_the_network(pool, sizes):
    architecture = {"channels": 9, "hidden": 11, "steps": 3, "classes": 4, "pool": pool, **sizes}
    state = NCA(**architecture).state_dict()
    assert weight_shapes("nca_wss", architecture, 4) == {
        name: tuple(tensor.shape) for name, tensor in state.items()
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("a", "b")}, r"architecture says 3 classes, but 2 class names"),
        ({"architecture": {"channels": 8}}, r"hidden is None; expected an integer in 1-1024"),
        (
            {"architecture": {**ARCHITECTURE, "steps": 10**9}},
            r"steps is 1000000000; expected an integer",
        ),
        ({"architecture": {**ARCHITECTURE, "steps": True}}, r"steps is True; expected"),
        ({"architecture": {**ARCHITECTURE, "pool": "sum"}}, r"pool is 'sum'; choose one of"),
        ({"architecture": {**ARCHITECTURE, "depth": 3}}, r"that of another network: .*'depth'"),
        (
            {"architecture": {**ARCHITECTURE, "channels": 16}},
            r"p0.weight is \(8, 1, 3, 3\) instead of \(16, 1, 3, 3",
        ),
        ({"weights": {}}, r"p0.weight \(8, 1, 3, 3\) is missing; .* and 10 more"),
    ],
)
def test_weights_that_do_not_fit_their_card_are_refused(changes, message):
    with pytest.raises(WeightsError, match=rf"^small cannot be used: .*{message}"):
        check_weights(checkpoint(**changes))


def test_unexpected_weights_are_refused_by_file(tmp_path):
    arrays = {**checkpoint().weights, "spy": checkpoint().weights["fc0.bias"][:2]}
    with pytest.raises(WeightsError, match=r"x.safetensors .* spy \(2,\) is not expected"):
        check_weights(checkpoint(weights=arrays), tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": "8"}, "widths are '8'; expected 2-7 numbers in 1-1024"),
        ({"channels_in": True}, r"channels_in is True; expected 1 \(grey\) or 3"),
        ({"outputs": 3}, "outputs is 3, but 2 class names are listed"),
        ({"align_corners": 1}, "align_corners is 1; expected a boolean"),
    ],
)
def test_sizes_of_a_u_net_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        build_network("propagation", {**UNET, **change}, 2)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"network": "mlp"}, "network is 'mlp'; expected one of unet, dinov2"),
        ({"network": "dinov2", "outputs": 2}, "hidden_size is None; expected an integer in 4-"),
    ],
)
def test_networks_of_cellmixer_are_checked(sizes, message):
    with pytest.raises(ValueError, match=message):
        build_network("cellmixer", sizes, 2)


@pytest.mark.parametrize("made", [checkpoint(), mixer()])
def test_network_holds_the_weights(made):
    network = load_network(made, "cpu")
    assert not network.training
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, torch.tensor(made.weights[name]))


def test_bundled_models_load():
    assert load_model("wbc-smear").name == "wbc-smear"
