"""Measure the range of colours of the pictures that train, for a model to say what is unusual.

    WBC_NCA_DATA=/data python benchmarks/colour_range.py OUTPUT

``OUTPUT/wbc-smear.colours.json`` has the range of each measure over the pictures of
``bundled.toml``: from the 0.5th to the 99.5th percentile, wider by `MARGIN` of itself at both ends.
Printed is the share of unusual pictures in folders that did not train, and under each cast.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from casts import CASTS, apply_cast
from PIL import Image as Picture

from napari_wbc_nca.datasets import readers
from napari_wbc_nca.datasets.samples import read_rgb
from napari_wbc_nca.ops.colour_range import MEASURES, measure_colours, unusual_colours
from napari_wbc_nca.ops.stain import sample_field

MARGIN = 0.1
FOLDERS = ("smears/val", "typed", "fields", "raabin", "masks/cellavision", "masks/tecom")
_FEW = 40  # pictures of a folder, evenly spaced


def main(output: Path) -> None:
    """Write the ranges, and print how many pictures are outside."""
    samples = readers.read(Path(__file__).parent / "bundled.toml")
    found = [measure_colours(sample_field(read_rgb(sample))) for sample in samples]
    low, high = np.quantile(found, [0.005, 0.995], axis=0)
    margin = MARGIN * (high - low)
    ends = np.round(np.stack([low - margin, high + margin], 1), 4).tolist()
    usual = dict(zip(MEASURES, ends, strict=True))
    text = json.dumps(usual, indent=2) + "\n"
    (output / "wbc-smear.colours.json").write_text(text, encoding="utf-8")
    data = Path(os.environ["WBC_NCA_DATA"])
    for folder in FOLDERS:
        print(f"{folder}: {share([read(path) for path in few(data / folder)], usual):.2f}")
    pictures = [read(path) for path in few(data / "smears" / "val")]
    for name in CASTS:
        print(f"{name}: {share([apply_cast(name, rgb) for rgb in pictures], usual):.2f}")


def few(folder: Path) -> list[Path]:
    """List some pictures of a folder and of those in it."""
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix in (".jpg", ".jpeg", ".png", ".bmp")]
    paths = [path for path in paths if "_mask" not in path.stem]
    return paths[:: max(1, len(paths) // _FEW)]


def read(path: Path) -> npt.NDArray[Any]:
    """Read a picture in colour."""
    with Picture.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def share(pictures: list[npt.NDArray[Any]], usual: dict[str, list[float]]) -> float:
    """Return the share of pictures whose colours are unusual."""
    return float(np.mean([bool(unusual_colours(sample_field(rgb), usual)) for rgb in pictures]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
