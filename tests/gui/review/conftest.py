"""Cells to review, the Review dock, and a person at a small window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from person import Person, write_smear
from reviewing import add_cells, close_dock, open_dock, settle

if TYPE_CHECKING:
    from pathlib import Path

    from napari_wbc_nca.widgets.review.dock import ReviewWidget


@pytest.fixture
def layer(viewer: Any) -> Any:
    return add_cells(viewer)


@pytest.fixture
def dock(viewer: Any, layer: Any) -> Iterator[ReviewWidget]:
    docked = open_dock(viewer)
    yield docked
    close_dock(viewer, docked)


@pytest.fixture
def column(layer: Any) -> Callable[[str], dict[int, Any]]:
    """Column of the layer's features by label."""
    return lambda name: dict(zip(layer.features["index"], layer.features[name], strict=True))


@pytest.fixture(scope="module")
def small(window: Any) -> None:
    """Make the picture small, which is drawn several times a stroke."""
    shown = window.window._qt_viewer
    for hidden in (shown.dockLayerControls, shown.dockLayerList):
        hidden.hide()
    window.window._qt_window.resize(640, 320)
    settle()


@pytest.fixture
def person(viewer: Any, qtbot: Any) -> Person:
    return Person(viewer, qtbot)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_smear(tmp_path / "images" / "smear.tif")
