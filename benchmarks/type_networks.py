"""The network that is trained to name types of cells, and what is kept of it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from type_augmentation import DIAMETER, OUTER

from napari_wbc_nca.cell_types import FINE
from napari_wbc_nca.io.model_store import resolve
from napari_wbc_nca.methods.nca.classifier import TREATMENTS
from napari_wbc_nca.models.residual import ResidualClassifier
from napari_wbc_nca.types import Checkpoint

WIDTHS = (32, 64, 96)
PIXEL_SIZE = 0.43  # µm of a model pixel, where a cell is 12.5 µm wide
FINDER = "wbc-smear"
"""Model whose cells are named, and whose calibrated probabilities are averaged with the own."""
DROPPED = 0.2  # share of the features that are left out of a step


class Learner(nn.Module):
    """Classifier whose convolutions are normalised over a batch, with a head for attributes."""

    def __init__(self, attributes: int) -> None:
        super().__init__()
        network = _replaced(ResidualClassifier(WIDTHS, len(FINE)), _normalised)
        self.network = network.to(memory_format=torch.channels_last)
        self.attributes = nn.Linear(self.network.head.in_features, attributes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of classes and of attributes."""
        kept = F.dropout(self.network.features(x), DROPPED, self.training)
        return self.network.head(kept), self.attributes(kept)

    def fused(self) -> ResidualClassifier:
        """Return a copy of the classifier for use, its normalisations part of its convolutions."""
        return _replaced(deepcopy(self.network).eval(), _fused)


def _normalised(layer: nn.Module) -> nn.Module | None:
    """Add a normalisation to a convolution with a bias, in place of the bias."""
    if not isinstance(layer, nn.Conv2d) or layer.bias is None:
        return None
    layer.bias = None
    return nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels))


def _fused(layer: nn.Module) -> nn.Module | None:
    if isinstance(layer, nn.Sequential) and isinstance(layer[-1], nn.BatchNorm2d):
        return nn.utils.fuse_conv_bn_eval(*layer)
    return None


def _replaced(module: nn.Module, make: Any) -> Any:
    """Replace each layer inside a module by what `make` returns of it, unless that is None."""
    for name, layer in module.named_children():
        new = make(layer)
        setattr(module, name, _replaced(layer, make) if new is None else new)
    return module


def to_checkpoint(learner: Learner, card: dict[str, Any]) -> Checkpoint:
    """Make the classifier that is bundled of a network that was trained."""
    own = {"finder": FINDER, "finder_temperature": resolve(FINDER).card["temperature"]}
    return Checkpoint(
        "nca_max",
        {"network": "residual", "widths": "-".join(map(str, WIDTHS))},
        {name: value.numpy() for name, value in learner.fused().state_dict().items()},
        FINE,
        float(DIAMETER),
        PIXEL_SIZE,
        OUTER,
        {"name": "window", "treatments": list(TREATMENTS)},
        {"density_window": OUTER, **own, **card},
        "wbc-fine",
    )
