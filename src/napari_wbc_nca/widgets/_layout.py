"""Small parts that the dock widgets are laid out with."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QWidget
from superqt import QCollapsible

from napari_wbc_nca.widgets._forms import ParamsForm, form_layout


def row(*widgets: QWidget) -> QWidget:
    """Widgets side by side, from the left."""
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    layout.addStretch(1)
    return box


def big_button(text: str, tip: str) -> QPushButton:
    """Button of a widget's main action."""
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setMinimumHeight(40)
    font = button.font()
    font.setBold(True)
    font.setPointSizeF(font.pointSizeF() * 1.15)
    button.setFont(font)
    return button


def collapsed(title: str, form: ParamsForm, names: tuple[str, ...]) -> QCollapsible:
    """Rows of `form` that are shown on request."""
    section = QCollapsible(title, expandedIcon="▾", collapsedIcon="▸")
    section.setDuration(0)
    content = QWidget()
    form.add_to(form_layout(content), names)
    section.setContent(content)
    section.collapse(animate=False)
    return section


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
        """Appear, busy: how long it takes is not known yet."""
        self.bar.setRange(0, 0)
        self.cancel.setEnabled(True)
        self.setVisible(True)
