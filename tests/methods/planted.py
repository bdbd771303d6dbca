"""Synthetic smears, and a network that sees their cells without having been trained.

The network's first channels are the optical density; its readout and its head look at the
density of red light, which white blood cells absorb and red ones let through. The other channels
change at random weights, so that the rollout shows in every result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from napari_wbc_nca.models.nca import NCA
from napari_wbc_nca.types import Checkpoint

BACKGROUND, RED_CELL = (235, 230, 240), (225, 160, 150)
CYTOPLASM, NUCLEUS = (150, 120, 200), (80, 60, 150)
CLASSES = ("neutrophil", "lymphocyte", "none")


def disc(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    """``shape`` bool; positions count from the first pixel's corner, as boxes do."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(y + 0.5 - centre[0], x + 0.5 - centre[1]) <= radius


def smear(
    *centres: tuple[float, float],
    shape: tuple[int, int] = (120, 160),
    radius: float = 12,
    red: tuple[tuple[float, float], ...] = (),
) -> np.ndarray:
    """``(Y, X, 3)`` uint8 with a white blood cell at each of `centres`, red ones at `red`."""
    noise = np.random.default_rng(0).normal(0, 2, (*shape, 3))
    pixels = np.zeros((*shape, 3)) + BACKGROUND
    for centre in red:
        pixels[disc(shape, centre, radius * 0.6)] = RED_CELL
    for centre in centres:
        pixels[disc(shape, centre, radius)] = CYTOPLASM
        pixels[disc(shape, centre, radius * 0.55)] = NUCLEUS
    return (pixels + noise).clip(0, 255).astype(np.uint8)


def checkpoint(method: str = "nca_wss", steps: int = 3, **changes: Any) -> Checkpoint:
    """Planted network for cells of 12 model pixels in windows of 24.

    Sizes are multiples of 4: only there are matrix products bit-equal for any number of rows.
    """
    architecture = {"channels": 8, "hidden": 8, "steps": steps, "classes": 3, "head": 4}
    architecture["pool"] = "max" if method == "nca_max" else "mean"
    torch.manual_seed(0)
    network = NCA(**architecture)
    with torch.no_grad():
        network.fc1.weight.normal_(std=0.2)
        _plant(network.centre, (30.0, 0, 0), -8.0)
        network.centre.weight[1, :3] = torch.tensor((30.0, 0, 0))
        network.centre.bias[1] = -20
        _plant(network.fc2, (20.0, 0, 0), 0.0)
        network.fc3.weight[:] = torch.tensor([[1.0], [0.3], [0.0]]) * torch.tensor([1.0, 0, 0, 0])
        network.fc3.bias[:] = torch.tensor([-1.0, -1.0, 0.5])
    made = Checkpoint(
        method=method,
        architecture=architecture,
        weights={name: value.numpy().copy() for name, value in network.state_dict().items()},
        classes=CLASSES,
        diameter=12.0,
        pixel_size=0.8,
        window=24,
        normalisation={"name": "density"},
        card={"projection": "centre"},
        name="planted",
    )
    return replace(made, **changes)


def _plant(layer: Any, image: tuple[float, float, float], bias: float) -> None:
    """Make the first output of a linear layer look at the image, and a little at the rest."""
    layer.weight[0] = torch.randn(layer.weight.shape[1]) * 0.3
    layer.weight[0, :3] = torch.tensor(image)
    layer.bias[0] = bias


def run(steps: Any) -> tuple[list[Any], Any]:
    """What a generator yields, and what it returns."""
    yielded = []
    while True:
        try:
            yielded.append(next(steps))
        except StopIteration as stop:
            return yielded, stop.value


def shares(yielded: Any, message: str) -> list[float]:
    """Finished part of one phase, as it was reported."""
    return [step.done / step.total for step in yielded if step.message == message]


def boxes(*centres: tuple[float, float], radius: float) -> list[tuple[float, ...]]:
    """Box around each disc."""
    return [(y - radius, x - radius, y + radius, x + radius) for y, x in centres]


def array(rows: Any) -> np.ndarray:
    """Boxes as samples hold them."""
    return np.asarray(rows, np.float32).reshape(-1, 4)
