"""Parameters with which a trained model is fine-tuned or trained on; free of torch."""

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
FINETUNE: Mapping[str, Mapping[str, Any]] = {
    "nca_wss": _NCA,
    "nca_max": _NCA,
    "propagation": {"epochs": 10, "learning_rate": 3e-4, "validation_share": 0.2},
    "cellmixer": {"epochs": 5, "learning_rate": 3e-4},
}
"""Method to the training parameters in which fine-tuning differs from the defaults: small steps,
and little augmentation of the stain."""
_MODEL = ("normalisation", "sigma", "patch_size", "crop_size")
"""Parameters that describe the model itself, beside those that its fields hold."""
_LABELS: Mapping[str, tuple[str, ...]] = {
    "cellmixer": (
        *(field.name for field in fields(ForegroundParams)),
        *("mixed_share", "same_class_share", "min_lambda", "max_lambda"),
        *("rescale", "overlap_label"),
        *("scale_augmentation", "contrast", "brightness", "tint", "blur", "noise"),
    ),
}
"""Method to the parameters that make its labels, which training on keeps too."""


def finetune_params(model: Checkpoint, values: Mapping[str, Any] | None = None) -> Any:
    """Make the training parameters with which `model` is fine-tuned.

    Parameters
    ----------
    model
        To start from; its size and scale are kept, and the foreground of CellMixer.
    values
        Fields that override those of this module.

    Raises
    ------
    ValueError
        For an unknown field, or a value out of bounds.
    """
    params = registry.get(model.method).train_params
    recorded = _recorded(model)
    return from_mapping(params, {**recorded, **FINETUNE.get(model.method, {}), **(values or {})})


def continue_params(method: str, model: Checkpoint, values: Mapping[str, Any]) -> Any:
    """Make the training parameters of `method` with which `model` is trained on.

    Those that `values` lacks are the defaults; of CellMixer, whose labels depend on them, those
    of the model.

    Raises
    ------
    ValueError
        For an unknown field, or a value out of bounds.
    """
    recorded = _recorded(model) if method in _LABELS and method == model.method else {}
    return from_mapping(registry.get(method).train_params, {**recorded, **values})


def _recorded(model: Checkpoint) -> dict[str, Any]:
    """Training parameters that the model's card and fields record."""
    trained = model.card.get("params")
    card = trained if isinstance(trained, Mapping) else {}
    kept = {name: card[name] for name in (*_MODEL, *_LABELS.get(model.method, ())) if name in card}
    kept |= {
        "pooling": "parts" if model.architecture.get("pool") == "parts" else "method",
        "window": model.window,
        "diameter": model.diameter,
        "pixel_size": model.pixel_size if model.card.get("pixel_size_known", True) else 0.0,
    }
    names = {field.name for field in fields(registry.get(model.method).train_params)}
    return {name: value for name, value in kept.items() if name in names}
