"""Teach ``wbc-smear`` further by corrected masks, and test it on others, five times.

WBC_NCA_DATA=/data python benchmarks/finetune.py [PARENT [SEEDS]]

For each seed, 40 of the 50 crops of ``masks/cellavision`` are written as pictures with label
images, as if a user had corrected them, and the parent is taught by them as ``train --teach``
does; both models are measured on the other 10. The masks are for evaluation: no taught model is
kept.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import tifffile
from PIL import Image as Picture

from napari_wbc_nca.io import zoo
from napari_wbc_nca.io.datasets import MaskedSample, read_masks
from napari_wbc_nca.workflow.evaluate import evaluate
from napari_wbc_nca.workflow.train import train

CELL, NUCLEUS = 64, 192
LEARNT = 40


def main(parent: str = "wbc-smear", seeds: str = "5") -> None:
    """Print a row for each seed, and write ``docs/_results/finetune.md``."""
    data = Path(os.environ["WBC_NCA_DATA"]) / "masks" / "cellavision"
    rows = []
    for seed in range(int(seeds)):
        with TemporaryDirectory() as folder:
            rows.append(measure(data, Path(folder), parent, seed))
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    print(table.round(3).to_string())
    lines = ["| seed | parent | taught | projection | minutes |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['seed']} | {row['parent']:.3f} | {row['taught']:.3f} | `{row['projection']}` | "
        f"{row['minutes']:.1f} |"
        for row in rows
    ]
    mean = table[["parent", "taught"]].mean()
    lines.append(f"| mean | {mean['parent']:.3f} | {mean['taught']:.3f} | | |")
    results = Path(__file__).parents[1] / "docs" / "_results" / "finetune.md"
    results.write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(data: Path, folder: Path, parent: str, seed: int) -> dict[str, float | str]:
    """Cell IoU of the parent and of the taught model, on cells that neither has seen."""
    samples = read_masks(data)
    order = [samples[n] for n in np.random.default_rng(seed).permutation(len(samples))]
    corrected(order[:LEARNT], folder / "corrected")
    listed = folder / "test.txt"
    listed.write_text("\n".join(sample.path.stem for sample in order[LEARNT:]))
    start = time.monotonic()
    init = zoo.resolve(parent)
    taught = train(init.method, folder / "corrected", init=init, teach=True, seed=seed)
    minutes = (time.monotonic() - start) / 60
    first, second = (
        evaluate(model, data, include=str(listed)).summary.iloc[0] for model in (init, taught)
    )
    print(taught.card["held_out"], flush=True)
    return {
        "seed": seed,
        "parent": first["cell_iou"],
        "taught": second["cell_iou"],
        "nucleus_parent": first["nucleus_iou"],
        "nucleus_taught": second["nucleus_iou"],
        "type_parent": first["type_accuracy"],
        "type_taught": second["type_accuracy"],
        "projection": taught.card["projection"],
        "minutes": minutes,
    }


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
