"""Compare stain normalisations: an automaton for each, trained and measured in the same way.

WBC_NCA_DATA=/data python benchmarks/ablate_stain.py [--seeds 2]

Each is trained by the project's own method on the same pictures of ``transfer.toml``, for a few
minutes, and measured as users run it: no scale given, nothing set per data set. No mask trains.
Writes ``docs/_results/stain.md`` anew after each seed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small import SMALL

from napari_wbc_nca.io.datasets import Sample, read
from napari_wbc_nca.io.weights import save
from napari_wbc_nca.methods import nca_wss
from napari_wbc_nca.workflow.evaluate import evaluate
from napari_wbc_nca.workflow.finish import finish

HERE = Path(__file__).parent
NAMES = ("absorptance", "density", "density_even", "standard")
TYPED = "neutrophil,eosinophil,basophil,lymphocyte,monocyte"
TRAINED = 400  # pictures
EVERY = 6  # picture of `smears/val` that is measured
COLUMNS = {
    "cell IoU, `tecom`": ("masks/tecom", "cell_iou"),
    "cell IoU, `cellavision`": ("masks/cellavision", "cell_iou"),
    "F1, `smears/val`": ("smears/val", "f1"),
    "types, `tecom`": ("masks/tecom", "type_balanced_all"),
    "types, `cellavision`": ("masks/cellavision", "type_balanced_all"),
    "types, slides of `typed`": ("typed", "type_balanced_all"),
}
"""Title to the data set and the figure of its summary."""


def main(data: Path, seeds: int) -> None:
    """Train and measure each normalisation, and write the table."""
    torch.set_num_threads(1)
    samples = read(HERE / "transfer.toml")
    chosen = np.random.default_rng(0).permutation(len(samples))[:TRAINED]
    found: dict[str, list[list[float]]] = {name: [] for name in NAMES}
    for seed in range(seeds):
        for name in NAMES:
            found[name].append(_one([samples[n] for n in sorted(chosen)], name, seed, data))
            print(seed, name, np.round(found[name][-1], 3).tolist(), flush=True)
        _write(found)


def _one(samples: list[Sample], name: str, seed: int, data: Path) -> list[float]:
    """Figures of one training, in the order of `COLUMNS`."""
    params = replace(SMALL, normalisation=name, seed=seed)
    trained = finish(nca_wss.train(samples, params))
    with tempfile.TemporaryDirectory() as folder:
        model, val = Path(folder) / f"{name}.safetensors", Path(folder) / "val.txt"
        save(replace(trained, name=name), model)
        pictures = sorted((data / "smears" / "val").glob("*.jpg"))[::EVERY]
        val.write_text("\n".join(picture.stem for picture in pictures), encoding="utf-8")
        given: Mapping[str, Mapping[str, Any]] = {
            "masks/tecom": {},
            "masks/cellavision": {},
            "smears/val": {"classes": "wbc,rbc,platelet", "include": str(val)},
            "typed": {"classes": TYPED, "include": str(HERE / "splits" / "typed_heldout.txt")},
        }
        rows = {
            where: evaluate(model, data / where, **own).summary.iloc[0]
            for where, own in given.items()
        }
    return [float(rows[where][figure]) for where, figure in COLUMNS.values()]


def _write(found: Mapping[str, list[list[float]]]) -> None:
    """Write the table of what has been measured."""
    seeds, rows = len(next(iter(found.values()))), []
    for name, values in found.items():
        cells = [f"{mean:.3f}" for mean in np.mean(values, axis=0)]
        if seeds > 1:
            deviations = np.std(values, axis=0, ddof=1)
            cells = [f"{cell} ± {own:.3f}" for cell, own in zip(cells, deviations, strict=True)]
        rows.append(f"| `{name}` | " + " | ".join(cells) + " |")
    head = "| normalisation | " + " | ".join(COLUMNS) + " |"
    told = "One seed" if seeds == 1 else f"Mean and standard deviation over {seeds} seeds"
    note = (
        f"{told}: an automaton of {SMALL.channels} channels, {SMALL.epochs} epochs of "
        f"{SMALL.samples_per_epoch} windows of {TRAINED} pictures; every {EVERY}th picture of "
        "`smears/val`. Types are balanced over them, cells that were not found counted. Made by "
        "`benchmarks/ablate_stain.py`."
    )
    text = "\n".join([head, "|---" * (len(COLUMNS) + 1) + "|", *rows, "", note])
    (HERE.parent / "docs" / "_results" / "stain.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args(sys.argv[1:])
    main(Path(os.environ["WBC_NCA_DATA"]), given.seeds)
