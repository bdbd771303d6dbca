"""Time the Review dock with 5,000 cells: open it, select a row, reclassify 100 cells at once.

``QT_QPA_PLATFORM=xcb xvfb-run -a python benchmarks/bench_review.py [CELLS]`` prints milliseconds:
the first and the median of five.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import napari
import numpy as np
import pandas as pd
from qtpy.QtWidgets import QApplication

from napari_wbc_nca.cell_types import TYPES
from napari_wbc_nca.widgets.class_colours import class_colours, colormap
from napari_wbc_nca.widgets.correction_keys import make_correctable
from napari_wbc_nca.widgets.planes import OURS, SHOWS
from napari_wbc_nca.widgets.review.dock import ReviewWidget

SIDE, STEP = 30, 56
"""Pixels of a cell, and from one to the next."""


def main(cells: int = 5000) -> None:
    """Print the times."""
    viewer = napari.Viewer(show=True, show_welcome_screen=False)
    viewer.window.resize(1400, 900)
    layer = add_cells(viewer, cells)
    settle()
    start = time.perf_counter()
    dock = ReviewWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Review", area="right")
    settle()
    print(f"open: {1000 * (time.perf_counter() - start):.0f}")
    model = dock.model
    assert model is not None
    dock.tabs.setCurrentWidget(dock.table)
    settle()
    report("select a row", lambda n: dock.table.view.selectRow(100 * n))
    dock.tabs.setCurrentWidget(dock.gallery)
    settle()
    first = list(range(1, 101))
    report("reclassify 100", lambda n: model.classify(first, TYPES[n % 2]))
    report("confirm and go on", lambda n: dock.confirm())
    print(f"rows: {len(layer.features)}")


def add_cells(viewer: napari.Viewer, cells: int, pixels: int = 0) -> napari.layers.Labels:
    """Add squares of random types and probabilities on a noisy image of at least `pixels`²."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(cells)))
    shape = (max(side * STEP, pixels),) * 2
    image = viewer.add_image(rng.integers(120, 255, (*shape, 3), np.uint8), name="smear")
    data = np.zeros(shape, np.uint32)
    for label in range(1, cells + 1):
        y, x = (STEP * at + 10 for at in divmod(label - 1, side))
        data[y : y + SIDE, x : x + SIDE] = label
    shares = rng.dirichlet(np.full(len(TYPES), 0.4), cells)
    labels = np.arange(1, cells + 1)
    table = pd.DataFrame(
        {
            "index": labels,
            "label": labels,
            "class": [TYPES[n] for n in shares.argmax(1)],
            **{f"p_{name}": shares[:, n] for n, name in enumerate(TYPES)},
            "nucleus_area_px": rng.integers(200, 600, cells),
        }
    )
    made = {"source": "smear", "source_id": str(image.unique_id), SHOWS: "cell"}
    layer = viewer.add_labels(
        data,
        name="cells",
        features=table,
        metadata={OURS: made},
        colormap=colormap(table, class_colours(table)),
    )
    make_correctable(layer)
    return layer


def report(name: str, deed: Callable[[int], object]) -> None:
    """Print the first time and the median of five, until the window is drawn again."""
    times = []
    for number in range(1, 6):
        start = time.perf_counter()
        deed(number)
        settle()
        times.append(1000 * (time.perf_counter() - start))
    print(f"{name}: {times[0]:.0f}, median {np.median(times):.0f}")


def settle() -> None:
    """Let the window draw what has changed."""
    for _ in range(3):
        QApplication.processEvents()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
