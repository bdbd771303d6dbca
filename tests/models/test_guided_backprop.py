import numpy as np
import pytest
import torch
from torch import nn

from napari_wbc_nca.models.guided_backprop import GradientPatches, GuidedUNet
from napari_wbc_nca.models.unet import UNet

SIDE = 9


def guided_gradient(network, image, signal):
    """Guided gradient of ``(signal * network(image)).sum()`` by the whole image, by autograd."""
    hooks = [
        module.register_full_backward_hook(lambda _, entering, leaving: (entering[0].clamp(min=0),))
        for module in network.modules()
        if isinstance(module, nn.ReLU)
    ]
    leaf = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(leaf), leaf, signal)
    for hook in hooks:
        hook.remove()
    return gradient


def convolved(values, weight, bias):
    """``(C, h, w)`` through a 3×3 convolution in zeros, pixel by pixel."""
    height, width = values.shape[1:]
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    result = np.zeros((len(weight), height, width))
    for y in range(height):
        for x in range(width):
            seen = padded[:, y : y + 3, x : x + 3]
            result[:, y, x] = (weight * seen).sum((1, 2, 3)) + bias
    return result


def returned(signal, weight):
    """What a 3×3 convolution sends back of ``(C', h, w)``: each pixel to the nine it saw."""
    height, width = signal.shape[1:]
    padded = np.zeros((weight.shape[1], height + 2, width + 2))
    for y in range(height):
        for x in range(width):
            padded[:, y : y + 3, x : x + 3] += np.tensordot(signal[:, y, x], weight, 1)
    return padded[:, 1:-1, 1:-1]


def test_the_guided_gradient_of_three_layers_is_that_computed_by_hand():
    torch.manual_seed(1)
    layers = [nn.Conv2d(a, b, 3, padding=1).double() for a, b in ((2, 4), (4, 3), (3, 1))]
    network = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    rng = np.random.default_rng(2)
    image, signal = rng.normal(size=(2, 6, 7)), rng.normal(size=(1, 6, 7))
    weights = [layer.weight.detach().numpy() for layer in layers]
    biases = [layer.bias.detach().numpy() for layer in layers]
    first = convolved(image, weights[0], biases[0])
    second = convolved(np.maximum(first, 0), weights[1], biases[1])
    expected = returned(signal, weights[2])
    expected = returned(expected * (second > 0) * (expected > 0), weights[1])
    expected = returned(expected * (first > 0) * (expected > 0), weights[0])
    found = guided_gradient(network, torch.tensor(image)[None], torch.tensor(signal)[None])
    assert np.allclose(found[0], expected, atol=1e-12)
    plain = torch.tensor(image)[None].requires_grad_()
    network(plain).backward(torch.tensor(signal)[None])
    assert not np.allclose(plain.grad[0], expected, atol=1e-3)


def test_no_hook_stays_behind():
    network = unet((4, 6), False)
    with pytest.raises(RuntimeError):
        GuidedUNet(network).activations(torch.zeros(2, 16, 16))
    assert not any(module._forward_hooks for module in network.modules())


def unet(widths, align_corners):
    torch.manual_seed(0)
    network = UNet(3, 2, widths, align_corners).eval().requires_grad_(False)
    network.head.weight.abs_()  # or a signal could end at the first rectifiers
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(0.5, 2)
            module.bias.normal_(0, 0.2)
    return network


CASES = [
    ((4, 6, 8), False, (50, 61)),
    ((4, 6, 8), True, (48, 64)),
    ((4, 5, 6, 7), False, (80, 64)),
    ((4, 4), False, (20, 25)),
]


@pytest.mark.parametrize(("widths", "align_corners", "shape"), CASES)
def test_cells_in_one_batch_get_the_gradients_of_whole_passes(widths, align_corners, shape):
    network, image = unet(widths, align_corners), torch.rand(3, *shape)
    guide = GuidedUNet(network)
    trace = guide.activations(image)
    assert torch.equal(trace.logits, network(image[None])[0])
    height, width = shape
    corners = [(0, 0), (5, 8), (height - SIDE, width - SIDE), (10, 7)]
    kinds = [0, 1, 0, 1]
    signals = torch.rand(len(corners), 1, SIDE, SIDE) + 0.1
    found = guide.backward(trace, GradientPatches(signals.clone(), corners), kinds)
    for number, (y, x) in enumerate(corners):
        whole = torch.zeros(1, 2, *shape)
        whole[0, kinds[number], y : y + SIDE, x : x + SIDE] = signals[number, 0]
        expected = guided_gradient(network, image[None], whole)[0].sum(0)
        assert expected.abs().max() > 0
        pasted = on_the_image(found, number, shape)
        assert (pasted - expected).abs().max() < 1e-5 * expected.abs().max()


def on_the_image(patches, number, shape):
    """One patch, on zeros as large as the image."""
    (y, x), side = patches.corners[number], max(patches.values.shape[-2:])
    padded = torch.zeros(shape[0] + 2 * side, shape[1] + 2 * side)
    height, width = patches.values.shape[-2:]
    padded[y + side : y + side + height, x + side : x + side + width] = patches.values[number, 0]
    return padded[side : side + shape[0], side : side + shape[1]]


def test_pools_of_equal_pixels_send_back_to_the_first():
    network = unet((4, 6), False)
    image = torch.full((3, 16, 16), 0.5)  # inside, all four pixels of a pool are equal
    signal = torch.ones(1, 1, SIDE, SIDE)
    found = GuidedUNet(network).backward(
        GuidedUNet(network).activations(image), GradientPatches(signal, [(3, 3)]), [0]
    )
    whole = torch.zeros(1, 2, 16, 16)
    whole[0, 0, 3:12, 3:12] = 1
    expected = guided_gradient(network, image[None], whole)[0].sum(0)
    assert torch.allclose(on_the_image(found, 0, (16, 16)), expected, atol=1e-6)
