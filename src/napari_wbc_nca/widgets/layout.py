"""Small parts that the dock widgets are laid out with."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

ACCENT = """
QPushButton { background: #3d5fc4; color: white; font-weight: bold; font-size: 14px; }
QPushButton:hover { background: #4f73dd; }
QPushButton:disabled { background: transparent; color: gray; }
"""
"""Readable in napari's dark and light themes alike."""


def row(*widgets: QWidget) -> QWidget:
    """Widgets side by side, from the left."""
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    layout.addStretch(1)
    return box


def grid(widgets: Sequence[QWidget]) -> QWidget:
    """Widgets in one line where there are three at most, else in two columns."""
    if len(widgets) <= 3:
        return row(*widgets)
    box = QWidget()
    layout = QGridLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    for number, widget in enumerate(widgets):
        layout.addWidget(widget, number // 2, number % 2)
    return box


class Column(QWidget):
    """Widgets one below the other.

    Attributes
    ----------
    rows
        Layout that takes them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(0, 0, 0, 0)


def big_button(text: str, tip: str) -> QPushButton:
    """Button of a widget's main action."""
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setMinimumHeight(40)
    button.setStyleSheet(ACCENT)
    return button


class Section(QWidget):
    """A headline that shows and hides what stands below it.

    Parameters
    ----------
    title
        Text of the headline.
    content
        Widget that is hidden at first.
    """

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__()
        self.title = title
        self.content = content
        self.headline = QPushButton()
        self.headline.setCheckable(True)
        self.headline.setStyleSheet("QPushButton { text-align: left; padding: 4px; }")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.headline)
        layout.addWidget(content)
        self.headline.toggled.connect(self.open)
        self.open(False)

    def open(self, shown: bool) -> None:
        """Show or hide the content."""
        self.headline.setText(f"{'▾' if shown else '▸'} {self.title}")
        self.headline.setChecked(shown)
        self.content.setVisible(shown)


class ProgressRow(QWidget):
    """A progress bar and the button that cancels."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setAccessibleName("Progress")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop, and keep the cells that are finished")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.bar, 1)
        layout.addWidget(self.cancel)
        self.setVisible(False)

    def show_share(self, share: float) -> None:
        """Show the finished part of the work, 0–1."""
        self.bar.setRange(0, 1000)
        self.bar.setValue(round(1000 * share))

    def start(self) -> None:
        """Appear, empty.

        A moving bar would draw the whole window again and again, and where a processor draws it,
        hold up the work for most of the time.
        """
        self.show_share(0)
        self.cancel.setEnabled(True)
        self.setVisible(True)
