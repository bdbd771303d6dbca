"""Compare stain normalisations by a small U-Net that learns the same weak labels as the automaton.

WBC_NCA_DATA=/data python benchmarks/ablate_stain.py [--steps 200] [--seeds 2]

A U-Net stands in for the automaton since it learns in minutes. Everything else is the project's
own: weak labels of ``transfer.toml``, variations, loss, Otsu's threshold. It never sees a mask and
is measured on masks, at the cells' true scale, so that only the normalisation differs. Writes
``docs/_results/stain.md``.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage as ndi

from napari_wbc_nca.cell_types import NONE, TYPES
from napari_wbc_nca.datasets.readers import read
from napari_wbc_nca.datasets.samples import read_rgb
from napari_wbc_nca.evaluation.ground_truth import (
    EvaluationImage,
    read_ground_truth,
    read_images,
)
from napari_wbc_nca.evaluation.params import EvaluateParams
from napari_wbc_nca.methods.field import Field, fine_part
from napari_wbc_nca.methods.nca.fit import readout_loss
from napari_wbc_nca.methods.nca.samples import PreparedSample, WindowSampler, prepare
from napari_wbc_nca.models.unet import UNet
from napari_wbc_nca.ops.metrics import iou
from napari_wbc_nca.ops.response import mask_from_response, otsu_threshold

HERE = Path(__file__).parent
NAMES = ("absorptance", "density", "density_even", "standard")
SETS = ("masks/tecom", "masks/cellavision", "fields")
DIAMETER, SIDE, BATCH, RATE = 28.0, 48, 32, 3e-3
TRAINED, MEASURED = 400, 40  # samples, and pictures of a set


def main(data: Path, steps: int, seeds: int) -> None:
    """Train and measure each normalisation, and write the table."""
    random = np.random.default_rng(0)
    samples = read(HERE / "transfer.toml")
    chosen = [samples[n] for n in sorted(random.permutation(len(samples))[:TRAINED])]
    pictures = {name: _pictures(data / name, random) for name in SETS}
    rows = []
    for name in NAMES:
        prepared = [prepare(s, DIAMETER, {"name": name}) for s in chosen]
        found = [_measure(_train(prepared, name, steps, seed), name, pictures)
                 for seed in range(seeds)]  # fmt: skip
        cells = " | ".join(f"{np.mean(c):.3f} ± {np.std(c):.3f}" for c in zip(*found, strict=True))
        rows.append(f"| `{name}` | {cells} |")
        print(rows[-1], flush=True)
    head = "| normalisation | " + " | ".join(f"cell IoU, `{name}`" for name in SETS) + " |"
    note = (
        f"Mean and standard deviation over {seeds} seeds; {steps} steps of {BATCH} windows, "
        f"{MEASURED} pictures a set at their true scale. Made by `benchmarks/ablate_stain.py`."
    )
    text = "\n".join([head, "|---" * (len(SETS) + 1) + "|", *rows, "", note])
    (HERE.parent / "docs" / "_results" / "stain.md").write_text(text + "\n", encoding="utf-8")


def _pictures(folder: Path, random: np.random.Generator) -> list[EvaluationImage]:
    given = {"classes": "wbc,rbc,platelet"} if folder.name == "fields" else {}
    found = list(read_images(folder, EvaluateParams(**given)))
    return [found[n] for n in random.permutation(len(found))[:MEASURED]]


def _train(prepared: list[PreparedSample], name: str, steps: int, seed: int) -> UNet:
    torch.manual_seed(seed)
    network = UNet(3, 2, widths=(12, 24, 48))
    adam = torch.optim.Adam(network.parameters(), RATE)
    slow = torch.optim.lr_scheduler.OneCycleLR(adam, RATE, total_steps=steps)
    windows = WindowSampler(prepared, (*TYPES, NONE), SIDE, {"name": name})
    random = np.random.default_rng(seed)
    for _ in range(steps):
        batch = windows.draw(BATCH, random)
        loss = readout_loss(network(batch.images).movedim(1, -1), batch.targets)
        adam.zero_grad()
        loss.backward()
        adam.step()
        slow.step()
    return network.eval()


def _measure(network: UNet, name: str, pictures: dict[str, list[EvaluationImage]]) -> list[float]:
    """Mean IoU of cells with their masks, set by set."""
    return [
        float(np.mean([value for target in found for value in _cells(network, name, target)]))
        for found in pictures.values()
    ]


def _cells(network: UNet, name: str, target: EvaluationImage) -> list[float]:
    """IoU of each true cell of a picture, looked for at its own middle and scale."""
    rgb, true = read_rgb(target.sample), read_ground_truth(target).cell
    values = []
    for label in np.unique(true[true > 0]):
        mask = true == label
        view = Field(rgb, float(np.sqrt(4 * mask.sum() / np.pi)) / DIAMETER, {"name": name})
        middle = ndi.center_of_mass(mask)
        part = view.window(tuple((m + 0.5) / view.factor - 0.5 for m in middle), SIDE)
        around = fine_part(part, view.fine_density().shape)
        with torch.inference_mode():
            response = network(view.read(part)[None])[0, 0].sigmoid().numpy()
        box = view.image_part(part)
        sharp = view.interpolate(response, part, 1, box)
        at = (middle[0] - box[0].start, middle[1] - box[1].start)
        fine = view.interpolate(response, part, view.fine_density().factor, around)
        found = np.zeros_like(mask)
        found[box[0].start : box[0].stop, box[1].start : box[1].stop] = mask_from_response(
            sharp, otsu_threshold(fine), at
        )
        values.append(iou(found, mask))
    return values


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args(sys.argv[1:])
    main(Path(os.environ["WBC_NCA_DATA"]), given.steps, given.seeds)
