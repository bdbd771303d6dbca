"""One window for all tests of the Review dock: opening it takes longer than they do."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from napari import Viewer
from napari._qt.qt_viewer import QtViewer
from napari.settings import get_settings
from npe2 import PluginManager, PluginManifest
from qtpy.QtTest import QTest
from reviewing import add_cells, close_dock, open_dock
from squares import MANIFEST

if TYPE_CHECKING:
    from napari_wbc_nca.widgets.review.dock import ReviewWidget


@pytest.fixture(scope="module")
def window(qapp: Any) -> Iterator[Viewer]:
    manager = PluginManager.instance()
    manager.discover()
    if "napari-wbc-nca" not in manager:
        manager.register(PluginManifest.from_file(MANIFEST))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari._qt.threads.status_checker.StatusChecker.start", lambda *_: None)
        get_settings().reset()
        viewer = Viewer(show=True, show_welcome_screen=False)
        viewer.window.resize(1000, 700)
        QTest.qWaitForWindowExposed(viewer.window._qt_window)
        yield viewer
        patch.setattr(viewer.window._qt_window, "_save_current_window_settings", lambda: {})
        viewer.close()
    gc.collect()
    QtViewer._instances.clear()


@pytest.fixture
def viewer(window: Viewer) -> Viewer:
    """The window's viewer, empty."""
    window.layers.clear()
    window.dims.ndisplay = 2
    return window


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
