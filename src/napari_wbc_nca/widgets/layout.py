"""Parts that the dock widgets are laid out with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary, ref

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDockWidget,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMainWindow,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from napari import Viewer

ACCENT = """
QPushButton { background: #3d5fc4; color: white; font-weight: bold; font-size: 14px; }
QPushButton:hover { background: #4f73dd; }
QPushButton:disabled { background: transparent; color: gray; }
"""
"""Style of the main button, readable in napari's dark and light themes alike."""
LABEL_WIDTH = 90
"""Width in pixels that labels share, so that the fields of several forms align."""


W = TypeVar("W", bound=QWidget)


class OpenDocks(Generic[W]):
    """The open dock of one kind in each viewer; it keeps neither of them alive."""

    def __init__(self) -> None:
        self._docks: WeakKeyDictionary[Viewer, ref[W]] = WeakKeyDictionary()

    def get(self, viewer: Viewer) -> W | None:
        """Return the open dock of `viewer`; None where there is none."""
        known = self._docks.get(viewer)
        return None if known is None else known()

    def add(self, viewer: Viewer, dock: W) -> None:
        """Take `dock` for the open one of `viewer`."""
        self._docks[viewer] = ref(dock)

    def discard(self, viewer: Viewer, dock: W) -> None:
        """Forget `dock`, unless another has been opened in `viewer` since."""
        if self.get(viewer) is dock:
            del self._docks[viewer]


def with_tip(widget: W, tip: str) -> W:
    """Set the tooltip of `widget`, and return it."""
    widget.setToolTip(tip)
    return widget


class Column(QWidget):
    """Widgets one below the other, in the layout `rows`."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(0, 0, 0, 0)


def row(*widgets: QWidget) -> QWidget:
    """Put widgets side by side, from the left."""
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    layout.addStretch(1)
    return box


def columns(*widgets: QWidget) -> QWidget:
    """Put widgets side by side that share the width, but for labels."""
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        if isinstance(widget, QLabel):
            layout.addWidget(widget)
        else:
            widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            layout.addWidget(widget, 1)
    return box


def fill(parent: QWidget, first: QWidget, *others: QWidget) -> None:
    """Lay out widgets side by side in `parent`; the first one takes the room that is left."""
    layout = QHBoxLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(first, 1)
    for widget in others:
        layout.addWidget(widget)


def grid(widgets: Sequence[QWidget]) -> QWidget:
    """Put widgets in one line where there are three at most, else in two columns."""
    if len(widgets) <= 3:
        return row(*widgets)
    box = QWidget()
    layout = QGridLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    for number, widget in enumerate(widgets):
        # A wider check box would not react to a click beyond its text.
        boxed = isinstance(widget, QCheckBox)
        side = Qt.AlignmentFlag.AlignLeft if boxed else Qt.AlignmentFlag(0)
        layout.addWidget(widget, number // 2, number % 2, side)
    return box


def text_label() -> QLabel:
    """Make a label whose text wraps, and can be selected, at any width."""
    label = QLabel()
    label.setWordWrap(True)
    label.setMinimumWidth(1)  # else the longest word decides the width of the dock
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
    return label


def choice_box(texts: Iterable[str], tip: str) -> QComboBox:
    """Make a box that offers `texts` and is as wide as its column, however long they are."""
    box = QComboBox()
    box.addItems(list(texts))
    box.setToolTip(tip)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return box


def big_button(text: str, tip: str) -> QPushButton:
    """Make the button of a widget's main action."""
    button = with_tip(QPushButton(text), tip)
    button.setMinimumHeight(40)
    button.setStyleSheet(ACCENT)
    return button


def share_place(widget: QWidget, *kinds: type[QWidget]) -> None:
    """Put the dock of a widget as a tab where a dock with a widget of one of `kinds` is open."""
    own = _dock_of(widget) if isalive(widget) else None
    window = None if own is None else own.parent()
    if own is None or not isinstance(window, QMainWindow):
        return
    others = [_dock_of(other) for kind in kinds for other in window.findChildren(kind)]
    for other in others:
        if other is not None and other is not own and not other.isFloating():
            window.tabifyDockWidget(other, own)
            own.raise_()
            return


def _dock_of(widget: QWidget) -> QDockWidget | None:
    """Return the dock that a widget lies in."""
    parent: QObject | None = widget
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parent()
    return parent


class _IgnoreWheel(QObject):
    """Keeps the mouse wheel, which scrolls the dock, from changing a field it passes over."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():  # type: ignore[attr-defined]
            event.ignore()
            return True
        return False


def add_row(layout: QFormLayout, text: str, widget: QWidget) -> None:
    """Append `widget` with a label that shares its tooltip and names it to screen readers."""
    label = QLabel(text)
    label.setBuddy(widget)
    label.setMinimumWidth(LABEL_WIDTH)
    label.setToolTip(widget.toolTip())
    if not widget.accessibleName():
        widget.setAccessibleName(text)
    if isinstance(widget, QComboBox | QAbstractSpinBox):
        widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        widget.installEventFilter(_IgnoreWheel(widget))
    layout.addRow(label, widget)


def form_layout(parent: QWidget) -> QFormLayout:
    """Install on `parent` the layout that all forms share, so that their fields align."""
    layout = QFormLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setVerticalSpacing(6)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return layout


class PathRow(QWidget):
    """A path of a file or folder that can be typed or chosen; `tip` says what for."""

    def __init__(self, tip: str, *, folder: bool) -> None:
        super().__init__()
        self.folder = folder
        self.edit = QLineEdit()
        self.edit.setAccessibleName(tip)
        self.browse = QPushButton("Browse…")
        fill(self, self.edit, self.browse)
        for widget in (self, self.edit, self.browse):
            widget.setToolTip(tip)
        self.browse.clicked.connect(self._choose)

    @property
    def path(self) -> Path | None:
        """Path that is chosen; None where the field is empty."""
        text = self.edit.text().strip()
        return Path(text).expanduser() if text else None

    def _choose(self) -> None:
        if self.folder:
            found = QFileDialog.getExistingDirectory(self, self.toolTip(), self.edit.text())
        else:
            found, _ = QFileDialog.getOpenFileName(self, self.toolTip(), "", "Tables (*.csv)")
        if found:
            self.edit.setText(found)


class Section(Column):
    """A headline that shows and hides `content`, which is hidden at first."""

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__()
        self.title = title
        self.content = content
        self.headline = QPushButton()
        self.headline.setCheckable(True)
        self.headline.setStyleSheet("QPushButton { text-align: left; padding: 4px; }")
        self.rows.addWidget(self.headline)
        self.rows.addWidget(content)
        self.headline.toggled.connect(self.open)
        self.open(False)

    def open(self, shown: bool) -> None:
        """Show or hide the content."""
        self.headline.setText(f"{'▾' if shown else '▸'} {self.title}")
        self.headline.setChecked(shown)
        self.content.setVisible(shown)


class ProgressRow(QWidget):
    """A progress bar and the button that cancels; `tip` says what becomes of the computation."""

    def __init__(self, tip: str) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setAccessibleName("Progress")
        self.cancel = with_tip(QPushButton("Cancel"), tip)
        fill(self, self.bar, self.cancel)
        self.setVisible(False)

    def start(self) -> None:
        """Appear, empty: drawing a moving bar would hold up the work where a processor draws."""
        self.bar.setValue(0)
        self.cancel.setEnabled(True)
        self.setVisible(True)
