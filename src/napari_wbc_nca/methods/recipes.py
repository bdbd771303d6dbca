"""Training parameters as the four papers state them; free of torch, so that forms load fast.

A number that a paper leaves open is not listed and keeps its default: in CellMixer the threshold of
the foreground, the size of DINOv2, and the strengths of blur, noise, brightness and contrast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_wbc_nca.params import as_dict

PAPER = "paper"
"""Value of the parameter `recipe` that takes the numbers of the method's paper."""

# Image-level classes alone; the last weights of a training, and gradients as they are.
_CROPS: Mapping[str, Any] = {
    "supervision": "images",
    "update_init": "zero",
    "normalisation": "published",
    "projection": "pca",
    "pooling": "method",
    "fire_rate": 0.5,
    "window": 64,
    "learning_rate_decay": 0.9999,
    "samples_per_epoch": 0,
    "max_grad_norm": 0.0,
    "validation_share": 0.0,
    "patience": 0,
}
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "nca_wss": {
        **_CROPS,
        "channels": 32,
        "hidden": 32,
        "steps": 32,
        "focal_gamma": 2.0,
        "learning_rate": 1e-4,
        "batch_size": 32,
        "epochs": 256,  # Raabin; 128 on Matek19
    },
    "nca_max": {
        **_CROPS,
        "channels": 128,
        "hidden": 128,
        "steps": 64,
        "focal_gamma": 0.0,  # cross-entropy
        "learning_rate": 4e-4,
        "batch_size": 16,
        "epochs": 32,
    },
    "propagation": {
        "widths": "64-128-256-512-512",
        "colour": "grey",
        "normalisation": "maximum",
        "diameter": 0.0,  # fields keep their scale, 1040 x 1392 pixels in the paper
        "sigma": 12.0,
        "patch_size": 320,  # 256 in the published code
        "augmentation": "rotations",
        "max_scale_factor": 1.0,
        "learning_rate": 1e-3,
        "learning_rate_decay": 1.0,
        "batch_size": 16,
        "epochs": 500,
        "match_distance": 10.0,
        "max_grad_norm": 0.0,
        "validation_share": 0.0,
        "patience": 0,
    },
    "cellmixer": {
        "network": "dinov2",
        "crop_size": 518,
        "optimiser": "sgd",
        "learning_rate": 1e-3,
        "learning_rate_decay": 1.0,
        "batch_size": 16,
        "samples_per_epoch": 8000,  # 40 times 500 batches: 20,000 iterations
        "epochs": 40,
        "cross_entropy_weight": 0.0,  # Tversky loss alone
        "normalisation": "background",
        "response": "edges",
        "mixed_share": 1.0,
        "min_lambda": 0.5,
        "max_lambda": 0.5,
        "rescale": False,
        "overlap_label": "second",
        "scale_augmentation": 0.0,
        "tint": 0.0,
        "quarter_turns": False,
        "diameter": 0.0,
        "max_grad_norm": 0.0,
        "validation_share": 0.0,
        "patience": 0,
    },
}
"""Method to the parameters that its paper states."""


def describe_recipe(method: str, params: Any) -> str:
    """Describe what the paper's recipe sets, and what `params` change of it; empty for others."""
    if params.recipe != PAPER:
        return ""
    used, stated = as_dict(params), RECIPES[method]
    text = ", ".join(f"{name} {value}" for name, value in stated.items())
    changed = [
        f"{name} {used[name]} instead of {value}"
        for name, value in stated.items()
        if used[name] != value
    ]
    return f"Recipe of the paper: {text}." + (f" Changed: {', '.join(changed)}." * bool(changed))
