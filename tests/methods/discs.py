"""Smears of discs with their boxes, as samples of a detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import planted

from napari_wbc_nca.datasets.samples import Sample

WHITE, RED = 12.0, 7.2  # radii in pixels


def sample(random, number=0, size=80, scale=1.0, source="made"):
    """A white cell and five red ones, none touching another, in a picture without a file."""
    shape = (round(size * scale), round(size * scale))
    places = np.stack(np.meshgrid((14, 40, 66), (14, 40)), -1).reshape(-1, 2)
    places = (places + random.uniform(-2, 2, places.shape)) * scale
    first, *others = random.permutation(places).tolist()
    red = tuple(tuple(place) for place in others)
    pixels = planted.smear(tuple(first), shape=shape, radius=WHITE * scale, red=red)
    boxes = planted.boxes(tuple(first), radius=WHITE * scale)
    boxes += planted.boxes(*red, radius=RED * scale)
    return Sample(
        Path(f"{number}.png"),
        planted.array(boxes),
        ("neutrophil", *["none"] * len(red)),
        f"slide-{number // 2}",
        source,
        kinds=("neutrophil", *["rbc"] * len(red)),
        pixels=pixels,
    )


def samples(count=8, seed=0, **more):
    random = np.random.default_rng(seed)
    return [sample(random, number, **more) for number in range(count)]
