"""Train the classifier of types, `wbc-fine`, on the crops that ``type_crops.py`` wrote.

    python benchmarks/train_types.py CROPS ATTRIBUTES OUTPUT STAGE SECONDS [START]

Stages, of each of which ``OUTPUT/STAGE.pt`` keeps all that goes on with it:

teacher     a residual network on `pbc` and `typed`
student     the automaton on the same, taught by labels and by the teacher
bundled     the student, trained on with `fields` too; ships

``START`` is the file whose weights, averages and optimiser the stage goes on from: its own, after
an interruption, or that of the stage before. SECONDS are of one processor core. No slide in
``type_batches.HELD_OUT`` and none of the 2,000 cells of `pbc` that measure trains.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import type_augmentation as views
from torch import Tensor
from type_batches import Batch, Batches, attribute_loss
from type_networks import Student, Teacher, average

from napari_wbc_nca.ops.stain import TREATMENTS

TREATED = ("saturated", "nucleus")
BATCH, MICRO = {"teacher": 64, "student": 32, "bundled": 32}, 8
RATE = {"teacher": 3e-3, "student": 2e-3, "bundled": 7e-4}
DECAY = {"teacher": 2e-2, "student": 1e-3, "bundled": 1e-3}
SMOOTHING = {"teacher": 0.05, "student": 0.02, "bundled": 0.02}
ATTRIBUTES = {"teacher": 0.3, "student": 0.1, "bundled": 0.1}
AVERAGE = {"teacher": 0.998, "student": 0.99, "bundled": 0.99}
TAUGHT, HINT = 0.5, 0.3  # share of the loss by the teacher; weight of its features
SETS = {
    "teacher": ("pbc", "typed"),
    "student": ("pbc", "typed"),
    "bundled": ("pbc", "typed", "fields"),
}


@dataclass
class Run:
    """One stage: network, optimiser, and the moving average of the weights, which is kept."""

    stage: str
    network: Teacher | Student
    teachers: list[Teacher]
    sizes: list[int]
    steps: int = 0
    ema: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rate, decay = RATE[self.stage], DECAY[self.stage]
        self.optimiser = torch.optim.AdamW(self.network.parameters(), rate, weight_decay=decay)
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
        rate = min(1, (self.steps + 1) / 100) * _decay(self.stage, done)
        for group in self.optimiser.param_groups:
            group["lr"] = RATE[self.stage] * rate
        dense = views.stain(views.density(views.turn(batch.crops, varied=True)))
        taught = self._taught(dense)
        seen = _treat(dense if isinstance(self.network, Teacher) else _inner(dense))
        self.optimiser.zero_grad()
        total = 0.0
        size = len(seen) if isinstance(self.network, Teacher) else MICRO
        for part in torch.randperm(len(seen)).split(size):
            loss = self._loss(seen[part], batch, part, taught, done)
            (loss * len(part) / len(seen)).backward()
            total += float(loss.detach()) * len(part) / len(seen)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.steps += 1
        self._average()
        return total

    def _taught(self, dense: Tensor) -> tuple[Tensor, Tensor] | None:
        if not self.teachers:
            return None
        return average(self.teachers, [TREATMENTS[name](dense) for name in TREATED])

    def _loss(
        self,
        seen: Tensor,
        batch: Batch,
        part: Tensor,
        taught: tuple[Tensor, Tensor] | None,
        done: float,
    ) -> Tensor:
        """Loss by the set of classes that each label allows, by the teacher and the attributes."""
        if isinstance(self.network, Student):
            steps = math.floor(self.network.steps * min(1, 0.75 + done))
            logits, attributes, features = self.network.train_step(seen, steps)
        else:
            logits, attributes, features = self.network(seen)
        log = logits.log_softmax(1)
        own = -log.masked_fill(~batch.allowed[part], -1e9).logsumexp(1).mean()
        loss = (1 - SMOOTHING[self.stage]) * own - SMOOTHING[self.stage] * log.mean()
        if taught is not None:
            loss = (1 - TAUGHT) * loss - TAUGHT * (taught[0][part] * log).sum(1).mean()
            loss = loss + HINT * F.mse_loss(features, taught[1][part])
        found = attribute_loss(attributes, batch.attributes[part], self.sizes)
        return loss + ATTRIBUTES[self.stage] * found

    def _average(self) -> None:
        keep = min(AVERAGE[self.stage], 1 - 1 / (self.steps / 4 + 2))
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                if value.is_floating_point():
                    self.ema[name].lerp_(value.float(), 1 - keep)
                else:
                    self.ema[name].copy_(value)


def _decay(stage: str, done: float) -> float:
    """Cosine for the teacher; for the others constant, and falling in the last two fifths."""
    if stage == "teacher":
        return 0.02 + 0.49 * (1 + math.cos(math.pi * done))
    return min(1.0, max(0.02, (1 - done) / 0.4))


def _inner(dense: Tensor) -> Tensor:
    edge = (views.OUTER - views.WINDOW) // 2
    return dense[:, :, edge:-edge, edge:-edge]


def _treat(dense: Tensor) -> Tensor:
    """Treat each four windows by a treatment drawn at random."""
    names = [TREATED[int(torch.randint(len(TREATED), ()))] for _ in range(0, len(dense), 4)]
    parts = zip(dense.split(4), names, strict=True)
    return torch.cat([TREATMENTS[name](part) for part, name in parts])


def main(crops: Path, attributes: Path, output: Path, stage: str, seconds: float) -> None:
    """Train one stage for `seconds` of the processor, and keep it every minute."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batches = Batches(crops, attributes, SETS[stage])
    count = sum(batches.sizes)
    teachers = [] if stage == "teacher" else [Teacher(count)]
    for teacher in teachers:
        kept = torch.load(output / "teacher.pt", weights_only=True)
        teacher.load_state_dict(kept["net"])
        teacher.eval()
    network = Student(count) if teachers else Teacher(count)
    run = Run(stage, network, teachers, batches.sizes)
    if len(sys.argv) > 6:
        run.load(Path(sys.argv[6]))
    began = last = time.process_time()
    while (done := (time.process_time() - began) / seconds) < 1:
        loss = run.learn(batches.draw(BATCH[stage]), done)
        if time.process_time() - last > 60:
            last = time.process_time()
            print(f"{stage} {done:.2f} step {run.steps} loss {loss:.3f}", flush=True)
            run.save(output / f"{stage}.pt")
    run.save(output / f"{stage}.pt")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), sys.argv[4], float(sys.argv[5]))
