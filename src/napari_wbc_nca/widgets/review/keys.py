"""Keys of the review: plain ones of the dock, and actions of Labels layers for the canvas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from napari import current_viewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QTableView, QTableWidget, QWidget

from napari_wbc_nca.widgets.correction_keys import bind_key, keys_of
from napari_wbc_nca.widgets.layout import OpenDocks

if TYPE_CHECKING:
    from napari.layers import Labels
    from qtpy.QtGui import QKeyEvent


@dataclass(frozen=True)
class ReviewKey:
    """One key of a review, and what it calls.

    Attributes
    ----------
    key
        Text of the plain key, which works while the dock has the focus.
    name
        Method of the dock that it calls, and name of the action for the canvas.
    canvas
        Key on the canvas; empty where a correction has it.
    tip
        What it does.
    """

    key: str
    name: str
    canvas: str
    tip: str


# Alt-P opens napari's menu Plugins, Alt-Space the window's own menu: they get others.
KEYS = (
    ReviewKey("n", "next_doubtful", "Alt-N", "Next doubtful cell"),
    ReviewKey("p", "previous_doubtful", "Alt-Shift-N", "Previous doubtful cell"),
    ReviewKey(" ", "confirm", "Alt-Enter", "Confirm the cell, or that none is there, and go on"),
    ReviewKey("u", "unsure", "Alt-U", "The type is unsure, go on"),
    ReviewKey("x", "reject", "Alt-X", "Leave the cell out of the count, go on"),
    ReviewKey("d", "delete", "", "Delete the cell and go on"),
    ReviewKey("\r", "add_here", "", "Add the likely missed cell that is shown"),
    ReviewKey("a", "add_cell", "Alt-A", "Add the likely missed cell, or the one clicked next"),
    ReviewKey("r", "redraw", "Alt-R", "Redraw the cell that is clicked, or drawn around, next"),
    ReviewKey("?", "show_keys", "", "Show or hide this list"),
)
PLAIN = {item.key: item.name for item in KEYS}
"""Text of a plain key to the method of the dock."""

_NAMED = {" ": "Space", "\r": "Enter"}
_FREE = Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier


def plain_text(event: QKeyEvent) -> str:
    """Return the text of a key in lower case; empty where Ctrl or Alt is held."""
    held = event.modifiers() & ~_FREE
    return str(event.text()).lower() if held == Qt.KeyboardModifier.NoModifier else ""


class KeysTableView(QTableView):
    """Table that leaves plain keys to the dock, where Qt would search for rows by them."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Pass a plain key on."""
        if plain_text(event).isprintable() and plain_text(event):
            event.ignore()
        else:
            super().keyPressEvent(event)


class KeysTableWidget(QTableWidget):
    """As `KeysTableView`, for a table of items."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Pass a plain key on."""
        if plain_text(event).isprintable() and plain_text(event):
            event.ignore()
        else:
            super().keyPressEvent(event)


DOCKS: OpenDocks[QWidget] = OpenDocks()
"""Open Review dock of each viewer."""


def cheat_sheet(classes: Sequence[str]) -> str:
    """List all keys as rich text, those of the canvas in brackets."""
    lines = []
    for item in KEYS:
        plain = _NAMED.get(item.key, item.key.upper())
        name = f"review_{item.name}" if item.canvas else item.name
        canvas = keys_of(name) if item.canvas or item.name == "delete" else ""
        lines.append(f"<b>{plain}</b>{f' [{canvas}]' if canvas else ''} {item.tip}")
    for number, name in enumerate(classes[:9], start=1):
        lines.append(f"<b>{number}</b> [{keys_of(f'class_{number}')}] {name}")
    return "<br>".join(lines)


@cache
def bind_review_keys() -> None:
    """Register the actions for the canvas once; napari's settings list them."""
    for item in KEYS:
        if item.canvas:
            bind_key(f"review_{item.name}", item.canvas, f"Review: {item.tip}", _command(item.name))


def _command(name: str) -> Callable[[Any], None]:
    def run(layer: Labels) -> None:
        viewer = current_viewer()
        dock = None if viewer is None else DOCKS.get(viewer)
        if dock is not None:
            getattr(dock, name)()
        elif viewer is not None:
            viewer.status = "Open Layers ▸ Segment ▸ Review cells first"

    return run
