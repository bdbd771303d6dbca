"""Measure `smear-mix` on the benchmark data, write what the docs show, and bundle it.

WBC_NCA_DATA=/data python benchmarks/measure_mix.py MODELS [bundle]

``MODELS`` is the folder that ``train_mix.py`` filled. No scale is given. White cells are compared
with the experts' masks, pixel by pixel over all pictures; in each box of ``smears/val`` the
foreground is counted that has the box's class: the found foreground, and that of edges and stain,
which does not know the network. With ``bundle`` the model joins the package.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_wbc_nca.datasets.readers import read_source
from napari_wbc_nca.datasets.samples import read_rgb
from napari_wbc_nca.datasets.sources import Source
from napari_wbc_nca.evaluation.class_maps import measure_classes
from napari_wbc_nca.io.weights import load, save
from napari_wbc_nca.methods.cellmixer.params import CellmixerParams, CellmixerTrainParams
from napari_wbc_nca.methods.cellmixer.preview import preview_foreground
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.types import Checkpoint, Image
from napari_wbc_nca.workflow.segment import segment

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "_results" / "mix.md"
WEIGHTS = ROOT / "src" / "napari_wbc_nca" / "weights"
MASKED = ("fields", "masks/cellavision", "masks/tecom")
KINDS = ("wbc", "rbc")
LICENCE = "BSD-3-Clause. Trained on TXL-PBC (BCCD, BCD, PBC, Raabin; MIT); no mask was trained on."


def main(models: Path, data: Path, stages: list[str]) -> None:
    """Print the figures, and keep them with the model where it is bundled."""
    trained = load(models / "smear-mix.safetensors")
    rows = [*_masks(trained, data), *_boxes(trained, data / "smears" / "val")]
    lines = ["| measured | `smear-mix` |", "|---|---|", *(f"| {a} | {b:.3f} |" for a, b in rows)]
    print("\n".join(lines), flush=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if "bundle" in stages:
        card = {**trained.card, "licence": LICENCE, "metrics": dict(rows)}
        bundled = replace(trained, name="smear-mix", card=card)
        save(bundled, WEIGHTS / "smear-mix.safetensors")
        hashes = {path.stem: load(path).sha256 for path in sorted(WEIGHTS.glob("*.safetensors"))}
        text = json.dumps(hashes, indent=2) + "\n"
        (WEIGHTS / "index.json").write_text(text, encoding="utf-8")


def _masks(model: Checkpoint, data: Path) -> Iterator[tuple[str, float]]:
    """IoU of white cells with the experts' masks."""
    for name in MASKED:
        table = run_to_end(measure_classes([model], [data / name], CellmixerParams())).classes
        yield f"WBC pixel IoU, `{name}`", float(table[table["class"] == "wbc"]["iou"].iloc[0])


def _boxes(model: Checkpoint, folder: Path) -> Iterator[tuple[str, float]]:
    """Share of the foreground in boxes that has their class."""
    counts = np.zeros((2, len(KINDS), 2))
    for sample in read_source(Source(folder, "boxes", ("wbc", "rbc", "platelet"))):
        rgb = read_rgb(sample)
        found = segment(Image(rgb), model)
        classes = np.asarray(found.labels["class"])
        stained = _stained(rgb, model, found.provenance["diameter"])
        for box, kind in zip(sample.boxes, sample.kinds, strict=True):
            if kind not in KINDS:
                continue
            y0, x0, y1, x1 = (max(0, round(float(edge))) for edge in box)
            own = classes[y0:y1, x0:x1]
            right = own == model.classes.index(kind)
            for way, mask in enumerate((own > 0, stained[y0:y1, x0:x1])):
                counts[way, KINDS.index(kind)] += (right & mask).sum(), mask.sum()
    for way, of in enumerate(("found", "stained")):
        for number, kind in enumerate(KINDS):
            share = counts[way, number, 0] / counts[way, number, 1]
            yield f"{kind.upper()} share of the {of} foreground in boxes, `smears/val`", share


def _stained(rgb: np.ndarray, model: Checkpoint, diameter: float) -> np.ndarray:
    """Foreground as training finds it, at the model's scale, in pixels of the picture."""
    known = model.card["params"]
    factor = diameter / model.diameter
    params = CellmixerTrainParams(**known)
    grown = {name: known[name] * factor for name in ("smooth", "resmooth", "fill", "smallest")}
    return preview_foreground(rgb, replace(params, **grown))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(os.environ["WBC_NCA_DATA"]), sys.argv[2:])
