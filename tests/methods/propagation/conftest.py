"""A small detector, trained within seconds on planted smears."""

from __future__ import annotations

import numpy as np
import planted
import pytest
import torch

from napari_wbc_nca.methods.field import Field
from napari_wbc_nca.methods.propagation.detect import build_detector, detector_card
from napari_wbc_nca.methods.propagation.params import PropagationParams
from napari_wbc_nca.ops.centroids import likelihood_map
from napari_wbc_nca.types import Checkpoint

SHAPE, DIAMETER, SIGMA, STEPS = (64, 64), 24.0, 4.0, 120
ARCHITECTURE = {"channels_in": 3, "outputs": 2, "widths": "8-12-16", "align_corners": False}


@pytest.fixture(scope="session")
def detector():
    """Checkpoint for white cells of 24 px and red cells of 14 px."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    pictures = [_picture(random) for _ in range(16)]
    network = build_detector(ARCHITECTURE).train()
    torch.nn.init.constant_(network.head.bias, -2)
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for step in range(STEPS):
        some = [pictures[(4 * step + n) % len(pictures)] for n in range(4)]
        images, targets = (torch.stack(parts) for parts in zip(*some, strict=True))
        loss = ((torch.sigmoid(network(images)) - targets) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return Checkpoint(
        method="propagation",
        architecture=ARCHITECTURE,
        weights={name: value.numpy().copy() for name, value in network.state_dict().items()},
        classes=("wbc", "rbc"),
        diameter=DIAMETER,
        pixel_size=0.5,
        window=96,
        normalisation={"name": "density"},
        card=detector_card(SIGMA, {"wbc": 0.5, "rbc": 0.5}, scaled=True),
        name="discs",
    )


def _picture(random):
    """A smear as the network sees it, and its likelihood of either kind."""
    places = np.stack(np.meshgrid((16, 46), (16, 46)), -1).reshape(-1, 2)
    places = places + random.uniform(-5, 5, places.shape)
    white = random.random(len(places)) < 0.5
    centres = [tuple(place) for place in places]
    smear = planted.smear(
        *(c for c, own in zip(centres, white, strict=True) if own),
        shape=SHAPE,
        red=tuple(c for c, own in zip(centres, white, strict=True) if not own),
    )
    view = Field(smear.astype(np.float32), 1, {"name": "density"})
    pixels = view.read((range(SHAPE[0]), range(SHAPE[1])))
    kinds = (places[white] - 0.5, places[~white] - 0.5)
    return pixels, torch.from_numpy(np.stack([likelihood_map(SHAPE, own, SIGMA) for own in kinds]))


@pytest.fixture
def params():
    """For a smear at the detector's own scale."""
    return PropagationParams(diameter=DIAMETER, device="cpu")
