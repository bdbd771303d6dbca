"""DINOv2 with the decoder of Segmenter, at a tiny size."""

from __future__ import annotations

import sys

import pytest
import torch

from napari_wbc_nca.models.segmenter import Segmenter, dinov2, pretrained, sizes_of

SIZES = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2},
    **{"image_size": 28, "patch_size": 14},
}


@pytest.fixture
def network():
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    return Segmenter(dinov2(SIZES), 3)


def test_every_pixel_gets_a_logit_a_class(network):
    assert network(torch.randn(2, 3, 28, 42)).shape == (2, 3, 28, 42)
    assert network(torch.randn(1, 3, 30, 20)).shape == (1, 3, 30, 20)


def test_all_weights_learn(network):
    network(torch.randn(1, 3, 28, 28)).square().mean().backward()
    without = [name for name, value in network.named_parameters() if value.grad is None]
    assert without == ["encoder.embeddings.mask_token"]


def test_a_folder_of_weights_is_read(network, tmp_path):
    network.encoder.save_pretrained(tmp_path)
    read = pretrained(str(tmp_path), download=False)
    assert sizes_of(read) == SIZES
    image = torch.randn(1, 3, 28, 28)
    expected = network.encoder.eval()(image).last_hidden_state
    torch.testing.assert_close(read.eval()(image).last_hidden_state, expected)


def test_missing_weights_and_library_are_explained(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="no weights of DINOv2 are found"):
        pretrained(str(tmp_path))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"install napari-wbc-nca\[dinov2\]"):
        pretrained("facebook/dinov2-small")
