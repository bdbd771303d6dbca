"""Measure networks of types on cells in boxes that people drew, kept from their training.

    python benchmarks/measure_type_crops.py CROPS OUTPUT STAGE ...

Prints balanced accuracies of each ``OUTPUT/STAGE.safetensors`` that ``train_types.py`` made: over
five types of the 2,000 cells of `pbc`, over all its classes, over the slides of `typed` held out,
and over `fields`. ``OUTPUT/STAGE.confusion.json`` counts the cells of each class of `pbc` by the
class that was found. Choices among ablations are made by these, and not by the sets that test.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import type_augmentation as views
from type_batches import NAMES, training_cells

from napari_wbc_nca.cell_types import FINE, TYPES, five_types
from napari_wbc_nca.io.weights import load
from napari_wbc_nca.methods.nca.classifier import TREATMENTS
from napari_wbc_nca.models.build import load_network

SETS = ("pbc", "typed", "fields")
FEWEST = 5


def main(crops: Path, output: Path, stages: list[str]) -> None:
    """Measure all stages on all sets."""
    torch.set_num_threads(1)
    for name in SETS:
        kept = np.load(crops / f"{name}.npz")
        used = training_cells(name, kept["g"])
        held = np.arange(len(kept["g"])) if name == "fields" else _others(used, len(kept["g"]))
        pixels, true = torch.from_numpy(kept["x"][held]), kept["y"][held]
        for stage in stages:
            checkpoint = load(output / f"{stage}.safetensors")
            network = load_network(checkpoint, "cpu")
            names = checkpoint.card["params"]["treatments"]
            found = np.concatenate([_classify(network, part, names) for part in pixels.split(64)])
            own = np.array([NAMES.get(label, label) for label in true.tolist()])
            fine = np.array([FINE[row.argmax()] for row in found])
            coarse = _five(own)
            some = np.isin(coarse, TYPES)
            line = f"{stage} {name}: {balanced(coarse[some], _named(found)[some]):.3f}"
            line += f", all classes {balanced(own, fine):.3f}" if name == "pbc" else ""
            print(line, flush=True)
            if name == "pbc":
                counts = {c: Counter(fine[own == c].tolist()) for c in FINE}
                path = output / f"{stage}.confusion.json"
                path.write_text(json.dumps(counts, indent=2), encoding="utf-8")


def _others(used: np.ndarray, count: int) -> np.ndarray:
    return np.setdiff1d(np.arange(count), used)


def _classify(network: torch.nn.Module, pixels: torch.Tensor, names: list[str]) -> np.ndarray:
    """Mean probabilities ``(B, 11)`` over the treatments."""
    dense = views.density(views.turn(pixels, varied=False))
    with torch.inference_mode():
        found = [network(TREATMENTS[name](dense)).softmax(1) for name in names]
    return torch.stack(found).mean(0).numpy()


def _named(found: np.ndarray) -> np.ndarray:
    """Likeliest of the five types of each row of probabilities."""
    fives = [five_types(dict(zip(FINE, row.tolist(), strict=True))) for row in found]
    return np.array([max(five, key=five.__getitem__) for five in fives])


def _five(names: np.ndarray) -> np.ndarray:
    """Names of classes, those of neutrophils by their type."""
    return np.where(np.isin(names, FINE[:2]), TYPES[0], names)


def balanced(true: np.ndarray, named: np.ndarray) -> float:
    """Mean share of right cells over the classes of five cells or more."""
    counted = [c for c in np.unique(true) if (true == c).sum() >= FEWEST]
    return float(np.mean([(named == c)[true == c].mean() for c in counted]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]), sys.argv[3:])
