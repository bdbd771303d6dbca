"""Time what a brush stroke adds on the window's thread: journal, table, doubt and undo history.

``QT_QPA_PLATFORM=xcb xvfb-run -a python benchmarks/bench_stroke.py [STROKES [CELLS [SIDE]]]``

Opens a window with the Review dock on a layer of 4096 × 4096 pixels and 2,000 cells, whose
corrections are written, and draws 200 strokes with the mouse. Printed are milliseconds of all that
this plugin does from the press of the button until the window is idle again, without drawing:
the first stroke, the median, the 95th percentile and the largest, by the clock and by the time of
the processor; then the size of the project.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "gui"))

from bench_review import STEP, add_cells
from hands import Hands

from napari_wbc_nca.widgets.features_sync import Follower
from napari_wbc_nca.widgets.review import layer_journal, open_projects
from napari_wbc_nca.widgets.review.dock import ReviewWidget
from napari_wbc_nca.widgets.review.model import ReviewModel

STROKES, CELLS, SIDE = 200, 2000, 4096
_spent: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
_inside = [False]


def main(strokes: int = STROKES, cells: int = CELLS, side: int = SIDE) -> None:
    """Draw the strokes and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        for kind, name in (
            (Follower, "_on_pixels"),
            (ReviewModel, "refresh"),
            *(
                (ReviewModel, name)
                for name in ("_on_features", "_on_rated")
                if name in vars(ReviewModel)
            ),
            *(
                (layer_journal.LayerJournal, name)
                for name in ("_on_copied",)
                if name in vars(layer_journal.LayerJournal)
            ),
        ):
            setattr(kind, name, _timed(name, getattr(kind, name)))
        viewer = napari.Viewer(show=True, show_welcome_screen=False)
        viewer.window.resize(900, 500)
        layer = add_cells(viewer, cells, pixels=side)
        image = Path(folder) / "slide.png"
        image.write_bytes(b"slide")
        project = open_projects.open_project(Path(folder) / "p")
        journal = layer_journal.LayerJournal(layer, open_projects.Place(project, image, None, None))
        dock = ReviewWidget(viewer)
        viewer.window.add_dock_widget(dock, name="Review", area="right")
        viewer.layers.selection.active = layer
        layer.brush_size, layer.mode = 20, "paint"
        settle()
        hands, random = Hands(viewer), np.random.default_rng(0)
        times = []
        for number in range(strokes):
            label = int(random.integers(1, cells))
            start = np.array(divmod(label - 1, int(np.ceil(np.sqrt(cells))))) * STEP + 25.0
            camera = getattr(viewer, "scene", viewer).camera
            camera.center, camera.zoom = tuple(start), 1.0
            layer.selected_label = label
            settle()
            _spent.clear()
            turns = random.uniform(-60, 60, (2, 2))
            hands.drag(*(tuple(np.clip(start + turn, 1, side - 2)) for turn in (0, *turns)))
            settle(0.3)
            if _spent:  # else the stroke stayed in the cell, and changed nothing
                times.append(np.sum(list(_spent.values()), axis=0) * 1000)
            if number < 2:
                print({name: round(1000 * both[0], 1) for name, both in _spent.items()})
        journal.flush()
        open_projects.close_all()
        size = sum(path.stat().st_size for path in (Path(folder) / "p").glob("project*"))
        for name, column in (("clock", 0), ("processor", 1)):
            values = np.array(times)[:, column]
            print(
                f"{name}: first {values[0]:.2f} ms, median {np.median(values):.2f}, "
                f"95th percentile {np.percentile(values, 95):.2f}, largest {values.max():.2f}"
            )
        print(f"{strokes} strokes: {size / 1e6:.2f} MB")
        viewer.close()


def _timed(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that adds the time it takes, but inside of another one."""

    def run(*args: Any, **options: Any) -> Any:
        if _inside[0]:
            return method(*args, **options)
        _inside[0] = True
        start = time.perf_counter(), time.thread_time()
        try:
            return method(*args, **options)
        finally:
            _inside[0] = False
            _spent[name][0] += time.perf_counter() - start[0]
            _spent[name][1] += time.thread_time() - start[1]

    return run


def settle(seconds: float = 0.0) -> None:
    """Let the window do what waits."""
    end = time.perf_counter() + seconds
    for _ in range(3):
        QApplication.processEvents()
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.005)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
