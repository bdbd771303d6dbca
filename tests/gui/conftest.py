"""A window with the docked widget, and a workflow that answers at once.

What the widget does is tested with cells that are plain dark squares; that the real workflow
fits in is tested in ``test_real.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dots
import pytest
from napari.utils.notifications import notification_manager
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import Qt
from squares import CHECKPOINT, MANIFEST, Workflow, assemble

from napari_wbc_nca.io import model_store
from napari_wbc_nca.io._files import HOME
from napari_wbc_nca.methods import registry
from napari_wbc_nca.widgets import method_form
from napari_wbc_nca.widgets.review import open_projects
from napari_wbc_nca.widgets.segment import SegmentWidget
from napari_wbc_nca.workflow import segment


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


@pytest.fixture
def plugin() -> None:
    """Make our manifest known before the window opens, installed or not."""
    manager = PluginManager.instance()
    manager.discover()
    if "napari-wbc-nca" not in manager:
        manager.register(PluginManifest.from_file(MANIFEST))


@pytest.fixture
def viewer(plugin: None, make_napari_viewer: Callable[..., Any]) -> Any:
    return make_napari_viewer(show=True)


@pytest.fixture
def widget(viewer: Any, workflow: Workflow) -> SegmentWidget:
    """The widget as the menu opens it."""
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Segment WBCs")
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
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Segment WBCs")
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
