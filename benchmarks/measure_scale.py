"""Measure how well the diameter of a cell is estimated from an image alone.

    WBC_NCA_DATA=/data python benchmarks/measure_scale.py [MODEL ...] [--every N] [--write]

An estimate is right within 20 % of the median box of the pictures of the same laboratory and size
(``smears/val``, ``fields``, and slides of ``typed`` that did not train), or of the masks of a set
(``masks``), by the side of a square of the box's area times `CELL_TO_BOX`. Printed is the share of
the pictures where it is, and the quantiles of estimate over truth. ``cell-scale`` is the network of
large images; a model's name is the model's own search.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from napari_wbc_nca.cell_types import CELL_TO_BOX
from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.images import as_image, prepare
from napari_wbc_nca.io.pixels import to_rgb
from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.field import BRIGHTNESS, Field
from napari_wbc_nca.methods.scale_network import read_scale
from napari_wbc_nca.params import from_mapping
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.workflow.segment import estimate_diameter

TABLE = Path(__file__).parent.parent / "docs" / "_results" / "scale.md"
SPLITS = Path(__file__).parent / "splits"
SETS = ("smears/val", "typed", "fields", "masks/tecom", "masks/cellavision")
WHITE = {"typed": range(5)}
NEAR = 1.2
NETWORK = "cell-scale"


def main() -> None:
    """Print, and with ``--write`` keep, a row a set and model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=[NETWORK])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    data = Path(os.environ["WBC_NCA_DATA"])
    lines = [
        "| set | by | pictures | within 20 % | estimate over truth: 2.5 %, median, 97.5 % | s |",
        "|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for name in SETS:
        truth = true_diameters(data / name)
        if name == "typed":
            held = (SPLITS / "typed_heldout.txt").read_text(encoding="utf-8").split()
            truth = {path: truth[path] for path in truth if path.name in held}
        for model in given.models:
            begin = time.process_time()
            ratios = {
                path: estimate(path, model) / truth[path] for path in sorted(truth)[:: given.every]
            }
            values = np.array(list(ratios.values()))
            near = np.maximum(values, 1 / values) < NEAR
            low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
            spent = (time.process_time() - begin) / len(values)
            lines.append(
                f"| `{name}` | `{model}` | {len(values)} | {near.mean():.3f} | {low:.2f}, "
                f"{middle:.2f}, {high:.2f} | {spent:.2f} |"
            )
            print(lines[-1], flush=True)
            wrong = [
                (path.stem, round(r, 2)) for path, r in ratios.items() if not 1 / NEAR < r < NEAR
            ]
            print("  ", *wrong[:40], flush=True)
    if given.write:
        TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def estimate(path: Path, model: str) -> float:
    """Estimate the diameter in pixels as a run without a scale would."""
    if model == NETWORK:
        field = Field(to_rgb(prepare(as_image(path))), 1, BRIGHTNESS)
        return run_to_end(read_scale(field))[0]
    checkpoint = model_store.resolve(model)
    params = from_mapping(registry.get(checkpoint.method).predict_params, {})
    return run_to_end(estimate_diameter(as_image(path), checkpoint, params))


def true_diameters(folder: Path) -> dict[Path, float]:
    """Return the typical diameter in pixels of each picture's laboratory and size."""
    sides: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    sizes = {}
    for path in sorted(
        p for p in folder.iterdir() if p.suffix in (".jpg", ".jpeg", ".png", ".bmp")
    ):
        if path.stem.rpartition("_")[2] == "mask":
            continue
        sizes[path] = Picture.open(path).size
        sides[sizes[path]] += white_sides(path, sizes[path], WHITE.get(folder.name, range(1)))
    return {
        path: CELL_TO_BOX * float(np.median(sides[size]))
        for path, size in sizes.items()
        if sides[size]
    }


def white_sides(path: Path, size: tuple[int, int], white: range) -> Iterator[float]:
    """Return the sides in pixels of the boxes of white cells that no border cuts, or of a mask."""
    mask = path.with_name(f"{path.stem}_mask.png")
    boxes = path.with_suffix(".txt")
    if not boxes.exists():
        at = np.argwhere(np.asarray(Picture.open(mask)) > 0)
        yield float(np.sqrt(np.prod(np.ptp(at, axis=0) + 1)))
        return
    for line in boxes.read_text().splitlines():
        kind, cx, cy, w, h = (float(value) for value in line.split()[:5])
        inside = min(cx - w / 2, cy - h / 2, 1 - cx - w / 2, 1 - cy - h / 2)
        if int(kind) in white and inside > 0.004:
            yield float(np.sqrt(w * size[0] * h * size[1]))


if __name__ == "__main__":
    main()
