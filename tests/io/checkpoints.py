"""Small random checkpoints that several tests share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from napari_wbc_nca.datasets.synthetic import KINDS
from napari_wbc_nca.models.build import weight_shapes
from napari_wbc_nca.types import Checkpoint

ARCHITECTURE = {"channels": 8, "hidden": 6, "steps": 4, "classes": 3, "head": 5, "readouts": 2}


def checkpoint(**changes: Any) -> Checkpoint:
    random = np.random.default_rng(0)
    weights = {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in weight_shapes("nca_wss", ARCHITECTURE, 3).items()
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


def mixer(seed: int = 0, **changes: Any) -> Checkpoint:
    """A class for each pixel of a culture, by weights that learnt nothing."""
    random = np.random.default_rng(seed)
    classes = ("background", *KINDS)
    sizes = {"channels_in": 3, "outputs": len(classes), "widths": "4-8", "align_corners": False}
    weights = {}
    for name, shape in weight_shapes("propagation", sizes, len(classes)).items():
        drawn = random.normal(size=shape).astype(np.float32)
        weights[name] = np.abs(drawn) if name.endswith("running_var") else drawn
        if not shape:
            weights[name] = np.zeros(shape, np.int64)
    made = Checkpoint(
        method="cellmixer",
        architecture={"network": "unet", **sizes},
        weights=weights,
        classes=classes,
        diameter=20.0,
        pixel_size=1.0,
        window=32,
        normalisation={"name": "density"},
        card={"scale": "pixels", "diameters": dict.fromkeys(KINDS, 20.0)},
        name=f"mixer-{seed}",
    )
    return replace(made, **changes)
