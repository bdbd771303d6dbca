"""Train the classifier of types, `wbc-fine`, on the crops that ``type_crops.py`` wrote.

    python benchmarks/train_types.py CROPS ATTRIBUTES OUTPUT STAGE SECONDS [START]

Stages, of each of which ``OUTPUT/STAGE.pt`` keeps all that goes on with it:

colour_teacher, density_teacher
            residual networks on `pbc` and `typed`, by different treatments of the stain
student     the automaton on the same, taught by labels and by both teachers
bundled     the student, trained on with `fields` too; ships

``START`` is the file whose weights, averages and optimiser the stage goes on from: its own, after
an interruption, or that of the stage before. SECONDS are of one processor core. No slide in
``type_batches.HELD_OUT`` and none of the 2,000 cells of `pbc` that measure trains.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import type_augmentation as views
from torch import Tensor
from type_batches import Batch, Batches, attribute_loss
from type_networks import TEACHERS, TREATED, Student, Teacher, average, to_checkpoint

from napari_wbc_nca.io.weights import save
from napari_wbc_nca.methods.nca.classifier import TREATMENTS

SEEN = tuple(TREATMENTS)
"""Treatments by which the automaton sees cells."""


@dataclass(frozen=True)
class Recipe:
    """Numbers of a stage's optimiser and loss."""

    sets: tuple[str, ...] = ("pbc", "typed")
    batch: int = 16
    rate: float = 3e-3
    decay: float = 1e-3
    smoothing: float = 0.01
    attributes: float = 0.1  # weight of the loss of attributes
    average: float = 0.995  # of the moving average of the weights, a step
    stain: float = 0.7  # strength of the variation of stains
    taught: float = 0.6  # share of the loss by the teachers
    hint: float = 0.5  # weight of the loss of the first teacher's features


TEACHER = Recipe(
    batch=64, decay=2e-2, smoothing=0.05, attributes=0.3, average=0.998, stain=1, taught=0, hint=0
)
RECIPES = {
    **dict.fromkeys(TEACHERS, TEACHER),
    "student": Recipe(),
    "bundled": Recipe(("pbc", "typed", "fields"), rate=1e-3),
}


@dataclass
class Run:
    """One stage: network, optimiser, and the moving average of the weights, which is kept."""

    stage: str
    network: Teacher | Student
    teachers: dict[str, Teacher]
    sizes: list[int]
    steps: int = 0
    ema: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.recipe = RECIPES[self.stage]
        parameters = self.network.parameters()
        self.optimiser = torch.optim.AdamW(parameters, weight_decay=self.recipe.decay)
        self.ema = {k: v.clone().float() for k, v in self.network.state_dict().items()}

    def load(self, path: Path) -> None:
        """Go on from a file."""
        kept = torch.load(path, weights_only=True)
        self.network.load_state_dict(kept["raw"])
        self.optimiser.load_state_dict(kept["opt"])
        self.ema = {k: v.float() for k, v in kept["net"].items()}

    def save(self, path: Path) -> None:
        """Keep all that goes on."""
        kept: dict[str, Any] = {"net": self.ema, "raw": self.network.state_dict()}
        torch.save({**kept, "opt": self.optimiser.state_dict(), "step": self.steps}, path)

    def learn(self, batch: Batch, done: float) -> float:
        """Make one step of the optimiser, at the share `done` of the stage; returns the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate * min(1, (self.steps + 1) / 100) * self._decay(done)
        plain = views.density(views.turn(batch.crops, varied=True))
        dense = views.stain(plain, self.recipe.stain)
        taught = average(self.teachers, dense) if self.teachers else None
        loss = self._loss(self._treat(dense), batch, taught)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.steps += 1
        self._average()
        return float(loss.detach())

    def _decay(self, done: float) -> float:
        """Cosine for a teacher; for the automaton constant, and falling in the last two fifths."""
        if isinstance(self.network, Teacher):
            return 0.02 + 0.49 * (1 + math.cos(math.pi * done))
        return min(1.0, max(0.02, (1 - done) / 0.4))

    def _treat(self, dense: Tensor) -> Tensor:
        """Treat each four windows by a treatment drawn at random; the automaton sees the middle."""
        names: tuple[str, ...] = TEACHERS.get(self.stage, SEEN)
        if isinstance(self.network, Student):
            edge = (views.OUTER - views.WINDOW) // 2
            dense = dense[:, :, edge:-edge, edge:-edge]
        chosen = [names[int(torch.randint(len(names), ()))] for _ in range(0, len(dense), 4)]
        parts = zip(dense.split(4), chosen, strict=True)
        return torch.cat([TREATED[name](part) for part, name in parts])

    def _loss(self, seen: Tensor, batch: Batch, taught: tuple[Tensor, Tensor] | None) -> Tensor:
        """Loss by the set of classes that each label allows, by the teachers and the attributes."""
        recipe = self.recipe
        logits, attributes, features = self.network(seen)
        log = logits.log_softmax(1)
        own = -log.masked_fill(~batch.allowed, -1e9).logsumexp(1).mean()
        loss = (1 - recipe.smoothing) * own - recipe.smoothing * log.mean()
        if taught is not None:
            loss = (1 - recipe.taught) * loss - recipe.taught * (taught[0] * log).sum(1).mean()
            loss = loss + recipe.hint * F.mse_loss(features, taught[1])
        found = attribute_loss(attributes, batch.attributes, self.sizes)
        return loss + recipe.attributes * found

    def _average(self) -> None:
        keep = min(self.recipe.average, 1 - 1 / (self.steps / 4 + 2))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.is_floating_point():
                    self.ema[name].lerp_(value.float(), 1 - keep)
                else:
                    self.ema[name].copy_(value)


def main(crops: Path, attributes: Path, output: Path, stage: str, seconds: float) -> None:
    """Train one stage for `seconds` of the processor, and keep it every minute."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batches = Batches(crops, attributes, RECIPES[stage].sets)
    count = sum(batches.sizes)
    teachers = {} if stage in TEACHERS else {name: Teacher(count).eval() for name in TEACHERS}
    for name, teacher in teachers.items():
        teacher.load_state_dict(torch.load(output / f"{name}.pt", weights_only=True)["net"])
    network = Student(count) if teachers else Teacher(count)
    run = Run(stage, network, teachers, batches.sizes)
    if len(sys.argv) > 6:
        run.load(Path(sys.argv[6]))
    began = last = time.process_time()
    while (done := (time.process_time() - began) / seconds) < 1:
        loss = run.learn(batches.draw(run.recipe.batch), done)
        if time.process_time() - last > 60:
            last = time.process_time()
            print(f"{stage} {done:.2f} step {run.steps} loss {loss:.3f}", flush=True)
            run.save(output / f"{stage}.pt")
    run.save(output / f"{stage}.pt")
    if stage not in TEACHERS:
        card = {"data": batches.counts(), "params": asdict(run.recipe), "licence": ""}
        save(to_checkpoint(run.ema, card), output / f"{stage}.safetensors")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), sys.argv[4], float(sys.argv[5]))
