"""Build networks from a checkpoint's card, check that its weights fit, choose the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.weights import WeightsError
from napari_wbc_nca.models import segmenter
from napari_wbc_nca.models.nca import NCA
from napari_wbc_nca.models.residual import ResidualClassifier
from napari_wbc_nca.models.unet import UNet
from napari_wbc_nca.params import integers

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint, Device


# Smallest and largest value of each size: a card from anywhere must not ask for all of the memory.
_NCA = {"channels": (4, 512), "hidden": (1, 1024), "steps": (1, 1024)}
_NCA_OPTIONAL = {"head": (1, 4096), "readouts": (0, 64)}
_LEVELS, _WIDTH = (2, 7), (1, 1024)  # of U-Nets and residual networks
_DINOV2 = {
    "hidden_size": (4, 4096),
    "num_hidden_layers": (1, 64),
    "num_attention_heads": (1, 64),
    "mlp_ratio": (1, 16),
    "image_size": (14, 4096),
    "patch_size": (2, 64),
    "layers": (1, 32),
    "outputs": (2, 1000),
}


def build_network(method: str, architecture: Mapping[str, Any], classes: int) -> nn.Module:
    """Build the network of a method, with random weights and an output for each of the classes.

    The architecture is that of a checkpoint's card: arguments of
    :class:`~napari_wbc_nca.models.nca.NCA` or :class:`~napari_wbc_nca.models.unet.UNet`, whose
    widths are a text joined by ``-``; of `cellmixer` with ``network``, ``unet`` or ``dinov2``; of a
    classifier of cells that an automaton finds with ``network`` ``residual``.

    Raises
    ------
    ValueError
        For a size that is missing, of another type or out of bounds; for another network; where
        DINOv2 needs the package transformers and it is not installed.

    Examples
    --------
    >>> sizes = {"channels": 32, "hidden": 64, "steps": 32, "classes": 6}
    >>> build_network("nca_wss", sizes, classes=6).fc0.weight.shape
    torch.Size([64, 96])
    """
    sizes = dict(architecture)
    builders, network = _BUILDERS[method], sizes.pop("network", None)
    if network not in builders:
        names = ", ".join(filter(None, builders)) or "none"
        raise ValueError(f"network is {network!r}; expected one of {names}")
    try:
        return builders[network](sizes, classes)
    except TypeError as error:  # an argument that the network does not have
        raise ValueError(f"the architecture is that of another network: {error}") from error


def _nca(sizes: Mapping[str, Any], classes: int) -> nn.Module:
    optional = {name: bounds for name, bounds in _NCA_OPTIONAL.items() if name in sizes}
    _check_sizes(sizes, _NCA | optional)
    _check_count("the architecture says {!r} classes", sizes.get("classes", classes), classes)
    return NCA(**{**sizes, "classes": classes})


def _unet(sizes: Mapping[str, Any], classes: int) -> nn.Module:
    widths = _widths(sizes)
    channels = sizes.get("channels_in")
    if channels not in (1, 3) or isinstance(channels, bool):
        raise ValueError(f"channels_in is {channels!r}; expected 1 (grey) or 3 (colours)")
    _check_count("outputs is {!r}", sizes.get("outputs"), classes)
    if not isinstance(sizes.get("align_corners", False), bool):
        raise ValueError(f"align_corners is {sizes['align_corners']!r}; expected a boolean")
    return UNet(**{**sizes, "widths": widths})


def _residual(sizes: Mapping[str, Any], classes: int) -> nn.Module:
    return ResidualClassifier(**{**sizes, "widths": _widths(sizes)}, classes=classes)


def _widths(sizes: Mapping[str, Any]) -> tuple[int, ...]:
    (fewest, most), (low, high) = _LEVELS, _WIDTH
    widths = integers(str(sizes.get("widths")))
    if not fewest <= len(widths) <= most or not all(low <= width <= high for width in widths):
        raise ValueError(
            f"widths are {sizes.get('widths')!r}; expected {fewest}-{most} numbers in {low}-{high}"
        )
    return widths


def _dinov2(sizes: Mapping[str, Any], classes: int) -> nn.Module:
    _check_sizes(sizes, _DINOV2)
    _check_count("outputs is {!r}", sizes["outputs"], classes)
    return segmenter.Segmenter(segmenter.dinov2(sizes), sizes["outputs"], sizes["layers"])


_BUILDERS: dict[str, dict[str | None, Callable[[Mapping[str, Any], int], nn.Module]]] = {
    "nca_wss": {None: _nca, "residual": _residual},
    "nca_max": {None: _nca, "residual": _residual},
    "propagation": {None: _unet},
    "cellmixer": {"unet": _unet, "dinov2": _dinov2},
}
"""Builders of the networks that a method may have; by None where the card need not say."""


def _check_sizes(sizes: Mapping[str, Any], bounds: Mapping[str, tuple[int, int]]) -> None:
    for name, (low, high) in bounds.items():
        value = sizes.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} is {value!r}; expected an integer in {low}-{high}")


def _check_count(message: str, outputs: Any, classes: int) -> None:
    if outputs != classes:
        raise ValueError(f"{message.format(outputs)}, but {classes} class names are listed")


def weight_shapes(
    method: str, architecture: Mapping[str, Any], classes: int
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight of :func:`build_network` by name; nothing is allocated."""
    with torch.device("meta"):
        network = build_network(method, architecture, classes)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def check_weights(checkpoint: Checkpoint, source: str | Path | None = None) -> Checkpoint:
    """Return a checkpoint when its weights are those that its card describes.

    Else a WeightsError names the `source`, by default the checkpoint's name, and what is wrong.
    """
    name = checkpoint.name if source is None else source
    classes = len(checkpoint.classes)
    try:
        expected = weight_shapes(checkpoint.method, checkpoint.architecture, classes)
    except ValueError as error:
        raise WeightsError(f"{name} cannot be used: {error}") from error
    found = {name: tuple(array.shape) for name, array in checkpoint.weights.items()}
    both = [k for k in expected if k in found]
    wrong = [
        *(f"{k} {shape} is missing" for k, shape in expected.items() if k not in found),
        *(f"{k} {shape} is not expected" for k, shape in found.items() if k not in expected),
        *(f"{k} is {found[k]} instead of {expected[k]}" for k in both if found[k] != expected[k]),
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise WeightsError(
            f"{name} cannot be used: its weights do not fit {checkpoint.method} as its card "
            f"describes it: {'; '.join(wrong[:3])}{more}"
        )
    return checkpoint


def choose_device(device: Device) -> torch.device:
    """Choose a device; ``auto`` takes an accelerator. Raises ValueError when it is not there."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.mps.is_available(), "cpu": True}
    names = [name for name, available in present.items() if available]
    if device not in (*names, "auto"):
        found = ", ".join(reversed(names))
        raise ValueError(f"device {device!r} is not there, only {found}; choose one, or 'auto'")
    return torch.device(names[0] if device == "auto" else device)


def load_network(checkpoint: Checkpoint, device: Device = "auto") -> nn.Module:
    """Build the network of a checkpoint with its weights, ready for inference.

    Raises as :func:`check_weights` and :func:`choose_device`.
    """
    check_weights(checkpoint)
    network = build_network(checkpoint.method, checkpoint.architecture, len(checkpoint.classes))
    network.load_state_dict({k: torch.tensor(v) for k, v in checkpoint.weights.items()})
    return network.eval().requires_grad_(False).to(choose_device(device))


def load_model(model: str | Path) -> Checkpoint:
    """Read a model by name or file and check it whole.

    A name stands for a bundled model, then for one of the user's; anything else is a file: a
    checkpoint of this program, or a published one (``.pt``, ``.pth``).

    Raises
    ------
    WeightsError
        When there is neither, with the names there are, or when it cannot be used.
    """
    return check_weights(model_store.resolve(model), model)


def verify_models(model: str | None = None) -> dict[str, str]:
    """Return what is wrong with each model, or with one: an empty text where nothing is.

    Files must be whole and agree with their cards; bundled ones also with their listed SHA-256.
    """
    problems = {}
    for name in [model] if model else model_store.names():
        try:
            load_model(name)
            problems[name] = ""
        except WeightsError as error:
            problems[name] = str(error)
    return problems
