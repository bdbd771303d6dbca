"""How a trained model is taught further by a few corrected pictures; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.methods import registry
from napari_wbc_nca.ops.foreground_params import ForegroundParams
from napari_wbc_nca.params import fields, from_mapping

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint

_NCA = {
    "epochs": 2,
    "samples_per_epoch": 128,
    "batch_size": 16,
    "learning_rate": 3e-4,
    "pixel_loss_weight": 2.0,
    "focal_gamma": 1.0,
    "typed_share": 0.6,
    "stain_augmentation": 0.3,
    "readout_fit_windows": 320,
    "projection": "best",
    "validation_share": 0.25,
}
FURTHER: Mapping[str, Mapping[str, Any]] = {
    "nca_wss": _NCA,
    "nca_max": _NCA,
    "propagation": {"epochs": 10, "learning_rate": 3e-4, "validation_share": 0.2},
    "cellmixer": {"epochs": 5, "learning_rate": 3e-4},
}
"""Method to the training parameters in which this differs from the defaults: gentle steps, and
little of what many pictures of many laboratories need."""
_KEPT = (
    "diameter",
    "pixel_size",
    "window",
    "normalisation",
    "pooling",
    "sigma",
    "patch_size",
    "crop_size",
)
"""Parameters that describe the model itself, and so are its own."""
_SETTLED: Mapping[str, tuple[str, ...]] = {
    "cellmixer": (
        *(field.name for field in fields(ForegroundParams)),
        *(
            "mixed_share",
            "same_class_share",
            "min_lambda",
            "max_lambda",
            "rescale",
            "overlap_label",
        ),
        *("scale_augmentation", "contrast", "brightness", "tint", "blur", "noise"),
    ),
}
"""Method to what else is the model's own: what it takes for a cell, and how it met its cells."""


def finetune_params(model: Checkpoint, values: Mapping[str, Any] | None = None) -> Any:
    """Training parameters with which `model` is taught further.

    Parameters
    ----------
    model
        To start from; its size and scale are kept, and what CellMixer takes for a cell.
    values
        Fields that go before those of this module.

    Raises
    ------
    ValueError
        For an unknown field, or a value out of bounds.
    """
    known = registry.get(model.method).train_params
    gentle = {k: v for k, v in FURTHER.get(model.method, {}).items() if k in _names(known)}
    return from_mapping(known, {**_own(model), **gentle, **(values or {})})


def continue_params(method: str, model: Checkpoint, values: Mapping[str, Any]) -> Any:
    """Training parameters of `method` with which training goes on from `model`.

    Those that are not given are the defaults; of CellMixer, whose labels depend on them, first
    those that are the model's own.

    Raises
    ------
    ValueError
        For an unknown field, or a value out of bounds.
    """
    own = _own(model) if method in _SETTLED and method == model.method else {}
    return from_mapping(registry.get(method).train_params, {**own, **values})


def _own(model: Checkpoint) -> dict[str, Any]:
    """What the model's card and fields say of itself."""
    trained = model.card.get("params")
    recorded = trained if isinstance(trained, Mapping) else {}
    wanted = (*_KEPT, *_SETTLED.get(model.method, ()))
    found = {name: recorded[name] for name in wanted if name in recorded} | {
        "pooling": "parts" if model.architecture.get("pool") == "parts" else "method",
        "window": model.window,
        "diameter": model.diameter,
        "pixel_size": model.pixel_size if model.card.get("pixel_size_known", True) else 0.0,
    }
    names = _names(registry.get(model.method).train_params)
    return {name: value for name, value in found.items() if name in names}


def _names(known: type) -> set[str]:
    """Names of the parameters of `known`."""
    return {field.name for field in fields(known)}
