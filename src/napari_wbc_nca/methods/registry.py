"""Methods by name: data that points at code, which is imported when it is first called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from napari_wbc_nca.methods.cellmixer.params import CellmixerParams, CellmixerTrainParams
from napari_wbc_nca.methods.nca.params import NcaMaxTrainParams, NcaParams, NcaTrainParams
from napari_wbc_nca.methods.propagation.params import PropagationParams, PropagationTrainParams


@dataclass(frozen=True)
class Method:
    """One published method.

    Attributes
    ----------
    name, title
        Identifier, and what people read.
    predict, train
        ``"module:function"`` of the two generators every method has.
    predict_params, train_params
        Frozen dataclasses that own their parameters.
    labels
        Names of its label images; those of ``contribution`` come with peaks in the table.
    colours
        Whether it needs an image with colours.
    background
        How many of a model's first classes are background, and so no cell's.
    network
        ``"module:function"`` of ``load(checkpoint, device)``.
    estimate
        ``"module:function"`` of the generator that estimates a cell's diameter in a field.
    update
        ``"module:function"`` of the generator that computes a part of a result again; empty
        where the method cannot.
    """

    name: str
    title: str
    predict: str
    train: str
    predict_params: type
    train_params: type
    labels: tuple[str, ...] = ("cell", "nucleus")
    colours: bool = True
    background: int = 0
    network: str = "napari_wbc_nca.methods.nca.network:build"
    estimate: str = "napari_wbc_nca.methods.nca.scale:search_diameter"
    update: str = ""


METHODS = {
    method.name: method
    for method in (
        Method(
            "nca_wss",
            "NCA-WSS: weakly supervised segmentation (mean pooling)",
            "napari_wbc_nca.methods.nca_wss:predict",
            "napari_wbc_nca.methods.nca_wss:train",
            NcaParams,
            NcaTrainParams,
        ),
        Method(
            "nca_max",
            "WBC-NCA: explainable classification (max pooling)",
            "napari_wbc_nca.methods.nca_max:predict",
            "napari_wbc_nca.methods.nca_max:train",
            NcaParams,
            NcaMaxTrainParams,
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
            network="napari_wbc_nca.methods.propagation.network:load",
            estimate="napari_wbc_nca.methods.propagation.scale:search_diameter",
            update="napari_wbc_nca.methods.propagation.predict:update",
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
            network="napari_wbc_nca.methods.cellmixer.network:load",
            estimate="napari_wbc_nca.methods.cellmixer.scale:search_diameter",
        ),
    )
}


def get(name: str) -> Method:
    """Return the method called `name`.

    Raises
    ------
    ValueError
        When there is none, with the names there are.
    """
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; known are {', '.join(METHODS)}")
    return METHODS[name]


def load(target: str) -> Callable[..., Any]:
    """Import and return the function that ``"module:function"`` names."""
    module, function = target.split(":")
    loaded: Callable[..., Any] = getattr(import_module(module), function)
    return loaded
