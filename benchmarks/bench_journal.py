"""Time and size of a journal: brush strokes on a layer of 4096 × 4096 pixels.

python benchmarks/bench_journal.py

Prints the time that a stroke adds in the thread that records it (median, 95th percentile, largest)
and the size of the database after 1,000 strokes of 30 to 300 pixels.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from napari_wbc_nca.project.journal import Correction, RegionChange
from napari_wbc_nca.project.project import Project

SIDE, STROKES, CELLS = 4096, 1000, 2000


def main() -> None:
    """Record the strokes and print the figures."""
    random = np.random.default_rng(0)
    labels = np.zeros((SIDE, SIDE), np.uint32)
    y, x = np.ogrid[:40, :40]
    disk = (y - 20) ** 2 + (x - 20) ** 2 < 400
    for label in range(1, CELLS + 1):
        top, left = random.integers(0, SIDE - 40, 2)
        labels[top : top + 40, left : left + 40][disk] = label
    rows = {n: {"class": "neutrophil", "area_px": 1256} for n in range(1, CELLS + 1)}
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "slide.png"
        image.write_bytes(b"slide")
        with Project(Path(folder) / "p", create=True) as project:
            journal = project.add_layer(project.add_image(image), "cells", labels, rows)
            times = [_stroke(journal, labels, random) for _ in range(STROKES)]
        size = sum(path.stat().st_size for path in (Path(folder) / "p").iterdir())
    milliseconds = np.asarray(times) * 1000
    print(
        f"a stroke: median {np.median(milliseconds):.2f} ms, "
        f"95th percentile {np.percentile(milliseconds, 95):.2f} ms, "
        f"largest {milliseconds.max():.2f} ms; {STROKES} strokes: {size / 1e6:.1f} MB"
    )


def _stroke(journal, labels, random) -> float:
    """Paint a stroke of a brush; return the seconds that recording it took."""
    height, width = random.integers(30, 300, 2)
    top, left = random.integers(0, SIDE - 300, 2)
    where = slice(top, top + height), slice(left, left + width)
    old = labels[where].copy()
    painted = np.abs(np.arange(width) * height / width - np.arange(height)[:, None]) < 12
    labels[where][painted] = random.integers(1, CELLS)
    start = time.perf_counter()
    change = RegionChange((), (int(top), int(left)), old, labels[where].copy())
    row = {"class": "monocyte", "area_px": 900}
    journal.record(Correction("paint", (change,), {1: (row, row)}))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
