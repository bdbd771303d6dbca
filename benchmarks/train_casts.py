"""Train an automaton to find and outline cells in any light and stain, from one that does in some.

    WBC_NCA_DATA=/data python benchmarks/train_casts.py OUTPUT SECONDS [MODEL]

MODEL, `wbc-smear` unless another is named, is frozen and looks at windows as they are; a copy of it
sees each of them under a random cast, and learns to say the same: cell and nucleus of each pixel,
and the probabilities of the classes. Labels of ``bundled.toml`` take part at a small weight. The
moving average of the copy's weights is what is kept. SECONDS are of one processor core; a training
that was interrupted goes on from ``OUTPUT/casts.pt``.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from typing import cast as typed

import numpy as np
import torch
from cast_augmentation import cast
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from napari_wbc_nca.datasets import readers
from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.weights import save
from napari_wbc_nca.methods.field import saturate
from napari_wbc_nca.methods.nca.fit import focal_loss, readout_loss
from napari_wbc_nca.methods.nca.samples import WindowBatch, WindowSampler, prepare
from napari_wbc_nca.models.build import load_network
from napari_wbc_nca.types import Checkpoint

if TYPE_CHECKING:
    from napari_wbc_nca.models.nca import NCA

DATA = Path(__file__).parent / "bundled.toml"


@dataclass(frozen=True)
class Recipe:
    """Numbers of the training."""

    batch: int = 12
    rate: float = 1.5e-3
    warm: int = 50  # steps over which the rate rises
    average: float = 0.99  # of the moving average of the weights, a step
    plain: float = 0.15  # share of windows without a cast
    cytoplasm: float = 2.0  # further weight of pixels that are cell and not nucleus
    overlap: float = 0.3  # weight of the Dice loss
    classes: float = 0.5  # weight of the classes
    labels: float = 0.15  # weight of the loss by labels
    typed_share: float = 0.5


class Run:
    """A training: teacher, network, optimiser, and moving average of the weights."""

    def __init__(self, checkpoint: Checkpoint, recipe: Recipe) -> None:
        self.recipe, self.checkpoint = recipe, checkpoint
        self.teacher, self.network, self.average = (
            typed("NCA", load_network(checkpoint, "cpu")) for _ in range(3)
        )
        self.network.train().requires_grad_(True)
        self.optimiser = torch.optim.Adam(self.network.parameters(), recipe.rate)
        self.steps = 0

    def learn(self, batch: WindowBatch, done: float) -> float:
        """Make one step of the optimiser, at the share `done` of the training; returns the loss."""
        rate = self.recipe.rate * min(1, (self.steps + 1) / self.recipe.warm)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))
        loss = self.loss(batch)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.steps += 1
        keep = min(self.recipe.average, 1 - 1 / (self.steps + 1))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
            for mean, value in pairs:
                mean.lerp_(value, 1 - keep)
        return float(loss.detach())

    def loss(self, batch: WindowBatch) -> Tensor:
        """Compare what the network says of cast windows with what is said of plain ones."""
        recipe, normalisation = self.recipe, self.checkpoint.normalisation
        with torch.no_grad():
            plain = saturate(batch.images, normalisation)
            seen = saturate(cast(batch.images, recipe.plain), normalisation)
            state = self.teacher.rollout(plain, self.steps, batch.origin)
            wanted = self.teacher.readout(state).sigmoid()
            classes = self.teacher.classify(state).softmax(1)
        with torch.enable_grad():
            state = self.network.rollout(seen, self.steps, batch.origin)
            readout, logits = self.network.readout(state), self.network.classify(state)
            rim = wanted[..., :1] * (1 - wanted[..., 1:])
            weight = 1 + recipe.cytoplasm * rim
            pixels = binary_cross_entropy_with_logits(readout, wanted, weight=weight)
            own = readout.sigmoid()
            shared, both = (own * wanted).sum((0, 1, 2)), (own + wanted).sum((0, 1, 2))
            overlap = (1 - (2 * shared + 1) / (both + 1)).mean()
            named = -(classes * logits.log_softmax(1)).sum(1).mean()
            labelled = readout_loss(readout, batch.targets) + focal_loss(logits, batch.allowed, 1.0)
            return (
                pixels
                + recipe.overlap * overlap
                + recipe.classes * named
                + recipe.labels * labelled
            )

    def save(self, path: Path) -> None:
        """Keep all that goes on."""
        parts = ("network", "average", "optimiser")
        kept = {name: getattr(self, name).state_dict() for name in parts}
        torch.save({**kept, "steps": self.steps}, path)

    def load(self, path: Path) -> None:
        """Go on from a file."""
        kept = torch.load(path, weights_only=True)
        for name in ("network", "average", "optimiser"):
            getattr(self, name).load_state_dict(kept[name])
        self.steps = kept["steps"]

    def result(self) -> Checkpoint:
        """Return the checkpoint with the average of the weights."""
        weights = {name: value.numpy() for name, value in self.average.state_dict().items()}
        parent = {"name": self.checkpoint.name, "sha256": self.checkpoint.sha256}
        own = {**asdict(self.recipe), "optimiser_steps": self.steps, "parent": parent}
        return replace(
            self.checkpoint, weights=weights, card={**self.checkpoint.card, "casts": own}
        )


def main(output: Path, seconds: float, model: str) -> None:
    """Train for `seconds` of the processor, and keep the training every minute."""
    torch.set_num_threads(1)
    output.mkdir(parents=True, exist_ok=True)
    run = Run(model_store.resolve(model), recipe := Recipe())
    kept, spent = output / "casts.pt", 0.0
    if kept.exists():
        run.load(kept)
        spent = float((output / "casts.seconds").read_text(encoding="utf-8"))
    checkpoint = run.checkpoint
    samples = [
        prepare(sample, checkpoint.diameter, checkpoint.normalisation)
        for sample in readers.read(DATA)
    ]
    sampler = WindowSampler(
        samples,
        checkpoint.classes,
        checkpoint.window,
        {"name": "density"},
        recipe.typed_share,
        stain_augmentation=0.0,
    )
    random = np.random.default_rng(run.steps)
    torch.manual_seed(run.steps)
    losses: list[float] = []
    began = last = time.process_time() - spent
    while (now := time.process_time()) - began < seconds:
        losses.append(run.learn(sampler.draw(recipe.batch, random), (now - began) / seconds))
        if now - last > 60:
            last = now
            print(f"step {run.steps} loss {np.mean(losses):.4f}", flush=True)
            losses.clear()
            run.save(kept)
            (output / "casts.seconds").write_text(str(now - began), encoding="utf-8")
            save(run.result(), output / f"{checkpoint.name}.safetensors")
    save(run.result(), output / f"{checkpoint.name}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), (sys.argv[3:] or ["wbc-smear"])[0])
