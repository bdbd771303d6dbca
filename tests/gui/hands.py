"""Docks as the menu opens them; mouse and keyboard over the canvas, as a person moves them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from napari import Viewer
from napari.settings import get_settings
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import QCoreApplication, QEvent, QPoint, Qt
from qtpy.QtGui import QCursor
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from squares import MANIFEST

KEYS = {
    "Alt": Qt.KeyboardModifier.AltModifier,
    "Shift": Qt.KeyboardModifier.ShiftModifier,
    "Control": Qt.KeyboardModifier.ControlModifier,
}
LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


SIZE = 1100, 700
"""Width and height of a window in pixels; software draws a small one sooner."""


def settle() -> None:
    """Let Qt do what it has put off, such as layouts, and delete what is to be deleted."""
    for _ in range(2):
        QApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()


def open_window() -> Viewer:
    """Open napari with our manifest, installed or not."""
    manager = PluginManager.instance()
    manager.discover()
    if "napari-wbc-nca" not in manager:
        manager.register(PluginManifest.from_file(MANIFEST))
    get_settings().reset()
    viewer = Viewer(show=True, show_welcome_screen=False)
    viewer.window.resize(*SIZE)
    # The pointer of the screen is out of the way: tests have a mouse of their own.
    QCursor.setPos(QApplication.primaryScreen().geometry().bottomRight())
    assert QTest.qWaitForWindowExposed(viewer.window._qt_window)
    return viewer


def close_window(viewer: Viewer) -> None:
    """Close napari as a person does, without writing its settings."""
    viewer.window._qt_window._save_current_window_settings = dict
    viewer.close()
    settle()


def open_dock(viewer: Any, title: str) -> Any:
    """Open a widget as the menu does; the canvas has the size that is left to it."""
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", title)
    settle()
    return docked


class Hands:
    """Points, drags and presses keys in a viewer; places are y and x in the world."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.canvas = viewer.window._qt_viewer.canvas
        self.native = self.canvas.native
        self.native.setFocus()
        QApplication.processEvents()

    def place(self, at: tuple[float, float]) -> QPoint:
        """Where a place in the world lies on the screen."""
        scene = self.canvas.view.scene
        x, y = scene.node_transform(self.canvas._scene_canvas.scene).map([at[1], at[0]])[:2]
        return QPoint(round(float(x)), round(float(y)))

    def point(self, at: tuple[float, float]) -> None:
        """Move the mouse somewhere."""
        self.viewer.mouse_over_canvas = True  # what Qt tells when a real mouse enters
        QTest.mouseMove(self.native, self.place(at) + QPoint(1, 1))
        QApplication.processEvents()
        QTest.mouseMove(self.native, self.place(at))
        QApplication.processEvents()

    def leave(self) -> None:
        """Take the mouse off the picture."""
        self.viewer.mouse_over_canvas = False

    def drag(self, *way: tuple[float, float]) -> None:
        """Draw with the left button."""
        self.point(way[0])
        QTest.mousePress(self.native, LEFT, NONE, self.place(way[0]))
        for start, end in pairwise(way):
            for share in np.linspace(0, 1, 6)[1:]:
                at = np.array(start) + share * (np.array(end) - start)
                QTest.mouseMove(self.native, self.place((at[0], at[1])))
                QApplication.processEvents()
        QTest.mouseRelease(self.native, LEFT, NONE, self.place(way[-1]))
        QApplication.processEvents()

    def click(self, at: tuple[float, float]) -> None:
        """Press and release the left button."""
        self.drag(at)

    def key(self, text: str) -> None:
        """Press a key such as ``Alt-Shift-G``."""
        *modifiers, name = text.split("-")
        pressed = NONE
        for modifier in modifiers:
            pressed |= KEYS[modifier]
        QTest.keyClick(self.native, getattr(Qt.Key, f"Key_{name}"), pressed)
        QApplication.processEvents()
