"""Teach ``wbc-smear`` further by corrected masks, and test it on others, five times.

WBC_NCA_DATA=/data python benchmarks/finetune.py [PARENT [SEEDS]]

For each seed, 40 of the 50 crops of ``masks/cellavision`` are written as pictures with label
images, as if a user had corrected them, and the parent is taught by them as ``train --finetune``
does; both models are measured on the other 10. The masks are for evaluation: no taught model is
kept. ``PARENT`` is a name or a file, ``SEEDS`` a number, or a list such as ``0,3,4``. Writes
``docs/_results/finetune.md`` after every seed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import tifffile
from PIL import Image as Picture

from napari_wbc_nca.datasets.readers import read_masks
from napari_wbc_nca.evaluation.evaluate import evaluate
from napari_wbc_nca.io import model_store
from napari_wbc_nca.workflow.train import train

if TYPE_CHECKING:
    from napari_wbc_nca.datasets.samples import MaskedSample
    from napari_wbc_nca.types import Checkpoint

CELL, NUCLEUS = 64, 192
LEARNT = 40
RESULTS = Path(__file__).parents[1] / "docs" / "_results"
MEASURED = {"cell_iou": "cell IoU", "nucleus_iou": "nucleus IoU", "type_accuracy": "types right"}
FIGURES = [f"{name}_{when}" for name in MEASURED for when in ("before", "after")]


def main(parent: str = "wbc-smear", seeds: str = "5") -> None:
    """Print a row for each seed, and write ``docs/_results/finetune.md``."""
    data = Path(os.environ["WBC_NCA_DATA"]) / "masks" / "cellavision"
    chosen = [int(seed) for seed in seeds.split(",")] if "," in seeds else range(int(seeds))
    init = model_store.resolve(parent)
    rows: list[dict[str, Any]] = []
    for seed in chosen:
        with TemporaryDirectory() as folder:
            rows.append(measure(data, Path(folder), init, seed))
        print(rows[-1], flush=True)
        (RESULTS / "finetune.md").write_text(report(rows, init), encoding="utf-8")


def report(rows: Sequence[dict[str, Any]], parent: Checkpoint) -> str:
    """Markdown table of the seeds, with their mean, and which model was the parent."""
    table = pd.DataFrame(rows)
    heads = " | ".join(f"{name} before | after" for name in MEASURED.values())
    lines = [
        f"| seed | {heads} | projection | minutes |",
        "|---" * (3 + len(FIGURES)) + "|",
    ]
    for row in rows:
        figures = " | ".join(f"{row[name]:.3f}" for name in FIGURES)
        lines.append(
            f"| {row['seed']} | {figures} | `{row['projection']}` | {row['minutes']:.0f} |"
        )
    mean = " | ".join(f"{value:.3f}" for value in table[FIGURES].mean())
    better = int((table["cell_iou_after"] > table["cell_iou_before"]).sum())
    which = f"`{parent.name}`, SHA-256 {parent.sha256[:12]}…"
    return "\n".join(
        [
            *lines,
            f"| mean | {mean} | | |",
            "",
            f"Better in {better} of {len(rows)}. The parent is {which}\n",
        ]
    )


def measure(data: Path, folder: Path, parent: Checkpoint, seed: int) -> dict[str, Any]:
    """Figures of the parent and of the taught model, on cells that neither has seen."""
    samples = read_masks(data)
    order = [samples[n] for n in np.random.default_rng(seed).permutation(len(samples))]
    corrected(order[:LEARNT], folder / "corrected")
    listed = folder / "test.txt"
    listed.write_text("\n".join(sample.path.stem for sample in order[LEARNT:]))
    start = time.monotonic()
    taught = train(parent.method, folder / "corrected", init=parent, finetune=True, seed=seed)
    minutes = (time.monotonic() - start) / 60
    found: dict[str, Any] = {"seed": seed}
    for when, model in (("before", parent), ("after", taught)):
        summary = evaluate(model, data, include=str(listed)).summary.iloc[0]
        found |= {f"{name}_{when}": float(summary[name]) for name in MEASURED}
    return found | {"projection": taught.card["projection"], "minutes": minutes}


def corrected(samples: Sequence[MaskedSample], folder: Path) -> None:
    """Write pictures with label images and classes, as segmenting and correcting leaves them."""
    folder.mkdir()
    for sample in samples:
        name = sample.path.stem
        grey = np.asarray(Picture.open(sample.mask).convert("L"))
        Picture.open(sample.path).convert("RGB").save(folder / f"{name}.png")
        tifffile.imwrite(folder / f"{name}_labels.tif", (grey >= CELL).astype(np.uint16))
        tifffile.imwrite(folder / f"{name}_nuclei.tif", (grey >= NUCLEUS).astype(np.uint16))
        table = f"label,class\n1,{sample.label_class or 'wbc'}\n"
        (folder / f"{name}_cells.csv").write_text(table)


if __name__ == "__main__":
    main(*sys.argv[1:])
