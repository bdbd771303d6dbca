from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_wbc_nca.models.unet import UNet

SMALL = (4, 6, 8)


@pytest.fixture
def network():
    return _random(UNet(3, 2, SMALL))


def _random(network):
    """Statistics and weights as unlike their first values as those of a trained network."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -0.5, 0.5)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return network.eval()


@pytest.mark.parametrize("shape", [(16, 16), (13, 22), (1, 1)])
def test_result_has_the_images_size(network, shape):
    assert network(torch.rand(2, 3, *shape)).shape == (2, 2, *shape)


def test_one_level_is_refused():
    with pytest.raises(ValueError, match="two levels"):
        UNet(3, 1, (8,))


def test_published_sizes():
    network = UNet(1, 1, (64, 128, 256, 512, 512))
    inner = [(block[0].in_channels, block[0].out_channels) for block in network.decoder]
    assert inner == [(1024, 256), (512, 128), (256, 64), (128, 64)]
    assert network.stride == 16


def test_state_is_all_float32_and_comes_back(network):
    state = dict(network.state_dict())
    assert {value.dtype for value in state.values()} == {torch.float32}
    other = UNet(3, 2, SMALL).eval()
    other.load_state_dict(state)
    image = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(other(image), network(image), rtol=0, atol=0)


def test_rectifiers_keep_what_they_were_given(network):
    rectifiers = [module for module in network.modules() if isinstance(module, nn.ReLU)]
    assert len(rectifiers) == 2 * (2 * len(SMALL) - 1)
    assert not any(module.inplace for module in rectifiers)


@pytest.mark.parametrize("widths", [(4, 6), SMALL, (4, 4, 4, 4)])
@pytest.mark.parametrize("align", [False, True])
def test_halo_is_where_gradients_end(widths, align):
    network = UNet(1, 1, widths, align).double().eval()
    # Positive weights and linear rectifiers: no path is closed, none cancels another.
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    for block in (*network.encoder, *network.decoder):
        block[2], block[5] = nn.Identity(), nn.Identity()
    side = 4 * network.halo // network.stride * network.stride
    reaches = []
    for pixel in range(side // 2, side // 2 + network.stride):
        # Growing along each axis, so that every maximum is the last pixel's or the first's.
        for sign in (1, -1):
            steps = torch.arange(side, dtype=torch.float64) * sign
            image = (steps[:, None] + steps)[None, None].requires_grad_()
            network(image)[0, 0, pixel, pixel].backward()
            rows = torch.nonzero(image.grad[0, 0].abs().sum(1))[:, 0]
            reaches.append(max(pixel - int(rows[0]), int(rows[-1]) - pixel))
    assert max(reaches) <= network.halo
    if not align:
        assert max(reaches) == network.halo


def test_crops_on_the_grid_give_the_frames_values(network):
    halo = -(-network.halo // network.stride) * network.stride
    frame = torch.rand(1, 3, 150, 171)
    whole = network(frame)
    for y, x in ((0, 0), (56, 60), (100, 120), (148, 168)):
        top, left = max(0, y - halo), max(0, x - halo)
        crop = network(frame[..., top : y + 12 + halo, left : x + 12 + halo])
        inner = crop[..., y - top :, x - left :][..., :12, :12]
        torch.testing.assert_close(inner, whole[..., y : y + 12, x : x + 12], rtol=1e-5, atol=1e-5)


def test_crops_off_the_grid_do_not(network):
    frame = torch.rand(1, 3, 128, 128)
    difference = network(frame[..., 1:, 1:])[..., 60:70, 60:70] - network(frame)[..., 61:71, 61:71]
    assert difference.abs().max() > 1e-2


def test_aligned_corners_depend_on_the_size():
    network = _random(UNet(3, 2, SMALL, align_corners=True))
    frame = torch.rand(1, 3, 128, 128)
    difference = network(frame[..., :96, :96])[..., :40, :40] - network(frame)[..., :40, :40]
    assert difference.abs().max() > 1e-3
