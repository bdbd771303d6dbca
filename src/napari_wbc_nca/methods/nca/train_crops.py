"""Training of both NCA methods as in their papers: from the class of each crop alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from napari_wbc_nca.cell_types import CELL_TO_BOX, CELL_TO_CROP, NONE, TYPES, WBC
from napari_wbc_nca.datasets.samples import Sample, box_sides, edge_boxes, read_rgb
from napari_wbc_nca.methods.field import BRIGHTNESS, Field
from napari_wbc_nca.methods.nca.fit import focal_loss
from napari_wbc_nca.methods.nca.samples import separate_origins
from napari_wbc_nca.methods.trainer import Trainer, check_classes, start_from
from napari_wbc_nca.models.nca import NCA, Pool
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    from napari_wbc_nca.methods.nca.params import NcaTrainParams

PUBLISHED = "published"
"""Normalisation by the training data's means and deviations."""
Corners = Literal["reflection", "zeros"]
"""Corners of a rotated crop."""
_VALIDATION_BATCHES = 4


@dataclass(frozen=True, eq=False)
class TypedCrop:
    """A crop of one cell, as large as the window, and its class."""

    pixels: torch.Tensor  # (3, side, side) float16: brightness in 0–1, or stain-normalised
    name: str


@dataclass(frozen=True, eq=False)
class CropBatch:
    """A batch of crops."""

    images: torch.Tensor  # (B, 3, side, side) float32, normalised
    classes: torch.Tensor  # (B,) int64


def crops_of(sample: Sample, side: int, normalisation: str) -> list[TypedCrop]:
    """Cut the crops of a sample that have a type, at `side` pixels.

    A picture of one cell is scaled so that its shorter side fills the window. Around a box, the
    crop is as much larger than the cell as such pictures usually are. Cells of unknown type, and
    what is no white blood cell, give no crop. A point, which has no size, raises a ValueError.
    """
    if not set(sample.names) - {NONE, WBC}:
        return []
    rgb = read_rgb(sample)
    crops = []
    boxes = edge_boxes(sample, rgb.shape)
    factors = np.asarray([min(rgb.shape[:2]) / side])
    if sample.boxes is not None:
        sides, _ = box_sides(sample.boxes, rgb.shape)
        factors = sides * CELL_TO_BOX / (CELL_TO_CROP * side)
    for box, factor, name in zip(boxes, factors.tolist(), sample.names, strict=True):
        if name in (NONE, WBC):
            continue
        if not factor:
            raise ValueError(
                f"{sample.path}: a point has no size, so no crop can be cut around it; give boxes, "
                "or crops of one cell"
            )
        centre = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
        crops.append(TypedCrop(_cut(rgb, factor, centre, side, normalisation), name))
    return crops


def _cut(
    rgb: npt.NDArray[np.uint8], factor: float, centre: tuple[float, float], side: int, name: str
) -> torch.Tensor:
    """Read the window around a centre in pixels as prediction reads it; continued at borders."""
    field = Field(rgb, factor, BRIGHTNESS if name == PUBLISHED else {"name": name})
    part = field.window((centre[0] / factor - 0.5, centre[1] / factor - 0.5), side)
    pixels = field.read(part)
    missing = (0, side - pixels.shape[2], 0, side - pixels.shape[1])
    return F.pad(pixels[None], missing, mode="replicate")[0].to(torch.float16)


def fit_published(pictures: Iterable[npt.NDArray[Any]]) -> dict[str, Any]:
    """Compute the normalisation by means and deviations of pictures ``(..., 3)`` in 0–1."""
    sums, squares, count = np.zeros(3), np.zeros(3), 0
    for picture in pictures:
        flat = np.asarray(picture, np.float64).reshape(-1, 3)
        sums, squares, count = sums + flat.sum(0), squares + (flat**2).sum(0), count + len(flat)
    mean = sums / max(count, 1)
    std = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 1e-12))
    return {"name": PUBLISHED, "mean": mean.tolist(), "std": std.tolist()}


class CropSampler:
    """Sampler of batches of crops, each class drawn equally often.

    With `augment` crops are rotated by any angle and flipped; see :func:`rotate` for `corners`.
    """

    def __init__(
        self,
        crops: Sequence[TypedCrop],
        classes: Sequence[str],
        normalisation: dict[str, Any],
        augment: bool = True,
        corners: Corners = "reflection",
    ) -> None:
        self.classes, self.augment, self.corners = tuple(classes), augment, corners
        self.crops = {
            name: own for name in classes if (own := [c.pixels for c in crops if c.name == name])
        }
        shape = (1, 3, 1, 1)
        self.mean = torch.tensor(normalisation.get("mean", (0.0,) * 3)).float().view(shape)
        self.std = torch.tensor(normalisation.get("std", (1.0,) * 3)).float().view(shape)

    def draw(self, count: int, random: np.random.Generator) -> CropBatch:
        """Draw `count` crops."""
        names = random.choice(list(self.crops), count).tolist()
        drawn = [self.crops[name][int(random.integers(len(self.crops[name])))] for name in names]
        images = torch.stack(drawn).float()
        if self.augment:
            images = rotate(images, random, self.corners)
        numbers = torch.tensor([self.classes.index(name) for name in names])
        return CropBatch((images - self.mean) / self.std, numbers)


def rotate(
    images: torch.Tensor, random: np.random.Generator, corners: Corners = "reflection"
) -> torch.Tensor:
    """Rotate each of ``(B, 3, h, w)`` images by any angle, and flip half of them.

    Their `corners` are the image's reflection, or black (``zeros``).
    """
    angles = random.uniform(0, 2 * np.pi, len(images))
    flips = random.choice((-1.0, 1.0), len(images))
    matrix = np.zeros((len(images), 2, 3), np.float32)
    matrix[:, 0, 0], matrix[:, 0, 1] = flips * np.cos(angles), -flips * np.sin(angles)
    matrix[:, 1, 0], matrix[:, 1, 1] = np.sin(angles), np.cos(angles)
    grid = F.affine_grid(torch.from_numpy(matrix), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode=corners, align_corners=False)


class Classifier(nn.Module):
    """Network whose forward pass returns the logits of a batch of crops."""

    def __init__(self, network: NCA, checkpointing: bool) -> None:
        super().__init__()
        self.network, self.checkpointing = network, checkpointing

    def forward(self, images: torch.Tensor, seed: int) -> torch.Tensor:
        """Compute class logits ``(B, classes)``."""
        origin = separate_origins(len(images))
        state = self.network.rollout(images, seed, origin, checkpointing=self.checkpointing)
        return self.network.classify(state)


class CropTrainer(Trainer[TypedCrop, CropBatch]):
    """Training of an automaton on the classes of whole crops; no *none*, no pixels."""

    compatible = ("nca_wss", "nca_max")
    pool: Pool
    corners: Corners
    params: NcaTrainParams
    network: NCA
    sampler: CropSampler

    def find_classes(self) -> tuple[str, ...]:
        """List the types of the samples' cells, the known ones first."""
        found = {name for sample in self.samples for name in sample.names} - {NONE, WBC}
        if not found:
            raise ValueError(
                "no cell has a type, only 'wbc' and 'none' were found; the papers' recipe learns "
                "from the types of single cells: label them"
            )
        if self.init is None:
            return (*(t for t in TYPES if t in found), *sorted(found - set(TYPES)))
        if NONE in self.init.classes:
            raise ValueError(
                f"{self.init.name} has the class {NONE!r}, which the papers' recipe does not know; "
                "start from a model that was trained on crops alone, or from none"
            )
        check_classes(self.init, found)
        return self.init.classes

    def inherit(self, init: Checkpoint) -> NcaTrainParams:
        """Replace the window and the normalisation, which `init` decides."""
        return replace(self.params, window=init.window, normalisation=init.normalisation["name"])

    def build_network(self) -> tuple[dict[str, Any], nn.Module]:
        """Build the automaton, its update at zero where that is asked for."""
        if self.init is not None:
            architecture = {**self.init.architecture, "pool": self.pool}
            network = NCA(**architecture)
            start_from(network, self.init)
            return architecture, network
        sizes = {n: getattr(self.params, n) for n in ("channels", "hidden", "steps", "fire_rate")}
        architecture = {**sizes, "pool": self.pool, "classes": len(self.classes), "readouts": 0}
        network = NCA(**architecture)
        if self.params.update_init == "zero":
            nn.init.zeros_(network.fc1.weight)
        return architecture, network

    def labels(self, sample: Sample) -> Sequence[str]:
        """List the types of a sample's cells."""
        return [name for name in sample.names if name not in (NONE, WBC)]

    def prepare(self, sample: Sample, held: bool) -> list[TypedCrop]:
        """Cut the crops of a sample."""
        return crops_of(sample, self.params.window, self.params.normalisation)

    def set_items(self, learn: list[TypedCrop], held: list[TypedCrop]) -> None:
        """Draw crops, normalised by the means and deviations of those that train."""
        self.normalisation: dict[str, Any] = {"name": self.params.normalisation}
        if self.init is not None:
            self.normalisation = dict(self.init.normalisation)
        elif self.params.normalisation == PUBLISHED:
            self.normalisation = fit_published(c.pixels.permute(1, 2, 0).numpy() for c in learn)
        fixed = (self.classes, self.normalisation)
        self.sampler = CropSampler(learn, *fixed, corners=self.corners)
        self.held_sampler = CropSampler(held, *fixed, augment=False) if held else None

    def module(self) -> nn.Module:
        """Wrap the network, whose loss needs the logits."""
        return Classifier(self.network, self.params.gradient_checkpointing)

    def losses(self, batch: CropBatch, seed: int) -> dict[str, torch.Tensor]:
        """Compute the loss of the classes."""
        return {"loss": self._run(batch, seed)[0]}

    def _run(self, batch: CropBatch, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        images, classes = map(self.fabric.to_device, (batch.images, batch.classes))
        logits = self.learner(images, seed)
        only = F.one_hot(classes, len(self.classes)).bool()
        return focal_loss(logits, only, self.params.focal_gamma), logits

    def validate(self) -> dict[str, float]:
        """Measure loss and accuracy on the same crops each time."""
        if self.held_sampler is None:
            return {}
        random = np.random.default_rng(self.params.seed)
        losses, right = [], []
        for number in range(_VALIDATION_BATCHES):
            batch = self.held_sampler.draw(self.params.batch_size, random)
            loss, logits = self._run(batch, seed=number)
            losses.append(float(loss))
            right.append((logits.argmax(1).cpu() == batch.classes).float())
        accuracy = float(torch.cat(right).mean())
        return {"validation_loss": float(np.mean(losses)), "validation_accuracy": accuracy}

    def make_checkpoint(self) -> Checkpoint:
        """Return the trained model."""
        window = self.params.window
        return Checkpoint(
            method=self.method,
            architecture=self.architecture,
            weights=self.weights(),
            classes=self.classes,
            diameter=CELL_TO_CROP * window,
            pixel_size=self.params.pixel_size,
            window=window,
            normalisation=self.normalisation,
            card={
                **self.card(),
                "projection": self.params.projection,
                "pca": self.method == "nca_wss",
                "pixel_size_known": False,
            },
        )


class WssCropTrainer(CropTrainer):
    """Training of NCA-WSS, which pools a crop by the mean."""

    method, pool = "nca_wss", "mean"
    corners = "reflection"  # the paper does not say; black ones would decide the mean


class MaxCropTrainer(CropTrainer):
    """Training of WBC-NCA, which pools a crop by the maximum."""

    method, pool = "nca_max", "max"
    corners = "zeros"  # as in the published code
