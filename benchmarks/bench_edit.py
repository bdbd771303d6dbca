"""Time of corrections on a large layer, its features and colours included.

``python benchmarks/bench_edit.py [--window]``: merge, split and delete among 5,000 cells on
4096 × 4096 pixels, coloured by class, with a table as the Segment widget makes it. With
``--window`` in a napari window, drawing included; without one run it under ``xvfb-run -a``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Labels

from napari_wbc_nca.cell_types import COLOURS
from napari_wbc_nca.ops.labels import measure_cells
from napari_wbc_nca.widgets.class_colours import class_colours, colormap
from napari_wbc_nca.widgets.correction_operations import correct, correct_by_line
from napari_wbc_nca.widgets.features_sync import follow
from napari_wbc_nca.widgets.planes import OURS


def field(side: int, cells: int, seed: int = 0) -> np.ndarray:
    """Ellipses in a grid, some of which touch."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.uint32)
    across = int(np.ceil(np.sqrt(cells)))
    pitch = side // across
    y, x = np.mgrid[:pitch, :pitch] - (pitch - 1) / 2
    for number in range(cells):
        a, b = rng.uniform(0.35, 0.5, 2) * pitch
        row, column = number // across * pitch, number % across * pitch
        part = labels[row : row + pitch, column : column + pitch]
        part[(y / a) ** 2 + (x / b) ** 2 <= 1] = number + 1
    return labels


def table(labels: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Table with the columns of a segmentation, its classes drawn at random."""
    rng = np.random.default_rng(seed)
    cells = measure_cells(labels).reset_index()
    cells.insert(0, "index", cells["label"])
    cells["class"] = pd.Series(rng.choice(list(COLOURS), len(cells)), dtype="str")
    for name in ("class_probability", "confidence", *(f"p_{name}" for name in COLOURS)):
        cells[name] = rng.random(len(cells))
    cells["nucleus_area_px"] = cells["area_px"] // 2
    cells["area_um2"] = cells["area_px"] * 0.04
    return cells


def middle(layer: Labels, label: int) -> tuple[float, float]:
    """Centroid of a cell."""
    row = layer.features.set_index("index").loc[label]
    return float(row["centroid_y"]), float(row["centroid_x"])


def operations(viewer: Any, layer: Labels, label: int) -> dict[str, Callable[[], Any]]:
    """What is timed, for a cell and its right neighbour."""
    y, x = middle(layer, label)
    next_y, next_x = middle(layer, label + 1)
    merge_line = [(round(y), round(x)), (round(next_y), round(next_x))]
    cut_line = [(round(y) - 60, round(x)), (round(y) + 60, round(x))]

    def delete() -> None:
        layer.selected_label, viewer.mouse_over_canvas = label, False
        correct(viewer, layer, "delete")

    return {
        "merge": lambda: correct_by_line(viewer, layer, "merge", merge_line),
        "split": lambda: correct_by_line(viewer, layer, "cut", cut_line),
        "delete": delete,
    }


def main() -> None:
    """Print the median time of each operation, and of undoing it, in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--cells", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--window", action="store_true")
    options = parser.parse_args()
    labels = field(options.side, options.cells)
    cells = table(labels)
    colours = colormap(cells, class_colours(cells))
    layer = Labels(labels, features=cells, colormap=colours, metadata={OURS: {}})
    if options.window:
        from napari import Viewer
        from qtpy.QtWidgets import QApplication

        viewer: Any = Viewer()
        settle: Callable[[], Any] = QApplication.processEvents
    else:
        viewer, settle = ViewerModel(), lambda: None
    viewer.add_layer(layer)
    start = time.perf_counter()
    follow(layer)
    print(f"first look at the layer: {1000 * (time.perf_counter() - start):.0f} ms")
    times: dict[str, list[tuple[float, float]]] = {}
    for repeat in range(options.repeats + 1):
        for name, run in operations(viewer, layer, 1 + 7 * repeat).items():
            for what, do in ((name, run), (f"undo {name}", layer.undo)):
                settle()
                wall, busy = time.perf_counter(), time.process_time()
                do()
                settle()
                took = time.perf_counter() - wall, time.process_time() - busy
                if repeat:  # the first round pays for what napari prepares once
                    times.setdefault(what, []).append(took)
    assert (labels == field(options.side, options.cells)).all()
    for name, values in times.items():
        wall, busy = (1000 * median(each) for each in zip(*values, strict=True))
        print(f"{name:12} median {wall:6.1f} ms, of which the processor worked {busy:6.1f} ms")


if __name__ == "__main__":
    main()
