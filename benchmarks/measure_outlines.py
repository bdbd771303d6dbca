"""Measure how far a handful of corrected outlines adapts those of ``wbc-smear``.

    WBC_NCA_DATA=/data python benchmarks/measure_outlines.py FOLDER

Masks act as the person who corrects: of each of five random halves of a set, 0, 1, 3 and 10 cells
of one half are corrected, four draws each, and 25 cells of the other half measured. The windows
of the cells are kept in FOLDER. Prints, and writes to ``FOLDER/outlines.md``, mean IoU of cells and
nuclei in image pixels. The strength of the prior and the terms of the readout were chosen on random
draws of the same sets.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
from measure_types import images_of

from napari_wbc_nca.evaluation.ground_truth import EvaluationImage, read_ground_truth
from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.images import read
from napari_wbc_nca.methods.field import open_field
from napari_wbc_nca.methods.nca.cell_features import as_run, outline_windows
from napari_wbc_nca.methods.nca.outline import (
    OutlineExample,
    adapt_outlines,
    border_of,
    smoothed_growth,
)
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.ops.metrics import iou
from napari_wbc_nca.ops.regions import nucleus_region
from napari_wbc_nca.ops.response import mask_from_response, otsu_threshold
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.types import Checkpoint
from napari_wbc_nca.workflow.segment import run

SETS, COUNTS, SPLITS, DRAWS, HALF = ("cellavision", "tecom"), (0, 1, 3, 10), 5, 4, 25


def windows(image: EvaluationImage, model: Checkpoint) -> dict[str, Any]:
    """Window of the cell of a crop, and its true masks in image pixels."""
    picture, truth = read(image.sample.path), read_ground_truth(image)
    settings = NcaParams(differential="model", locate="whole", tta_rotations=1)
    found = run_to_end(run(picture, model, settings))
    _, field = open_field(picture, as_run(model, settings))
    view = field.rescaled(found.provenance["diameter"] / model.diameter)
    middle = tuple((size - 1) / 2 for size in picture.shape)
    labels = np.asarray(truth.cell)
    steps = outline_windows(model, view, labels, [(1, middle)], settings)
    (window,) = run_to_end(steps)
    return {"window": window, "view": view, "cell": labels == 1, "nucleus": truth.nucleus == 1}


def score(kept: dict[str, Any], model: Checkpoint) -> tuple[float, float]:
    """IoU of cell and nucleus in image pixels, as a run makes them."""
    window, view = kept["window"], kept["view"]
    example: OutlineExample = window.example
    fine, around = view.fine_density(), window.around
    response = smoothed_growth(example.response, example.density, border_of(model), example.middle)
    box, threshold = fine.image_part(around), otsu_threshold(response)
    sharp = fine.interpolate(response, around, 1, box)
    y, x = fine.to_image((example.middle[0] + around[0].start, example.middle[1] + around[1].start))
    mask = mask_from_response(sharp, threshold, (y - box[0].start, x - box[1].start))
    dark = nucleus_region(example.density, response > threshold).astype(np.float32)
    nucleus = mask & (fine.interpolate(dark, around, 1, box) > 0.5)
    scores = []
    for own, name in ((mask, "cell"), (nucleus, "nucleus")):
        whole = np.zeros(kept[name].shape, bool)
        whole[box[0].start : box[0].stop, box[1].start : box[1].stop] = own
        scores.append(iou(kept[name], whole))
    return scores[0], scores[1]


def main(folder: Path, data: Path) -> None:
    """Measure both sets."""
    model, rows = model_store.resolve("wbc-smear"), []
    folder.mkdir(parents=True, exist_ok=True)
    for name in SETS:
        path = folder / f"{name}.pickle"
        if not path.exists():
            path.write_bytes(pickle.dumps([windows(i, model) for i in images_of(name, data)]))
        cells = pickle.loads(path.read_bytes())
        before = np.array([score(one, model) for one in cells])
        found: dict[int, list[Any]] = {count: [] for count in COUNTS}
        for split in range(SPLITS):
            order = np.random.default_rng(split).permutation(len(cells))
            correct, test = order[:HALF], order[HALF : 2 * HALF]
            found[0] += [before[test].mean(0)] * DRAWS
            for draw in range(DRAWS):
                some = np.random.default_rng((split, draw)).permutation(correct)
                for count in COUNTS[1:]:
                    examples = [cells[n]["window"].example for n in some[:count]]
                    adapted = adapt_outlines(model, examples)
                    own = [score(cells[n], adapted) for n in test] if adapted != model else None
                    found[count].append(before[test].mean(0) if own is None else np.mean(own, 0))
            print(name, split, {c: np.mean(v, 0).round(4).tolist() for c, v in found.items()})
        means = {count: np.mean(values, 0) for count, values in found.items()}
        for number, part in enumerate(("cell", "nucleus")):
            figures = " | ".join(f"{means[count][number]:.3f}" for count in COUNTS)
            rows.append(f"| `masks/{name}` | {part} | {figures} |")
    head = ["| set | IoU of | 0 | 1 | 3 | 10 corrected cells |", "|---|---|---|---|---|---|"]
    text = "\n".join([*head, *rows, ""])
    (folder / "outlines.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(os.environ["WBC_NCA_DATA"]))
