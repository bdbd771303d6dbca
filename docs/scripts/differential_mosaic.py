"""Make the mosaic of 100 white cells that the page about a differential walks through.

``python docs/scripts/differential_mosaic.py PBC FOLDER`` writes ``FOLDER/mosaic.png`` of pictures
of single cells in the folder PBC: those of Acevedo et al. (Data in Brief 30, 2020), CC BY 4.0, with
their ``classes.csv``. The types are in the proportion of a normal count.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

COUNTS = {"neutrophil": 58, "lymphocyte": 30, "monocyte": 7, "eosinophil": 4, "basophil": 1}
SIDE = 160
"""Pixels of the middle of each picture that are shown."""


def main(pictures: str, folder: str) -> None:
    """Write the mosaic."""
    table = pd.read_csv(Path(pictures) / "classes.csv")
    random = np.random.default_rng(0)
    chosen = pd.concat(
        table[table["class"].str.contains(name)].sample(number, random_state=random)
        for name, number in COUNTS.items()
    ).sample(frac=1, random_state=random)
    tiles = [tile(Path(pictures) / name) for name in chosen["file"]]
    rows = [np.concatenate(tiles[first : first + 10], axis=1) for first in range(0, 100, 10)]
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(place / "mosaic.png")


def tile(path: Path) -> np.ndarray:
    """``(SIDE, SIDE, 3)`` pixels of the middle of a picture."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    y, x = ((n - SIDE) // 2 for n in pixels.shape[:2])
    return pixels[y : y + SIDE, x : x + SIDE]


if __name__ == "__main__":
    main(*sys.argv[1:])
