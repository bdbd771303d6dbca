"""The diameter of a white blood cell, read from patches of an image by a network of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import safe_open

from napari_wbc_nca.methods.field import BRIGHTNESS
from napari_wbc_nca.models.residual import ResidualClassifier
from napari_wbc_nca.params import integers
from napari_wbc_nca.progress import Progress

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field, Part

PATCH = 64
"""Side of a patch in pixels."""
BINS = 14
"""Outputs of the network: widths below all others, twelve of a quarter of an octave, above."""
BINS_AN_OCTAVE = 4
FINEST_BIN = 8.0
"""Least width in pixels of a patch that has a bin of its own."""
_SHARES = (1.66, *(1,) * (BINS - 2), 1.29)
"""Widths of the bins in training, in quarters of an octave."""
_LEAST_DEVIATION = 0.02  # optical density; empty glass is not enlarged to noise
_COARSEST = 32  # image pixels a patch pixel: coarser ones would read all of a slide
_LOOKED, _KEPT = 24, 9  # patches of a level that are read, and those with most in them
_FINEST = 8.0  # least diameter in image pixels that is searched for; the largest fills the image
_STEPS = 8  # diameters an octave that are compared


def scale_input(density: torch.Tensor) -> torch.Tensor:
    """Standardise patches ``(N, 3, 64, 64)`` of optical density: colours and stain do not count."""
    centred = density - density.mean((2, 3), keepdim=True)
    deviation = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
    return centred / deviation.clamp(min=_LEAST_DEVIATION)


@cache
def load_scale_network() -> ResidualClassifier:
    """Read the bundled network that names the width of a cell in a patch."""
    source = files("napari_wbc_nca") / "weights" / "scale" / "cell-scale.safetensors"
    with as_file(source) as path, safe_open(path, "pt") as kept:
        network = ResidualClassifier(integers(kept.metadata()["widths"]), BINS)
        network.load_state_dict({name: kept.get_tensor(name) for name in kept.keys()})
    return network.eval().requires_grad_(False)


def read_scale(field: Field) -> Generator[Progress, None, tuple[float, float]]:
    r"""Estimate the diameter of a white blood cell from what is everywhere: all cells' shapes.

    Returns the diameter in image pixels, and the standard deviation of its logarithm.

    The image is looked at from coarse to fine, in octaves :math:`l`, each by the patches
    :math:`x` of those read in which most is to be seen. Of each the network gives the probability
    of the bin :math:`b` of the width that a white cell would have in it. For a diameter :math:`D`

    .. math:: \log p(D) = \sum_l \operatorname{mean}_{x \in l}
        \log \frac{p(b(D / f_l) \mid x)}{\pi(b)} + c

    with :math:`f_l` image pixels per patch pixel and the shares :math:`\pi` of the bins in
    training. The estimate is the median of :math:`p`.
    """
    network = load_scale_network()
    grid = np.arange(
        np.log2(_FINEST), np.log2(max(2 * _FINEST, min(field.source_shape))), 1 / _STEPS
    )
    total = np.zeros(len(grid))
    factors = list(_factors(field.source_shape))
    for number, factor in enumerate(factors):
        yield Progress(number, len(factors), "Estimating the scale")
        view = field.rescaled(factor, BRIGHTNESS)
        patches = torch.stack([view.read(part) for part in _parts(view.shape, number)])
        density = -((255 * patches + 1) / 256).log()
        with torch.inference_mode():
            contents = density.flatten(1).std(1)
            chosen = contents.argsort(descending=True, stable=True)[:_KEPT]
            found = network(scale_input(density[chosen])).log_softmax(1).numpy()
        found = found - np.log(_SHARES)
        at = BINS_AN_OCTAVE * (grid - np.log2(FINEST_BIN * factor)) + 0.5
        total += np.mean([np.interp(at, np.arange(BINS), one) for one in found], 0)
    shares = np.exp(total - total.max())
    shares /= shares.sum()
    middle = float(np.interp(0.5, np.cumsum(shares) - shares / 2, grid))
    mean = float(shares @ grid)
    spread = float(np.sqrt(shares @ (grid - mean) ** 2) * np.log(2))
    return 2**middle, spread


def _factors(shape: tuple[int, int]) -> Iterator[float]:
    """Return image pixels per patch pixel, from coarse to the image's own."""
    factor = min(shape) / PATCH
    while factor > _COARSEST:
        factor /= 2
    while factor > 1.25:
        yield factor
        factor /= 2
    yield 1.0 if min(shape) >= PATCH else factor


def _parts(shape: tuple[int, int], seed: int) -> list[Part]:
    """Return patches of a field: a grid of all where there are few, else some drawn at random."""
    counts = [max(1, round(size / PATCH)) for size in shape]
    starts: npt.NDArray[Any]
    if counts[0] * counts[1] <= _LOOKED:
        axes = [
            np.linspace(0, max(0, size - PATCH), count).round().astype(int)
            for size, count in zip(shape, counts, strict=True)
        ]
        starts = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    else:
        random = np.random.default_rng(seed)
        starts = np.stack([random.integers(0, size - PATCH + 1, _LOOKED) for size in shape], -1)
    return [(range(y, y + PATCH), range(x, x + PATCH)) for y, x in starts.tolist()]
