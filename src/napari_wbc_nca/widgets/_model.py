"""Chooses a model: a bundled one by name, or any checkpoint file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from napari_wbc_nca.io import zoo
from napari_wbc_nca.widgets._errors import report

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint

FILES = "Checkpoints (*.safetensors *.pt *.pth);;All files (*)"


class ModelBox(QWidget):
    """Names of bundled models, and a button that opens a file."""

    def __init__(self) -> None:
        super().__init__()
        self.names = QComboBox()
        self.names.setAccessibleName("Model")
        self.names.setToolTip("Trained network that finds, segments and types the cells")
        self.names.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for name in zoo.names():
            self.names.addItem(name, name)
        self.open_button = QPushButton("Open…")
        self.open_button.setToolTip("Take a checkpoint file that you trained or were given")
        self.open_button.clicked.connect(self._on_open)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.names, 1)
        layout.addWidget(self.open_button)

    @property
    def model(self) -> str:
        """Name or file of the model that is chosen; empty where there is none."""
        return self.names.currentData() or ""

    def open(self, path: str) -> None:
        """Offer and choose the checkpoint in the file `path`; say so when it is none."""
        try:
            checkpoint = self._read(path)
        except (ValueError, OSError) as error:
            report(error)
            return
        at = self.names.findData(path)
        if at < 0:
            self.names.addItem(Path(path).name, path)
            at = self.names.count() - 1
            self.names.setItemData(at, describe(checkpoint, path), Qt.ItemDataRole.ToolTipRole)
        self.names.setCurrentIndex(at)

    def _on_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a checkpoint", "", FILES)
        if path:
            self.open(path)

    def _read(self, path: str) -> Checkpoint:
        QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
        try:
            return zoo.resolve(path)
        finally:
            QApplication.restoreOverrideCursor()


def describe(checkpoint: Checkpoint, path: str) -> str:
    """Text that tells one opened file from another."""
    return f"{checkpoint.method}: {', '.join(checkpoint.classes)}\n{path}"
