from __future__ import annotations

import planted
import pytest
import torch

from napari_wbc_nca.models.build import choose_device, load_network


def test_a_network_holds_the_checkpoints_weights():
    checkpoint = planted.checkpoint()
    network = load_network(checkpoint, "cpu")
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, torch.tensor(checkpoint.weights[name]), rtol=0, atol=0)


def test_a_network_does_not_share_memory_with_its_checkpoint():
    checkpoint = planted.checkpoint()
    load_network(checkpoint, "cpu").fc2.bias.fill_(7)
    assert not (checkpoint.weights["fc2.bias"] == 7).any()


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_missing_device_is_named_with_those_there_are(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"'{name}' is not there, only cpu; choose one, or 'auto'"):
        choose_device(name)


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_an_accelerator_where_there_is_one(cuda, mps, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.mps, "is_available", lambda: mps)
    assert choose_device("auto").type == chosen
