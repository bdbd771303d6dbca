"""Types that a trained model is surest of, for cells that have none: ``splits/smears_types.csv``.

WBC_NCA_DATA=/data python benchmarks/pseudo_types.py MODEL

A model that knows types from one laboratory names the white blood cells of the four in
``smears/train``. Of each type the cells it is surest of are kept, and the next stage of training
learns from them as if somebody had typed them. The names are the model's: some are wrong.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

from napari_wbc_nca import load_model, segment
from napari_wbc_nca.io.datasets import TYPES, WBC, read, read_rgb
from napari_wbc_nca.types import Image

HERE = Path(__file__).parent
# No monocytes: those that the model was surest of were neutrophils as often as not.
KEPT = {"neutrophil": 60, "eosinophil": 40, "basophil": 30, "lymphocyte": 30, "monocyte": 0}
LEAST = 0.6  # probability


def main(model: Path, data: Path) -> None:
    """Name the only cell of each picture, and write those that are kept."""
    checkpoint = load_model(model)
    found: list[tuple[float, str, str]] = []
    for sample in read(HERE / "base.toml"):
        boxes = sample.boxes[[name == WBC for name in sample.names]]
        if sample.path.parent != data / "smears" / "train" or len(boxes) != 1:
            continue
        image = Image(read_rgb(sample))
        cells = segment(image, checkpoint, locate="boxes", boxes=boxes).cells
        for _, cell in cells.iterrows():
            found.append((float(cell["class_probability"]), sample.path.name, cell["class"]))
    rows = [row for name in TYPES for row in _surest(found, name)]
    with (HERE / "splits" / "smears_types.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image", "class"))
        writer.writerows(sorted((picture, name) for _, picture, name in rows))
    print({name: sum(row[2] == name for row in rows) for name in TYPES})


def _surest(found: list[tuple[float, str, str]], name: str) -> list[tuple[float, str, str]]:
    own = sorted((row for row in found if row[2] == name and row[0] >= LEAST), reverse=True)
    return own[: KEPT[name]]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(os.environ["WBC_NCA_DATA"]))
