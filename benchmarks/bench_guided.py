"""Contributions of all cells of a field against one guided pass of the whole field per cell.

``python benchmarks/bench_guided.py`` takes the default network; ``--widths 64-128-256-512-512
--sigma 12`` the published one's, which takes minutes. Passes over the whole field are timed on
``--full`` cells and scaled to all of them; each is a forward and a backward pass, as in the
published code. Weights are random. Seconds are those of the processor, summed over its cores:
what other programs do at the same time does not count.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from napari_wbc_nca.methods.propagation.contribution import (
    Centroid,
    Contribution,
    ForwardPass,
    contributions,
    region_radius,
    rivals,
    signal,
)
from napari_wbc_nca.methods.propagation.params import PropagationParams
from napari_wbc_nca.models.guided_backprop import GuidedUNet
from napari_wbc_nca.models.unet import UNet
from napari_wbc_nca.params import integers
from napari_wbc_nca.progress import run_to_end


def network(widths: str) -> UNet:
    """U-Net of random weights whose normalisations are not the identity."""
    torch.manual_seed(0)
    net = UNet(1, 1, integers(widths)).eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    net.head.weight.abs_()
    return net


def centres(count: int, shape: tuple[int, int]) -> dict[int, Centroid]:
    """Random centroids that keep some distance, as cells do."""
    random = np.random.default_rng(0)
    apart = 0.6 * np.sqrt(shape[0] * shape[1] / count)
    places = np.empty((0, 2))
    while len(places) < count:
        place = random.uniform(0, np.subtract(shape, 1), (1, 2))
        if not len(places) or np.hypot(*(places - place).T).min() > apart:
            places = np.concatenate((places, place))
    return {n: Centroid(y, x, 0) for n, (y, x) in enumerate(places.tolist())}


def on_field(part: np.ndarray, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    """A part of a field, with zeros around."""
    whole, border = np.zeros(np.add(shape, 2 * max(part.shape)), np.float32), max(part.shape)
    y, x = np.add(corner, border)
    whole[y : y + part.shape[0], x : x + part.shape[1]] = part
    return whole[border : border + shape[0], border : border + shape[1]]


def guided_gradient(net: UNet, image: torch.Tensor, signals: torch.Tensor) -> torch.Tensor:
    """Guided gradient of ``(signals * net(image)).sum()`` by the whole image, by autograd."""
    hooks = [
        module.register_full_backward_hook(lambda _, entering, leaving: (entering[0].clamp(min=0),))
        for module in net.modules()
        if isinstance(module, torch.nn.ReLU)
    ]
    leaf = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(leaf), leaf, signals)
    for hook in hooks:
        hook.remove()
    return gradient


def main() -> None:
    """Print seconds of both, their ratio and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", default="16-32-64-128")
    parser.add_argument("--sigma", type=float, default=12.0)
    parser.add_argument("--shape", type=int, nargs=2, default=(1040, 1392))
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--full", type=int, default=10, help="cells timed on the whole field")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    net, shape = network(options.widths), tuple(options.shape)
    found, image = centres(options.cells, shape), torch.rand(1, *shape)
    params = PropagationParams(batch_size=options.batch_size, min_contribution=0.0)
    print(f"widths {options.widths}, halo {net.halo} px, {options.cells} cells of {shape} px")

    start = time.process_time()
    guide = GuidedUNet(net)
    trace = guide.activations(image)
    traced = ForwardPass(trace, torch.sigmoid(trace.logits).numpy(), (0, 0))
    forward = time.process_time() - start
    steps = contributions(guide, traced, found, list(found), shape, options.sigma, params)
    maps: dict[int, Contribution] = run_to_end(steps)
    ours = time.process_time() - start
    print(f"all cells: {ours:.1f} s, of which the forward pass {forward:.1f} s", flush=True)

    radius, near = region_radius(options.sigma), rivals(found, options.sigma)
    spent, errors = 0.0, []
    for number in np.linspace(0, options.cells - 1, options.full).astype(int).tolist():
        own = signal(number, found, near[number], traced, options.sigma, params)
        corner = tuple(np.subtract(found[number].pixel, radius))
        whole = torch.from_numpy(on_field(own, corner, shape))[None, None]
        start = time.process_time()
        gradient = guided_gradient(net, image[None], whole)
        spent += time.process_time() - start
        expected = gradient[0].sum(0).clamp(min=0).numpy()
        same = on_field(maps[number].values, maps[number].corner, shape)
        errors.append(float(np.abs(same - expected / expected.max()).max()))
    full = spent / options.full * options.cells
    print(f"one pass of the field per cell: {spent / options.full:.2f} s, {full:.0f} s for all")
    print(f"{full / ours:.1f} times faster; largest difference {max(errors):.1e} of the maximum")


if __name__ == "__main__":
    main()
