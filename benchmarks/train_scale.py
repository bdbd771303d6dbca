"""Train the network that reads the size of cells from patches of an image, ``cell-scale``.

    WBC_NCA_DATA=/data python benchmarks/train_scale.py OUTPUT SECONDS [START]

A patch of 64 × 64 pixels is drawn from a picture that is resampled until a typical white cell of
its laboratory is 6 to 80 pixels wide. The network names the bin of that width, whatever the patch
shows: red cells, white ones, or nothing. Stains are drawn at random, so that it looks at shapes.
``OUTPUT/cell-scale.pt`` keeps all that goes on with a training; SECONDS are of one processor core.

``smears/train`` without copies of pictures that measure, `typed` without the slides that measure,
`pbc` and `pig` train; the width is the median box of the pictures of one size.
"""

from __future__ import annotations

import csv
import math
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from measure_scale import white_sides
from PIL import Image as Picture
from safetensors.torch import save_file
from torch import Tensor, nn
from type_crops import COPIES, SPLITS

from napari_wbc_nca.cell_types import CELL_TO_BOX
from napari_wbc_nca.methods.scale_network import (
    BINS,
    BINS_AN_OCTAVE,
    FINEST_BIN,
    PATCH,
    scale_input,
)
from napari_wbc_nca.models.residual import ResidualClassifier

WIDTHS = (16, 32, 64)
BATCH, RATE = 64, 3e-3
SHARES = {"smears": 0.5, "typed": 0.25, "pbc": 0.15, "pig": 0.1}
LARGEST = 700  # pixels of a picture's longer side that are kept
SPREAD = 0.5  # deviation of the target, in bins


class Pictures:
    """Pictures that train, with the typical diameter of a white cell in each."""

    def __init__(self, data: Path) -> None:
        self.rng = np.random.default_rng(0)
        self.sets = {
            "smears": list(_read(smears(data))),
            "typed": list(_read(typed(data))),
            "pbc": list(_read(pbc(data))),
            "pig": list(_read(_boxed(data / "pig"))),
        }

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Draw patches ``(N, 3, 64, 64)`` in 0–255, and widths of a white cell ``(N,)`` in them."""
        patches, widths = [], []
        for name in self.rng.choice(list(SHARES), count, p=list(SHARES.values())).tolist():
            pixels, diameter = self.sets[name][self.rng.integers(len(self.sets[name]))]
            shorter = min(pixels.shape[:2])
            low = max(6.0, diameter * PATCH / shorter)
            width = float(np.exp(self.rng.uniform(math.log(low), math.log(max(low, 80.0)))))
            side = max(min(PATCH * diameter / width, shorter), 24)
            width = PATCH * diameter / side
            y, x = (self.rng.uniform(0, size - side) for size in pixels.shape[:2])
            picture = Picture.fromarray(pixels)
            box = (x, y, x + side, y + side)
            small = picture.resize((PATCH, PATCH), Picture.Resampling.BILINEAR, box, 3.0)
            patches.append(np.array(small).transpose(2, 0, 1))
            widths.append(width)
        return torch.from_numpy(np.stack(patches)).float(), torch.tensor(widths)


def _read(
    found: Iterator[tuple[Path, float]],
) -> Iterator[tuple[np.ndarray, float]]:
    for path, diameter in found:
        picture = Picture.open(path).convert("RGB")
        factor = min(1.0, LARGEST / max(picture.size))
        if factor < 1:
            picture = picture.resize([round(side * factor) for side in picture.size])
        yield np.asarray(picture), diameter * factor


def _boxed(folder: Path, without: frozenset[str] = frozenset()) -> Iterator[tuple[Path, float]]:
    sides: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    sizes = {}
    for path in sorted(folder.glob("*.jp*g")):
        if path.stem not in without and path.with_suffix(".txt").exists():
            sizes[path] = Picture.open(path).size
            white = range(5) if folder.name == "typed" else range(1)
            sides[sizes[path]] += white_sides(path, sizes[path], white)
    for path, size in sizes.items():
        if len(sides[size]) >= 5:
            yield path, CELL_TO_BOX * float(np.median(sides[size]))


def smears(data: Path) -> Iterator[tuple[Path, float]]:
    """Pictures of ``smears/train`` of which no copy measures."""
    copies = set()
    for name in (*COPIES, "smears_train_in_smears_val"):
        for line in (SPLITS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
            copies |= {
                Path(part).stem for part in line.split("\t")[: 2 if name == COPIES[0] else 1]
            }
    return _boxed(data / "smears" / "train", frozenset(copies))


def typed(data: Path) -> Iterator[tuple[Path, float]]:
    """Pictures of `typed` but of the slides that measure."""
    names = (SPLITS / "typed_heldout.txt").read_text(encoding="utf-8").split()
    return _boxed(data / "typed", frozenset(Path(name).stem for name in names))


def pbc(data: Path) -> Iterator[tuple[Path, float]]:
    """Every eighth picture of `pbc`; all were cut out of fields of one scale."""
    with (data / "pbc" / "classes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    known = [row for row in rows if row["h"] and row["class"] not in ("platelet", "erythroblast")]
    share = float(np.median([math.sqrt(float(row["h"]) * float(row["w"])) for row in known]))
    for row in rows[::8]:
        path = data / "pbc" / row["file"]
        yield path, CELL_TO_BOX * share * Picture.open(path).size[0]


def vary(patches: Tensor) -> Tensor:
    """Draw another stain, light, focus and noise for each patch, and turn it."""
    count = len(patches)
    dense = -((patches + 1) / 256).log()
    mix = torch.eye(3) + 0.35 * torch.randn(count, 3, 3)
    dense = torch.matmul(mix, dense.flatten(2)).view_as(dense)
    slope = torch.linspace(-1, 1, PATCH)
    down, across = 0.15 * torch.randn(2, count, 3, 1, 1)
    dense = dense + down * slope[:, None] + across * slope
    blurred = F.avg_pool2d(F.pad(dense, (1, 1, 1, 1), mode="reflect"), 3, 1)
    dense = torch.lerp(dense, blurred, torch.empty(count, 1, 1, 1).uniform_(-0.8, 1))
    dense = dense + 0.06 * torch.rand(count, 1, 1, 1) * torch.randn(dense.shape)
    dense = torch.rot90(dense, int(torch.randint(4, ())), (2, 3))
    return dense.flip(3) if torch.rand(()) < 0.5 else dense


def targets(widths: Tensor) -> Tensor:
    """Return ``(N, BINS)`` shares: a Gaussian around the bin of each width."""
    at = (BINS_AN_OCTAVE * (widths / FINEST_BIN).log2() + 1).clamp(0, BINS - 1)
    away = torch.arange(BINS) + 0.5 - at[:, None]
    return torch.softmax(-0.5 * (away / SPREAD) ** 2, 1)


def main(output: Path, seconds: float) -> None:
    """Train for `seconds` of the processor, and keep it every minute."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pictures = Pictures(Path(os.environ["WBC_NCA_DATA"]))
    print({name: len(own) for name, own in pictures.sets.items()}, flush=True)
    network = ResidualClassifier(WIDTHS, BINS).to(memory_format=torch.channels_last)
    average = ResidualClassifier(WIDTHS, BINS).requires_grad_(False)
    average.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    if len(sys.argv) > 3:
        kept = torch.load(sys.argv[3], weights_only=True)
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        optimiser.load_state_dict(kept["optimiser"])
    began = last = time.process_time()
    steps, mean = 0, 0.0
    while (done := (time.process_time() - began) / seconds) < 1:
        for group in optimiser.param_groups:
            falling = 0.02 + 0.49 * (1 + math.cos(math.pi * done))
            group["lr"] = RATE * min(1, (steps + 1) / 100) * falling
        patches, widths = pictures.draw(BATCH)
        logits = network(scale_input(vary(patches)))
        loss = F.cross_entropy(logits, targets(widths))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        steps += 1
        mean = 0.98 * mean + 0.02 * float(loss.detach())
        keep = min(0.998, 1 - 1 / (steps / 4 + 2))
        for own, new in zip(average.parameters(), network.parameters(), strict=True):
            own.lerp_(new.detach(), 1 - keep)
        if time.process_time() - last > 30 or done >= 1:
            last = time.process_time()
            print(f"{done:.2f} step {steps} loss {mean / (1 - 0.98**steps):.3f}", flush=True)
            keep_all(output, network, average, optimiser, pictures)
    keep_all(output, network, average, optimiser, pictures)


def keep_all(
    output: Path,
    network: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    pictures: Pictures,
) -> None:
    """Keep all that goes on, and what is bundled."""
    parts = {"network": network, "average": average, "optimiser": optimiser}
    torch.save({k: v.state_dict() for k, v in parts.items()}, output / "cell-scale.pt")
    save_file(
        {name: value.contiguous() for name, value in average.state_dict().items()},
        output / "cell-scale.safetensors",
        {
            "widths": "-".join(map(str, WIDTHS)),
            "data": str({k: len(v) for k, v in pictures.sets.items()}),
        },
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
