"""A window with the docked widget, and a workflow that answers at once.

What the widget does is tested with cells that are plain dark squares; that the real workflow
fits in is tested in ``test_real.py``.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import dots
import ortools.graph.python.max_flow  # noqa: F401  # crashes where Mesa's libraries were loaded before it
import pytest
from hands import SIZE, close_window, open_dock, open_window, settle
from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari._qt.qt_viewer import QtViewer
from napari._vispy.canvas import VispyCanvas
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from squares import CHECKPOINT, Workflow, assemble

from napari_wbc_nca.io import model_store
from napari_wbc_nca.io._files import HOME
from napari_wbc_nca.methods import registry
from napari_wbc_nca.widgets import method_form
from napari_wbc_nca.widgets.review import open_projects
from napari_wbc_nca.widgets.segment import SegmentWidget
from napari_wbc_nca.workflow import segment

if TYPE_CHECKING:
    from napari import Viewer
    from qtpy.QtWidgets import QApplication


@pytest.fixture(autouse=True)
def projects(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep projects and settings out of the user's own folder, and close all that were opened."""

    monkeypatch.setenv(HOME, str(tmp_path / "home"))
    yield
    open_projects.close_all()


@pytest.fixture
def workflow(monkeypatch: pytest.MonkeyPatch) -> Workflow:
    fake = Workflow()
    monkeypatch.setattr(segment, "run", fake.run)
    monkeypatch.setattr(segment, "assemble", assemble)
    monkeypatch.setattr(segment, "estimate_diameter", fake.estimate)
    monkeypatch.setattr(model_store, "names", lambda: ("wbc-smear", "wbc-types"))
    monkeypatch.setattr(model_store, "resolve", lambda name: CHECKPOINT)
    return fake


CALLBACKS = (
    "mouse_move_callbacks",
    "mouse_drag_callbacks",
    "mouse_double_click_callbacks",
    "mouse_wheel_callbacks",
)


@pytest.fixture(scope="session", autouse=True)
def napari_under_test() -> Iterator[None]:
    """Keep napari's status thread out, and Mesa's llvmpipe from crashing.

    Where a layer is removed, napari deletes what it has drawn with another context current than
    that of the canvas, and llvmpipe crashes at the next drawing: here the canvas's is current.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari._qt.threads.status_checker.StatusChecker.start", lambda *_: None)
        if (clean := getattr(VispyCanvas, "_clean_and_update_scenegraph", None)) is not None:

            def clean_in_context(canvas: VispyCanvas) -> None:
                canvas._scene_canvas.set_current()
                clean(canvas)

            patch.setattr(VispyCanvas, "_clean_and_update_scenegraph", clean_in_context)
        yield


@pytest.fixture(scope="module")
def window(qapp: QApplication) -> Iterator[Viewer]:
    """One window for all tests of a module: opening it takes longer than they do."""
    viewer = open_window()
    gc.collect()
    gc.freeze()  # napari collects garbage whenever a layer is removed: only what tests made
    yield viewer
    gc.unfreeze()
    close_window(viewer)
    del viewer
    gc.collect()
    QtViewer._instances.clear()


@pytest.fixture
def viewer(window: Viewer) -> Iterator[Viewer]:
    """The window's viewer, as a new one: without layers, docks and what they leave behind."""
    callbacks = {name: list(getattr(window, name)) for name in CALLBACKS}
    keymap = dict(window.keymap)
    yield window
    window.window.remove_dock_widget("all")
    window.layers.clear()
    for note in window.window._qt_window.findChildren(NapariQtNotification):
        note.close()
    for name, known in callbacks.items():
        getattr(window, name)[:] = known
    window.keymap.clear()
    window.keymap.update(keymap)
    window.dims.ndisplay = 2
    window.mouse_over_canvas = False
    window.status = ""
    window.window.resize(*SIZE)
    settle()


@pytest.fixture
def widget(viewer: Any, workflow: Workflow) -> SegmentWidget:
    """The widget as the menu opens it."""
    docked = open_dock(viewer, "Segment WBCs")
    assert isinstance(docked, SegmentWidget)
    return docked


@pytest.fixture
def dots_widget(viewer: Any, monkeypatch: pytest.MonkeyPatch) -> SegmentWidget:
    """The widget with a model of a small method of its own, chosen; the workflow is real."""
    monkeypatch.setitem(registry.METHODS, "dots", dots.METHOD)
    monkeypatch.setitem(method_form.DISPLAYS, "dots", dots.FACE)
    monkeypatch.setattr(model_store, "names", lambda: ["squares", "dots"])
    monkeypatch.setattr(
        model_store, "resolve", {"squares": CHECKPOINT, "dots": dots.DOTS}.__getitem__
    )
    docked = open_dock(viewer, "Segment WBCs")
    docked.form.model.names.setCurrentText("dots")
    assert isinstance(docked, SegmentWidget)
    return docked


@pytest.fixture
def click(qtbot: Any) -> Callable[[Any], None]:
    """Press a button with the mouse, as a person does."""

    def press(button: Any) -> None:
        assert button.isVisible()
        assert button.isEnabled()
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    return press


@pytest.fixture
def finish(qtbot: Any) -> Callable[[SegmentWidget], None]:
    """Wait until a widget's computation has ended."""

    def wait(docked: SegmentWidget) -> None:
        qtbot.waitUntil(lambda: not docked.running and docked.button.isEnabled(), timeout=90_000)

    return wait


@pytest.fixture
def notes() -> Iterator[list[str]]:
    """Messages of the notifications that napari shows."""
    shown: list[str] = []

    def keep(notification: Any) -> None:
        shown.append(notification.message)

    notification_manager.notification_ready.connect(keep)
    yield shown
    notification_manager.notification_ready.disconnect(keep)
