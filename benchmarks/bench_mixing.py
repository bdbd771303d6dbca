"""Crops of 518 pixels that are mixed in a second, without augmentations and with them.

pytest -p pytest_benchmark.plugin benchmarks/bench_mixing.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_wbc_nca.methods.cellmixer.mixtures import MixtureDataset
from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams
from napari_wbc_nca.methods.cellmixer.samples import HomogeneousPicture
from napari_wbc_nca.ops.mixing import background_statistics

SIDE = 518


@pytest.fixture
def pictures() -> list[HomogeneousPicture]:
    random = np.random.default_rng(0)
    found = []
    for number in (1, 2, 3):
        pixels = random.normal(0.5, 0.05, (3, 700, 800)).astype(np.float32)
        mask = (random.random((700, 800)) < 0.3).astype(np.uint8) * np.uint8(number)
        statistics = background_statistics(pixels, mask)
        found.append(HomogeneousPicture(pixels, mask, number, statistics))
    return found


@pytest.mark.parametrize("augment", [False, True])
def test_mixing(benchmark: Any, pictures: list[HomogeneousPicture], augment: bool) -> None:
    mixtures = MixtureDataset(pictures, 4, SIDE, CellmixerTrainParams(), augment=augment)
    numbers = iter(range(10_000))
    made = benchmark.pedantic(lambda: mixtures.draw(next(numbers)), rounds=30, warmup_rounds=2)
    assert made.image.shape == (3, SIDE, SIDE)
