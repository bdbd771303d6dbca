"""Methods by name: data that points at code, which is imported when it is first called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_wbc_nca.methods.cellmixer.params import CellmixerParams, CellmixerTrainParams
from napari_wbc_nca.methods.nca.params import NcaMaxTrainParams, NcaParams, NcaTrainParams
from napari_wbc_nca.methods.propagation.params import PropagationParams, PropagationTrainParams
from napari_wbc_nca.methods.recipes import PAPER, RECIPES
from napari_wbc_nca.ops.foreground_params import ForegroundParams
from napari_wbc_nca.params import fields, from_mapping

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint


@dataclass(frozen=True)
class Method:
    """One published method; ``"module:function"`` names code, which is imported when called."""

    name: str
    title: str  # what people read
    predict: str  # generator of progress that returns a segmentation
    train: str  # generator of progress that returns a checkpoint
    predict_params: type
    train_params: type
    # Label images; with ``contribution``, the table has peaks.
    labels: tuple[str, ...] = ("cell", "nucleus")
    colours: bool = True  # whether it needs an image with colours
    background: int = 0  # how many of a model's first classes are background, and so no cell's
    # Generator that estimates a cell's diameter in a field.
    estimate: str = "napari_wbc_nca.methods.nca.scale:search_diameter"
    # Generator that computes a part of a result again; empty where the method cannot.
    update: str = ""
    # Training parameters that differ in fine-tuning.
    finetune: Mapping[str, Any] = field(default_factory=dict)
    label_params: tuple[str, ...] = ()  # training parameters that make the labels, kept on


_MODEL = ("normalisation", "sigma", "patch_size", "crop_size")
"""Training parameters that describe the model itself, beside those that its fields hold."""
_FINETUNE_NCA: Mapping[str, Any] = {
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


METHODS = {
    method.name: method
    for method in (
        Method(
            "nca_wss",
            "NCA-WSS: weakly supervised segmentation (mean pooling)",
            "napari_wbc_nca.methods.nca.predict:predict",
            "napari_wbc_nca.methods.nca.train:train_wss",
            NcaParams,
            NcaTrainParams,
            finetune=_FINETUNE_NCA,
        ),
        Method(
            "nca_max",
            "WBC-NCA: explainable classification (max pooling)",
            "napari_wbc_nca.methods.nca.predict:predict",
            "napari_wbc_nca.methods.nca.train:train_max",
            NcaParams,
            NcaMaxTrainParams,
            finetune=_FINETUNE_NCA,
        ),
        Method(
            "propagation",
            "Propagation: instances from centroids",
            "napari_wbc_nca.methods.propagation.predict:predict",
            "napari_wbc_nca.methods.propagation.train:train",
            PropagationParams,
            PropagationTrainParams,
            labels=("cell", "contribution"),
            colours=False,
            estimate="napari_wbc_nca.methods.propagation.scale:search_diameter",
            update="napari_wbc_nca.methods.propagation.predict:update",
            finetune={"epochs": 10, "learning_rate": 3e-4, "validation_share": 0.2},
        ),
        Method(
            "cellmixer",
            "CellMixer: a class per pixel from homogeneous populations",
            "napari_wbc_nca.methods.cellmixer.predict:predict",
            "napari_wbc_nca.methods.cellmixer.train:train",
            CellmixerParams,
            CellmixerTrainParams,
            labels=("cell", "class"),
            colours=False,
            background=1,
            estimate="napari_wbc_nca.methods.cellmixer.scale:search_diameter",
            finetune={"epochs": 5, "learning_rate": 3e-4},
            label_params=(
                *(parameter.name for parameter in fields(ForegroundParams)),
                *("mixed_share", "same_class_share", "min_lambda", "max_lambda"),
                *("rescale", "overlap_label"),
                *("scale_augmentation", "contrast", "brightness", "tint", "blur", "noise"),
            ),
        ),
    )
}


def get(name: str) -> Method:
    """Return the method called `name`, or raise a ValueError with the names there are."""
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; known are {', '.join(METHODS)}")
    return METHODS[name]


def load(target: str) -> Callable[..., Any]:
    """Import and return the function that ``"module:function"`` names."""
    module, function = target.split(":")
    loaded: Callable[..., Any] = getattr(import_module(module), function)
    return loaded


def training_params(method: str, values: Mapping[str, Any]) -> Any:
    """Make the training parameters of `method` from `values`, the others by their ``recipe``.

    An unknown method or field, or a value out of bounds, raises a ValueError.
    """
    return from_mapping(get(method).train_params, {**_of_recipe(method, values), **values})


def _of_recipe(method: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the paper of a method states, where `values` ask for its recipe."""
    return RECIPES[method] if values.get("recipe") == PAPER else {}


def finetune_params(model: Checkpoint, values: Mapping[str, Any] | None = None) -> Any:
    """Make the training parameters with which `model` is fine-tuned.

    Its size and scale are kept, and the foreground of CellMixer; `values` override the registry's.
    An unknown field, or a value out of bounds, raises a ValueError.
    """
    method = get(model.method)
    own = {**_recorded(model), **method.finetune, **(values or {})}
    return from_mapping(method.train_params, own)


def continue_params(method: str, model: Checkpoint, values: Mapping[str, Any]) -> Any:
    """Make the training parameters of `method` with which `model` is trained on.

    Those that `values` lacks are the defaults; of CellMixer, whose labels depend on them, those
    of the model. Raises as :func:`finetune_params`.
    """
    known = get(method)
    recorded = _recorded(model) if known.label_params and method == model.method else {}
    recipe = _of_recipe(method, values)
    return from_mapping(known.train_params, {**recorded, **recipe, **values})


def _recorded(model: Checkpoint) -> dict[str, Any]:
    """Return the training parameters that the model's card and fields record."""
    trained = model.card.get("params")
    card = trained if isinstance(trained, Mapping) else {}
    method = get(model.method)
    kept = {name: card[name] for name in (*_MODEL, *method.label_params) if name in card}
    kept |= {
        "pooling": "parts" if model.architecture.get("pool") == "parts" else "method",
        "window": model.window,
        "diameter": model.diameter,
        "pixel_size": model.pixel_size if model.card.get("pixel_size_known", True) else 0.0,
    }
    names = {parameter.name for parameter in fields(method.train_params)}
    return {name: value for name, value in kept.items() if name in names}
