"""Train the bundled `nca-wss` by the recipe of its paper, small enough for one processor core.

WBC_NCA_DATA=/data python benchmarks/train_paper.py OUTPUT

``OUTPUT`` is a folder; ``nca-wss.safetensors`` is written there, and the state of the training
beside it, from which it goes on where it was stopped. Four fifths of the crops of ``pbc`` that show
one of the five types train; the others, every fifth, are measured by ``papers.py``.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from papers import FIVE_TYPES, read_crops

from napari_wbc_nca.io import weights
from napari_wbc_nca.methods.recipes import describe_recipe
from napari_wbc_nca.methods.registry import training_params
from napari_wbc_nca.workflow.train import TrainingRequest, run_training

HELD_OUT = 5
# What one core can do in minutes: six times all crops, in epochs of a quarter.
CHANGES = {
    "window": 32,
    "steps": 16,
    "epochs": 24,
    "samples_per_epoch": 1300,
    "learning_rate": 3e-3,
    "learning_rate_decay": 0.999,
    "max_grad_norm": 1.0,
}


def main(output: Path) -> None:
    """Train, or go on with a training that was stopped."""
    torch.set_num_threads(1)
    samples = read_crops(Path(os.environ["WBC_NCA_DATA"]) / "pbc", FIVE_TYPES)
    learn = [sample for number, sample in enumerate(samples) if number % HELD_OUT]
    params = training_params("nca_wss", {"recipe": "paper", "device": "cpu", **CHANGES})
    print(describe_recipe("nca_wss", params), flush=True)
    path = output / "nca-wss.safetensors"
    request = TrainingRequest("nca_wss", params, None, path.with_suffix(".state"))
    steps = run_training(request, learn)
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            trained = stop.value
            break
        if step.values:
            print(step.done, step.values, f"{time.process_time():.0f} s", flush=True)
    print(weights.save(replace(trained, name="nca-wss"), path))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
