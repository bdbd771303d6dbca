"""Four cells of an image, the Review dock as the menu opens it, and keys in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from squares import smear

from napari_wbc_nca.widgets.class_colours import class_colours, colormap
from napari_wbc_nca.widgets.correction_keys import make_correctable
from napari_wbc_nca.widgets.planes import OURS, SHOWS
from napari_wbc_nca.widgets.review.dock import ReviewWidget

CORNERS = ((10, 10), (10, 60), (60, 60), (60, 95))
LIKELY = (0.95, 0.52, 0.45, 0.9)
"""Probability of a neutrophil by cell: the second is doubtful, the third unsure."""


def add_cells(viewer: Any, name: str = "smear", **options: Any) -> Any:
    """Add an image with four cells and their layer, as the Segment widget makes it."""
    return cells_on(viewer, viewer.add_image(smear(*CORNERS), name=name, **options), **options)


def cells_on(viewer: Any, image: Any, **options: Any) -> Any:
    """Add the layer of four cells of an image that is open, on each plane of a stack."""
    name = image.name
    data = np.zeros(image.data.shape[: image.ndim], np.uint32)
    for label, (y, x) in enumerate(CORNERS, start=1):
        data[..., y : y + 20, x : x + 20] = label
    labels = list(range(1, len(CORNERS) + 1))
    table = pd.DataFrame(
        {
            "index": labels,
            "label": labels,
            "class": ["neutrophil"] * len(labels),
            "p_neutrophil": LIKELY,
            "p_lymphocyte": [0.03, 0.46, 0.3, 0.07],
            "p_monocyte": [0.02, 0.02, 0.25, 0.03],
            "nucleus_area_px": [100.0] * len(labels),
        }
    )
    made = {"source": name, "source_id": str(image.unique_id), SHOWS: "cell"}
    layer = viewer.add_labels(
        data,
        name=f"{name} cells",
        features=table,
        metadata={OURS: made},
        colormap=colormap(table, class_colours(table)),
        **options,
    )
    make_correctable(layer)
    return layer


def open_dock(viewer: Any) -> ReviewWidget:
    """Open the dock as the menu does."""
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Review cells")
    assert isinstance(docked, ReviewWidget)
    settle()
    return docked


def settle() -> None:
    for _ in range(4):
        QApplication.processEvents()


def press(widget: Any, text: str) -> None:
    """Press keys in a widget that has the focus."""
    widget.setFocus()
    QTest.keyClicks(widget, text)
    settle()


def close_dock(viewer: Any, docked: Any) -> None:
    """Close a dock, unless a test has."""
    if docked.parent() is not None:
        viewer.window.remove_dock_widget(docked)
    settle()
