"""Train the classifier of types, `wbc-fine`, on the crops that ``type_crops.py`` wrote.

    python benchmarks/train_types.py CROPS ATTRIBUTES OUTPUT STAGE SECONDS [START]

``STAGE`` is one of `RECIPES`: ``given`` trains on `pbc` and `typed` and ships; from its weights
``bundled`` would go on at a lower rate with `fields` too, which then calibrates no more;
the others are ablations. ``OUTPUT/STAGE.pt`` keeps all that goes on with a training; ``START`` is
such a file. SECONDS are of one processor core. No slide in ``type_batches.HELD_OUT`` and none of
the 2,000 cells of `pbc` that measure trains.

White cells of `smears`, whose types are unknown, are taught by what the moving average of the
weights says of them, over all treatments: of each laboratory, its types nearer to equally frequent.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import type_augmentation as views
from torch import Tensor
from type_batches import Batch, Batches, attribute_loss
from type_networks import Learner, to_checkpoint

from napari_wbc_nca.cell_types import FINE, NONE, TYPES, five_types
from napari_wbc_nca.io.weights import save
from napari_wbc_nca.methods.nca.classifier import TREATMENTS

_REFRESH = 300  # steps between two looks at the cells of unknown type
_GROUPS = torch.tensor([[five_types({c: 1.0})[t] == 1 for t in TYPES] for c in FINE]).float()


@dataclass(frozen=True)
class Recipe:
    """Numbers of a training."""

    sets: tuple[str, ...] = ("pbc", "typed")
    treatments: tuple[str, ...] = tuple(TREATMENTS)
    batch: int = 64
    rate: float = 3e-3
    decay: float = 2e-2
    smoothing: float = 0.05
    attributes: float = 0.3  # weight of the loss of attributes
    average: float = 0.998  # of the moving average of the weights, a step
    stain: float = 1.0  # strength of the variation of stains
    scale: float = 0.35  # of the cells, either way: found boxes differ from given ones
    shift: float = 0.12  # of half the side of a window
    taught_from: float = 0.3  # share of the training after which cells of unknown type teach
    sharpness: float = 2.0  # power of the probabilities that teach
    balance: float = 0.5  # power by which types of a laboratory become equally frequent


RECIPES = {
    "given": Recipe(),
    "bundled": Recipe(("pbc", "typed", "fields"), rate=1.2e-3, taught_from=0),
    "without_unknown": Recipe(taught_from=1),
    "unbalanced": Recipe(balance=0),
    "weak_stain": Recipe(stain=0.4),
    "given_boxes": Recipe(scale=0.2, shift=0.06),
    **{name: Recipe(treatments=(name,)) for name in TREATMENTS},
    "pbc_alone": Recipe(("pbc",)),
}


@dataclass
class Run:
    """A training: network, optimiser, and the moving average of the weights, which is kept."""

    recipe: Recipe
    batches: Batches
    steps: int = 0
    targets: Tensor | None = None  # (U, 11) of the cells of unknown type
    average: Learner = field(init=False)

    def __post_init__(self) -> None:
        self.network = Learner(sum(self.batches.sizes)).train()
        self.average = Learner(sum(self.batches.sizes)).eval().requires_grad_(False)
        self.average.load_state_dict(self.network.state_dict())
        parameters = self.network.parameters()
        self.optimiser = torch.optim.AdamW(parameters, weight_decay=self.recipe.decay)

    def load(self, path: Path) -> None:
        """Go on from a file."""
        kept = torch.load(path, weights_only=True)
        self.network.load_state_dict(kept["network"])
        self.average.load_state_dict(kept["average"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.steps = kept["steps"]

    def save(self, path: Path) -> None:
        """Keep all that goes on."""
        names = ("network", "average", "optimiser")
        kept: dict[str, Any] = {name: getattr(self, name).state_dict() for name in names}
        torch.save({**kept, "steps": self.steps}, path)

    def learn(self, done: float) -> float:
        """Make one step of the optimiser, at the share `done` of the training; returns the loss."""
        if done >= self.recipe.taught_from and (self.targets is None or self.steps % _REFRESH == 0):
            self.targets = self._look()
        batch = self.batches.draw(self.recipe.batch)
        for group in self.optimiser.param_groups:
            falling = 0.02 + 0.49 * (1 + math.cos(math.pi * done))
            group["lr"] = self.recipe.rate * min(1, (self.steps + 1) / 100) * falling
        dense = views.density(views.turn(batch.crops, True, self.recipe.scale, self.recipe.shift))
        loss = self._loss(self._treat(views.stain(dense, self.recipe.stain)), batch)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.steps += 1
        self._follow()
        return float(loss.detach())

    def _treat(self, dense: Tensor) -> Tensor:
        """Treat each four windows by a treatment drawn at random."""
        names = self.recipe.treatments
        chosen = [names[int(torch.randint(len(names), ()))] for _ in range(0, len(dense), 4)]
        parts = zip(dense.split(4), chosen, strict=True)
        return torch.cat([TREATMENTS[name](part) for part, name in parts])

    def _loss(self, seen: Tensor, batch: Batch) -> Tensor:
        """Loss by the set of classes that each label allows, by what teaches, and attributes."""
        logits, attributes = self.network(seen)
        log = logits.log_softmax(1)
        own = -log.masked_fill(~batch.allowed, -1e9).logsumexp(1)
        if self.targets is not None:
            taught = -(self.targets[batch.unknown] * log).sum(1)
            own = torch.where(batch.unknown >= 0, taught, own)
        loss = (1 - self.recipe.smoothing) * own.mean() - self.recipe.smoothing * log.mean()
        found = attribute_loss(attributes, batch.attributes, self.batches.sizes)
        return loss + self.recipe.attributes * found

    def _look(self) -> Tensor:
        """Name the cells of unknown type: ``(U, 11)`` probabilities that teach them."""
        found = []
        with torch.inference_mode():
            for part in self.batches.crops["smears"][self.batches.unknown].split(64):
                dense = views.density(views.turn(part, varied=False))
                treated = [TREATMENTS[name](dense) for name in self.recipe.treatments]
                found.append(torch.stack([self.average(t)[0].softmax(1) for t in treated]).mean(0))
        values = torch.cat(found)
        values[:, FINE.index(NONE)] = 0
        values /= values.sum(1, keepdim=True)
        for name in np.unique(self.batches.laboratories):
            own = torch.from_numpy(self.batches.laboratories == name)
            share = (values[own] @ _GROUPS).mean(0) + 0.02
            factor = (share.mean() / share) ** self.recipe.balance
            values[own] *= torch.where(_GROUPS.any(1), _GROUPS @ factor, torch.ones(len(FINE)))
        values = values**self.recipe.sharpness
        return (values / values.sum(1, keepdim=True)).clone()

    def _follow(self) -> None:
        keep = min(self.recipe.average, 1 - 1 / (self.steps / 4 + 2))
        with torch.no_grad():
            pairs = zip(
                self.average.state_dict().values(),
                self.network.state_dict().values(),
                strict=True,
            )
            for mean, value in pairs:
                if value.is_floating_point():
                    mean.lerp_(value, 1 - keep)


def main(crops: Path, attributes: Path, output: Path, stage: str, seconds: float) -> None:
    """Train one stage for `seconds` of the processor, and keep it every minute."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    recipe = RECIPES[stage]
    run = Run(recipe, Batches(crops, attributes, recipe.sets))
    if len(sys.argv) > 6:
        run.load(Path(sys.argv[6]))
    began = last = time.process_time()
    while (done := (time.process_time() - began) / seconds) < 1:
        loss = run.learn(done)
        if time.process_time() - last > 30:
            last = time.process_time()
            print(f"{stage} {done:.2f} step {run.steps} loss {loss:.3f}", flush=True)
            run.save(output / f"{stage}.pt")
    run.save(output / f"{stage}.pt")
    card = {"data": run.batches.counts(), "params": asdict(recipe), "licence": ""}
    save(to_checkpoint(run.average, card), output / f"{stage}.safetensors")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), sys.argv[4], float(sys.argv[5]))
