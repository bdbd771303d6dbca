"""How a trained model is taught further by a few corrected pictures; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.methods import registry
from napari_wbc_nca.params import fields, from_mapping

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint

_NCA = {
    "epochs": 2,
    "samples_per_epoch": 128,
    "batch": 16,
    "learning_rate": 3e-4,
    "centre_weight": 2.0,
    "gamma": 1.0,
    "typed_share": 0.6,
    "stain": 0.3,
    "readout": 320,
    "projection": "best",
    "validation": 0.25,
}
FURTHER: Mapping[str, Mapping[str, Any]] = {
    "nca_wss": _NCA,
    "nca_max": _NCA,
    "propagation": {"epochs": 10, "learning_rate": 3e-4, "validation": 0.2},
    "cellmixer": {"epochs": 5, "learning_rate": 3e-4},
}
"""Method to the training parameters in which this differs from the defaults: gentle steps, and
little of what many pictures of many laboratories need."""
_KEPT = ("diameter", "pixel_size", "window", "normalisation", "pooling", "sigma", "patch", "crop")
"""Parameters that describe the model itself, and so are its own."""


def further(model: Checkpoint, values: Mapping[str, Any] | None = None) -> Any:
    """Training parameters with which `model` is taught further.

    Parameters
    ----------
    model
        To start from; its size and scale are kept.
    values
        Fields that go before those of this module.

    Raises
    ------
    ValueError
        For an unknown field, or a value out of bounds.
    """
    known = registry.get(model.method).train_params
    names = {field.name for field in fields(known)}
    own = {name: value for name, value in _own(model).items() if name in names}
    gentle = {k: v for k, v in FURTHER.get(model.method, {}).items() if k in names}
    return from_mapping(known, {**own, **gentle, **(values or {})})


def _own(model: Checkpoint) -> dict[str, Any]:
    """What the model's card and fields say of itself."""
    trained = model.card.get("params")
    recorded = trained if isinstance(trained, Mapping) else {}
    kept = {name: recorded[name] for name in _KEPT if name in recorded}
    pooling = "parts" if model.architecture.get("pool") == "parts" else "method"
    return kept | {
        "pooling": pooling,
        "window": model.window,
        "diameter": model.diameter,
        "pixel_size": model.pixel_size,
    }
