"""Measure how far a handful of corrections adapts the bundled models.

    WBC_NCA_DATA=/data python benchmarks/measure_adapt.py features FOLDER [SET ...]
    python benchmarks/measure_adapt.py types FOLDER

``features`` segments the pictures of the sets with ``wbc-smear``, no scale given, matches the cells
with the true ones as ``evaluate`` does, and keeps the features of those that were found, so that
the fits take seconds. Cells of `pbc` are those in the boxes of ``classes.csv`` that did not train.
The true types act as the person who corrects. ``types`` writes ``FOLDER/types.md``:

- balanced accuracy over the five types after 0, 2, 5 and 10 corrected cells a type, over the types
  with five cells more than that, so 0 and n are of the same types and cells, ten draws;
- a class that the model never knew, erythroblasts of `pbc`, from five examples of it and five of
  each of the five types, by the five-type classifier of ``wbc-smear``, which no erythroblast
  trained: F1 on the rest, and the loss of balanced accuracy of the five types;
- how many of 20 models the gate keeps that were adapted to ten true corrections a type, and to the
  same corrections shuffled among the cells.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from measure_types import _cell, images_of
from type_batches import MEASURED

from napari_wbc_nca.cell_types import ERYTHROBLAST, PLATELET, TYPES
from napari_wbc_nca.evaluation.ground_truth import EvaluationImage, read_ground_truth
from napari_wbc_nca.evaluation.scores import keep_white_cells, score_cells
from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.images import read
from napari_wbc_nca.methods.field import open_field
from napari_wbc_nca.methods.nca.adapt import (
    TypeExamples,
    adapt_types,
    named_probabilities,
    type_head,
    type_probabilities,
)
from napari_wbc_nca.methods.nca.adapt_gate import judge_types
from napari_wbc_nca.methods.nca.cell_features import cell_features
from napari_wbc_nca.methods.nca.classifier import TypeClassifier
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.models.build import load_network
from napari_wbc_nca.ops.readout import class_probabilities
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.types import Cell, Checkpoint, Image
from napari_wbc_nca.workflow.segment import run

SETS = ("raabin", "tecom", "cellavision", "fields", "typed", "pbc")
MODELS = ("wbc-fine", "wbc-smear")
PICTURES = 120  # of a set, drawn at random
CELLS = 30  # of a class of `pbc`
COUNTS, MORE, DRAWS, GATED = (2, 5, 10), 5, 10, 20
BOX, MARGIN = 0.36, 0.92  # side of a box in a picture of `pbc`, and diameter of a cell over it


def keep_features(folder: Path, data: Path, sets: list[str]) -> None:
    """Write ``FOLDER/SET.npz`` of each set."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sets:
        found = _boxed(data) if name == "pbc" else _found(name, data)
        columns = [np.stack(column) for column in zip(*found, strict=True)]
        names = ("true", "image", *MODELS)
        np.savez_compressed(folder / f"{name}.npz", **dict(zip(names, columns, strict=True)))


def _boxed(data: Path) -> Any:
    """Cells of `pbc` in given boxes."""
    table = pd.read_csv(data / "pbc" / "classes.csv")
    table = table.iloc[np.random.default_rng(7).permutation(len(table))[:MEASURED]]
    table = table[table["class"] != PLATELET].groupby("class").head(CELLS)
    for row in table.itertuples():
        picture = read(data / "pbc" / row.file)
        height, width = picture.shape
        cy, cx, h, w = (
            value if np.isfinite(value) else default
            for value, default in ((row.cy, 0.5), (row.cx, 0.5), (row.h, BOX), (row.w, BOX))
        )
        low, high = ((cy - h / 2, cx - w / 2), (cy + h / 2, cx + w / 2))
        y0, x0 = max(0, round(low[0] * height)), max(0, round(low[1] * width))
        y1, x1 = min(height, round(high[0] * height)), min(width, round(high[1] * width))
        cell = _cell(pd.Series({"box_y0": y0, "box_x0": x0, "box_y1": y1, "box_x1": x1}))
        own = _features(picture, [cell], BOX * MARGIN * width)
        yield row[table.columns.get_loc("class") + 1], row.file, *(one[0] for one in own)


def _found(name: str, data: Path) -> Any:
    """Cells of a set as the program finds them."""
    images = images_of(name, data)
    order = np.random.default_rng(0).permutation(len(images))[:PICTURES]
    for number in sorted(order.tolist()):
        yield from _found_in(images[number])


def _found_in(image: EvaluationImage) -> Any:
    locate = "whole" if image.whole else "evidence"
    settings = NcaParams(differential="model", locate=locate, tta_rotations=1)
    picture = read(image.sample.path)
    prediction = run_to_end(run(picture, model_store.resolve("wbc-smear"), settings))
    prediction = keep_white_cells(prediction)
    scores = score_cells(read_ground_truth(image), prediction, overlap=0.5)
    rows = [r for r in scores.itertuples() if r.cell and r.found and r.label and r.true != "wbc"]
    if not rows:
        return
    boxes = prediction.cells.set_index("label")
    cells = [_cell(boxes.loc[row.label]) for row in rows]
    own = _features(picture, cells, prediction.provenance["diameter"])
    for row, *values in zip(rows, *own, strict=True):
        yield row.true, image.name, *values


def _features(picture: Image, cells: list[Cell], diameter: float) -> list[Any]:
    """Windows that ``wbc-fine`` reads of cells, and what ``wbc-smear`` pools of them."""
    fine, smear = map(model_store.resolve, MODELS)
    _, field = open_field(picture, smear)
    reader = TypeClassifier(None, fine, NcaParams(), field)  # type: ignore[arg-type]
    windows = [reader.window(cell).astype(np.float16) for cell in cells]
    return [windows, run_to_end(cell_features(picture, smear, cells, diameter, NcaParams()))]


class CellSet:
    """Cells of a set: true classes, five-type names and the features of a model."""

    def __init__(self, path: Path, model: Checkpoint) -> None:
        kept, finder = np.load(path), model_store.resolve("wbc-smear")
        self.model, hidden = model, kept["wbc-smear"]
        own = model.name == finder.name
        self.features = hidden if own else residual_features(model, kept["wbc-fine"])
        found = class_probabilities(hidden, type_head(finder))
        self.finder = found[:, [finder.classes.index(name) for name in TYPES]]
        self.true = np.array([name.removesuffix("_segmented") for name in kept["true"].tolist()])
        self.true = np.array([n.removesuffix("_band") for n in self.true.tolist()])
        self.images = kept["image"]

    def examples(self, chosen: Any, names: Any = None) -> TypeExamples:
        """Cells of some numbers, of their true classes or of others."""
        own = self.true[chosen] if names is None else names
        return TypeExamples(
            self.features[chosen],
            tuple(own.tolist()),
            tuple(self.images[chosen].tolist()),
            self.finder[chosen],
        )

    def draw(self, types: list[str], count: int, seed: int) -> Any:
        """Numbers of `count` cells of each type, and of the others of these types."""
        random = np.random.default_rng(seed)
        of_type = [random.permutation(np.flatnonzero(self.true == t)) for t in types]
        chosen = np.concatenate([one[:count] for one in of_type])
        rest = np.concatenate([one[count:] for one in of_type])
        return chosen, rest

    def types(self, count: int) -> list[str]:
        """Types with enough cells to correct `count` and test the rest."""
        return [t for t in TYPES if (self.true == t).sum() >= count + MORE]

    def balanced(self, model: Checkpoint, numbers: Any, types: list[str]) -> float:
        """Mean share of right cells over types, as a user sees the types."""
        found = named(model, self.examples(numbers))
        true = self.true[numbers]
        return float(np.mean([(found[true == t] == t).mean() for t in types]))


def residual_features(model: Checkpoint, windows: Any) -> Any:
    """Pool the features of windows ``(N, 3, h, w)`` by ``wbc-fine``."""
    network = load_network(model, "cpu")
    classifier = TypeClassifier(network, model, NcaParams(), None)  # type: ignore[arg-type]
    found = []
    for window in torch.from_numpy(windows.astype(np.float32)):
        with torch.inference_mode():
            found.append(network.features(classifier.passes(window[None])).numpy())
    return np.stack(found)


def named(model: Checkpoint, cells: TypeExamples) -> Any:
    """Likeliest of the five types and of classes that were added."""
    asked = named_probabilities(model, type_probabilities(model, cells), five=True)
    return np.array([max(own, key=own.__getitem__) for own in asked])


def corrected_types(folder: Path) -> list[str]:
    """Rows of a table: accuracy after corrections."""
    rows = [
        "| set | model | types | cells | 0 → 2 | 0 → 5 | 0 → 10 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in SETS:
        for model in map(model_store.resolve, MODELS):
            cells, parts = CellSet(folder / f"{name}.npz", model), []
            for count in COUNTS:
                types = cells.types(count)
                pairs = []
                for seed in range(DRAWS if len(types) > 1 else 0):
                    chosen, rest = cells.draw(types, count, seed)
                    adapted = adapt_types(model, cells.examples(chosen))
                    pairs.append([cells.balanced(m, rest, types) for m in (model, adapted)])
                text = "{:.3f} → {:.3f}".format(*np.mean(pairs, 0)) if pairs else "–"
                parts.append(f"{text} ({len(types)})")
            known = int(np.isin(cells.true, TYPES).sum())
            start = f"| `{name}` | `{model.name}` | {len(cells.types(0))} | {known} |"
            rows.append(f"{start} {' | '.join(parts)} |")
            print(rows[-1], flush=True)
    return rows


def new_class(folder: Path) -> list[str]:
    """Rows on a class that the model never knew."""
    model = model_store.resolve("wbc-smear")
    cells = CellSet(folder / "pbc.npz", model)
    classes, scores = [*TYPES, ERYTHROBLAST], []
    for seed in range(DRAWS):
        chosen, rest = cells.draw(classes, 5, seed)
        old = chosen[cells.true[chosen] != ERYTHROBLAST]
        adapted = adapt_types(model, cells.examples(chosen))
        without = adapt_types(model, cells.examples(old))
        found, true = named(adapted, cells.examples(rest)), cells.true[rest] == ERYTHROBLAST
        right = (found == ERYTHROBLAST)[true].sum()
        f1 = 2 * right / ((found == ERYTHROBLAST).sum() + true.sum())
        others = rest[~true]
        own = [cells.balanced(m, others, list(TYPES)) for m in (model, without, adapted)]
        scores.append([f1, *own])
    mean = np.mean(scores, 0)
    row = (
        "F1 {:.3f}; the five types {:.3f} before, {:.3f} with their corrections alone, {:.3f} after"
    )
    print(row.format(*mean), flush=True)
    return [row.format(*mean)]


def gated(folder: Path) -> list[str]:
    """Rows on what the gate keeps."""
    rows = ["| set | model | true kept | shuffled kept |", "|---|---|---|---|"]
    for name in SETS:
        for model in map(model_store.resolve, MODELS):
            cells = CellSet(folder / f"{name}.npz", model)
            types, kept = [t for t in TYPES if (cells.true == t).sum() >= 10], [0, 0]
            if len(types) < 3:
                continue
            for seed in range(GATED):
                chosen, _ = cells.draw(types, 10, seed)
                mixed = np.random.default_rng(seed).permutation(cells.true[chosen])
                kept[0] += judge_types(model, cells.examples(chosen)).keep
                kept[1] += judge_types(model, cells.examples(chosen, mixed)).keep
            rows.append(f"| `{name}` | `{model.name}` | {kept[0]} | {kept[1]} |")
            print(rows[-1], flush=True)
    return rows


def main(stage: str, folder: Path, rest: list[str]) -> None:
    """Run one of the stages."""
    if stage == "features":
        keep_features(folder, Path(os.environ["WBC_NCA_DATA"]), rest or list(SETS))
        return
    parts = [corrected_types(folder), new_class(folder), gated(folder)]
    (folder / "types.md").write_text("\n\n".join(map("\n".join, parts)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
