"""A small random checkpoint that the tests of weights share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from napari_wbc_nca.io.architectures import nca_shapes
from napari_wbc_nca.types import Checkpoint

ARCHITECTURE = {"channels": 8, "hidden": 6, "steps": 4, "classes": 3, "head": 5, "readouts": 2}


def checkpoint(**changes: Any) -> Checkpoint:
    random = np.random.default_rng(0)
    weights = {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in nca_shapes(ARCHITECTURE, 3).items()
    }
    made = Checkpoint(
        method="nca_wss",
        architecture=ARCHITECTURE,
        weights=weights,
        classes=("neutrophil", "lymphocyte", "none"),
        diameter=32.0,
        pixel_size=0.4,
        window=64,
        normalisation={"name": "density", "mean": [0.1, 0.2, 0.3]},
        card={"licence": "MIT", "epochs": 3},
        name="small",
    )
    return replace(made, **changes)
