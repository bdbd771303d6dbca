"""Networks that train the classifier of types: a residual network, and the automaton it teaches."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from type_augmentation import DIAMETER, OUTER, WINDOW

from napari_wbc_nca.cell_types import FINE
from napari_wbc_nca.methods.nca.classifier import TREATMENTS
from napari_wbc_nca.models import nca_bfloat16
from napari_wbc_nca.models.nca import NCA
from napari_wbc_nca.types import Checkpoint

WIDTHS = (32, 64, 96, 128)
PIXEL_SIZE = 0.43  # µm of a model pixel, where a cell is 12.5 µm wide
FEATURES = 2 * WIDTHS[-1]
STUDENT = {"channels": 48, "hidden": 64, "steps": 9, "pool": "mean_max", "readouts": 0}


def saturated(density: Tensor) -> Tensor:
    """Return the absorptance ``1 - exp(-2 d)`` of ``(B, 3, h, w)`` densities."""
    return 1 - (-2 * density.clamp(min=-0.2)).exp()


TREATED = {**TREATMENTS, "saturated": saturated}
"""Treatments that were tried; the automaton has those of `TREATMENTS`."""


TEACHERS = {
    "colour_teacher": ("saturated", "nucleus_colour"),
    "density_teacher": ("nucleus_density",),
}
"""Stages of the teachers, and the treatments that each is trained on."""


class Block(nn.Module):
    """Two 3×3 convolutions beside a path that skips them; halves the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        self.n1 = nn.BatchNorm2d(outputs)
        self.c2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.n2 = nn.BatchNorm2d(outputs)
        self.sk = nn.Conv2d(inputs, outputs, 1, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H/2, W/2)``."""
        return F.relu(self.n2(self.c2(F.relu(self.n1(self.c1(x))))) + self.sk(x))


class Teacher(nn.Module):
    """Residual network; its convolutions are computed in bfloat16."""

    def __init__(self, attributes: int) -> None:
        super().__init__()
        stem = nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False)
        self.stem = nn.Sequential(stem, nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
        self.b = nn.Sequential(*map(Block, WIDTHS, WIDTHS[1:]))
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(FEATURES, len(FINE))
        self.aux = nn.Linear(FEATURES, attributes)

    def features(self, x: Tensor) -> Tensor:
        """Mean and maximum of the last layer, ``(B, 256)``."""
        with torch.autocast("cpu", torch.bfloat16):
            x = self.b(self.stem(x.contiguous(memory_format=torch.channels_last)))
            return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1).float()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of classes and of attributes, and the features."""
        features = self.features(x)
        kept = self.drop(features)
        return self.fc(kept), self.aux(kept), features


class Student(NCA):
    """Automaton with two more heads, which are left out where it is bundled."""

    def __init__(self, attributes: int) -> None:
        super().__init__(**STUDENT, classes=len(FINE))  # type: ignore[arg-type]
        self.aux = nn.Linear(self.fc2.out_features, attributes)
        self.hint = nn.Linear(self.fc2.in_features, FEATURES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Logits of classes and of attributes, and the guess of the teacher's features."""
        state = nca_bfloat16.rollout(x, self._weights(), self.steps, self.fire_rate)
        pooled = torch.cat([state.mean((2, 3)), state.amax((2, 3))], 1)
        hidden = F.relu(self.fc2(pooled))
        return self.fc3(hidden), self.aux(hidden), self.hint(pooled)


def average(teachers: dict[str, Teacher], density: Tensor) -> tuple[Tensor, Tensor]:
    """Mean probabilities of the teachers, and the standardised features of the first.

    Each sees ``(B, 3, H, W)`` densities by its own treatments; the mean is over all of these.
    """
    found, features = [], []
    with torch.inference_mode():
        for stage, teacher in teachers.items():
            own = [teacher.features(TREATED[name](density)) for name in TEACHERS[stage]]
            found += [teacher.fc(one).softmax(1) for one in own]
            features.append(torch.stack(own).mean(0))
        first = features[0]
        normal = ((first - first.mean(0)) / (first.std(0) + 1e-3)).clamp(-4, 4)
    return torch.stack(found).mean(0), normal


def to_checkpoint(weights: dict[str, Tensor], card: dict[str, Any]) -> Checkpoint:
    """Make the classifier of an automaton's weights, without the heads that only train."""
    own = {
        name: value.float().numpy()
        for name, value in weights.items()
        if name.split(".")[0] not in ("aux", "hint")
    }
    return Checkpoint(
        "nca_max",
        STUDENT,
        own,
        FINE,
        float(DIAMETER),
        PIXEL_SIZE,
        WINDOW,
        {"name": "window", "treatments": list(TREATMENTS)},
        {"density_window": OUTER, "finder": "wbc-smear", **card},
        "wbc-fine",
    )
