"""Measure the types of cells as the program finds and outlines them, no scale given.

    WBC_NCA_DATA=/data python benchmarks/measure_types.py find FOLDER [SET ...]
    python benchmarks/measure_types.py type FOLDER CLASSIFIER OUTPUT.csv [SET ...]

``find`` segments all images of the sets, which takes a second each, matches the cells with the true
ones as ``evaluate`` does, and keeps the windows that a classifier reads, and the probabilities by
`wbc-smear` itself, in ``FOLDER``. ``type`` types them, by `wbc-smear` itself where that is the
classifier, and writes a row a cell: true type, type found (``missed`` where no cell was) and
probabilities. The set ``fields_held_out`` is those of `fields` that never trained `wbc-smear`.
Balanced accuracy is over types with five cells or more; a missed cell is wrong.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from type_batches import HELD_OUT, MEASURED

from napari_wbc_nca.cell_types import NONE, PLATELET, TYPES, five_types
from napari_wbc_nca.datasets.samples import Sample
from napari_wbc_nca.evaluation.ground_truth import EvaluationImage, read_ground_truth, read_images
from napari_wbc_nca.evaluation.params import EvaluateParams
from napari_wbc_nca.evaluation.scores import MISSED, keep_white_cells, score_cells
from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.images import prepare, read
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.methods.field import BRIGHTNESS, Field
from napari_wbc_nca.methods.nca.classifier import TypeClassifier, average_types
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.models.build import load_network
from napari_wbc_nca.progress import Progress, run_to_end
from napari_wbc_nca.types import Cell, Checkpoint
from napari_wbc_nca.workflow.segment import run

SMEARS, TYPED = "wbc,rbc,platelet", ",".join(TYPES)
FINDER = "wbc-smear"
SPLITS = Path(__file__).parent / "splits"
SETS = ("fields", "typed", "cellavision", "tecom", "raabin", "pbc")
FEWEST = 5
OWN = [f"p_{name}" for name in TYPES]
_NAMES = {"neutrophil_segmented": "segmented neutrophil", "neutrophil_band": "band neutrophil"}


def images_of(name: str, data: Path) -> list[EvaluationImage]:
    """List the images of a set, and only those that measure."""
    if name in ("raabin", "pbc"):
        table = pd.read_csv(data / name / "classes.csv")
        if name == "pbc":
            order = np.random.default_rng(7).permutation(len(table))[:MEASURED]
            table = table.iloc[order]
        kept = zip(table["file"], table["class"], strict=True)
        return [_crop(data / name / file, _NAMES.get(kind, kind)) for file, kind in kept]
    if name == "fields_held_out":
        kept = (SPLITS / "fields_never_trained.txt").read_text(encoding="utf-8").split()
        stems = {Path(file).stem for file in kept}
        return [image for image in images_of("fields", data) if image.name in stems]
    folder = data / "masks" / name if name in ("tecom", "cellavision") else data / name
    classes = {"fields": SMEARS, "typed": TYPED}.get(name, "")
    images = read_images(folder, EvaluateParams(classes=classes))
    if name == "typed":
        return [image for image in images if image.name.split("_")[0] in HELD_OUT]
    return images


def _crop(path: Path, kind: str) -> EvaluationImage:
    return EvaluationImage(Sample(path, None, (kind,), path.stem, path.parent.name), None, True)


def find(folder: Path, data: Path, sets: list[str]) -> None:
    """Keep the windows of the true cells of each image; goes on where it was interrupted.

    The images of a set come in a random order, and the sets by turns: interrupted, it has kept a
    random part of each.
    """
    finder = model_store.resolve(FINDER)
    order = []
    for name in sets:
        (folder / name).mkdir(parents=True, exist_ok=True)
        images = images_of(name, data)
        shuffled = np.random.default_rng(0).permutation(len(images)).tolist()
        order += [(turn, name, number, images[number]) for turn, number in enumerate(shuffled)]
    for _, name, number, image in sorted(order, key=lambda one: one[0]):
        path = folder / name / f"{number:05d}.npz"
        if not path.exists():
            np.savez_compressed(path, **windows_of(image, finder))


def windows_of(image: EvaluationImage, finder: Checkpoint) -> dict[str, Any]:
    """True types of the cells of an image, and the windows ``(N, 3, h, w)`` of those found."""
    settings = NcaParams(differential="model", locate="whole" if image.whole else "evidence")
    picture = read(image.sample.path)
    prediction = keep_white_cells(run_to_end(run(picture, finder, settings)))
    scores = score_cells(read_ground_truth(image), prediction, overlap=0.5)
    scores = scores[(scores["cell"] > 0) & (scores["true"] != "wbc")]
    boxes = prediction.cells.set_index("label")
    classifier = model_store.resolve("wbc-fine")
    whole = replace(classifier, window=classifier.card["density_window"])
    field = Field(to_rgb(prepare(picture)), 1, BRIGHTNESS)
    reader = TypeClassifier(None, whole, settings, field)  # type: ignore[arg-type]
    found = [bool(row.found and row.label) for row in scores.itertuples()]
    windows = [
        reader.window(_cell(boxes.loc[row.label]))
        for row, own in zip(scores.itertuples(), found, strict=True)
        if own
    ]
    return {
        "true": scores["true"].to_numpy(str),
        "found": np.array(found, bool),
        "windows": np.array(windows, np.float16),
        "image": image.name,
        "own": scores["predicted"].to_numpy(str),
        "probabilities": boxes.loc[scores.loc[found, "label"], OWN].to_numpy(float),
    }


def _cell(row: pd.Series) -> Cell:
    """Cell that fills its box."""
    y0, x0, y1, x1 = (int(row[f"box_{name}"]) for name in ("y0", "x0", "y1", "x1"))
    mask = np.ones((y1 - y0, x1 - x0), bool)
    return Cell((y0, x0), (y0, x0), mask, mask, mask, NONE, {}, 0.0)


def type_cells(folder: Path, classifier: Checkpoint, name: str) -> pd.DataFrame:
    """Type all windows that were kept of a set."""
    kept = [np.load(path) for path in sorted((folder / name).glob("*.npz"))]
    if classifier.name == FINDER:
        means = np.concatenate([k["probabilities"] for k in kept])
        means /= means.sum(1, keepdims=True)
        return _table(name, kept, [dict(zip(TYPES, row, strict=True)) for row in means.tolist()])
    edge = (kept[0]["windows"].shape[-1] - classifier.window) // 2
    inner = slice(edge, edge + classifier.window)
    windows = np.concatenate([k["windows"] for k in kept if k["found"].any()]).astype(np.float32)
    network = load_network(classifier, "cpu")
    asked = TypeClassifier(network, classifier, NcaParams(), None)  # type: ignore[arg-type]
    parts = torch.from_numpy(np.ascontiguousarray(windows[:, :, inner, inner])).split(64)
    passes = [run_to_end(asked._probabilities(part, Progress(0, 1))) for part in parts]
    means = np.concatenate(passes).mean(1)
    own = [dict(zip(classifier.classes, row, strict=True)) for row in means.tolist()]
    if temperature := classifier.card.get("finder_temperature"):
        finder = np.concatenate([k["probabilities"] for k in kept]).tolist()
        own = [
            average_types(fine, dict(zip(TYPES, row, strict=True)), temperature)
            for fine, row in zip(own, finder, strict=True)
        ]
    return _table(name, kept, own)


def _table(name: str, kept: list[Any], probabilities: list[dict[str, float]]) -> pd.DataFrame:
    """Tabulate the true cells that were kept, with the probabilities of those found."""
    means = iter(probabilities)
    rows = []
    for k in kept:
        for true, found, own in zip(k["true"], k["found"], k["own"], strict=True):
            row = {"data": name, "image": str(k["image"]), "true": str(true), "before": str(own)}
            if found:
                fine = next(means)
                five = five_types(fine)
                row |= {"predicted": max(five, key=five.__getitem__)}
                row |= {"fine": max((c for c in fine if c != NONE), key=fine.__getitem__)}
                row |= {f"p_{key}": value for key, value in (fine | five).items()}
            rows.append({"predicted": MISSED, "fine": MISSED} | row)
    return pd.DataFrame(rows)


def balanced(table: pd.DataFrame, column: str = "predicted") -> float:
    """Mean share of right cells over the types of five cells or more."""
    right = (table["true"] == table[column]).groupby(table["true"]).agg(["mean", "size"])
    return float(right.loc[right["size"] >= FEWEST, "mean"].mean())


def five(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the cells of the five types; bands and segmented ones are neutrophils."""
    coarse = table["true"].replace(list(_NAMES.values()), "neutrophil")
    return table.assign(true=coarse)[coarse.isin(TYPES)]


def main(stage: str, folder: Path, rest: list[str]) -> None:
    """Run one of the two stages."""
    if stage == "find":
        find(folder, Path(os.environ["WBC_NCA_DATA"]), rest or list(SETS))
        return
    classifier = model_store.resolve(rest[0])
    tables = []
    for name in rest[2:] or SETS:
        own = type_cells(folder, classifier, name)
        line = f"{name}: {balanced(five(own)):.3f}, before {balanced(five(own), 'before'):.3f}"
        if name == "pbc":
            line += f"; all classes {balanced(own[own['true'] != PLATELET], 'fine'):.3f}"
        print(line, f"({len(own)} cells)", flush=True)
        tables.append(own)
    pd.concat(tables).to_csv(rest[1], index=False)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
