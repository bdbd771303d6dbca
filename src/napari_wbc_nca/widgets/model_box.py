"""Box that chooses a model: a bundled one by name, or any checkpoint file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QPushButton, QSizePolicy, QWidget

from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods import registry
from napari_wbc_nca.widgets.layout import fill
from napari_wbc_nca.widgets.worker import report

if TYPE_CHECKING:
    from napari_wbc_nca.types import Checkpoint

FILES = "Checkpoints (*.safetensors *.pt *.pth);;All files (*)"


class ModelNames(QComboBox):
    """Names of models; those that were added meanwhile are offered when the list is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Model")
        self.setToolTip("Trained network that finds, segments and types the cells")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.offer()
        self.setCurrentText("wbc-smear")  # where it is there

    def offer(self) -> None:
        """Append the names that are not offered yet."""
        for name in model_store.names():
            if self.findData(name) < 0:
                self.addItem(name, name)

    def showPopup(self) -> None:
        """Open the list."""
        self.offer()
        super().showPopup()


class ModelBox(QWidget):
    """Names of bundled models, and a button that opens a file."""

    def __init__(self) -> None:
        super().__init__()
        self.names = ModelNames()
        self._known: dict[str, Checkpoint] = {}
        self.open_button = QPushButton("Open…")
        self.open_button.setToolTip("Take a checkpoint file that you trained or were given")
        self.open_button.clicked.connect(self._on_open)
        fill(self, self.names, self.open_button)

    @property
    def model(self) -> str:
        """Name or file of the model that is chosen; empty where there is none."""
        return self.names.currentData() or ""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Model that is chosen, without its weights; None where it cannot be read."""
        if self.model and self.model not in self._known:
            self._read(self.model)
        return self._known.get(self.model)

    @property
    def method(self) -> str:
        """Method of the model that is chosen; the first there is where it cannot be read."""
        return self.checkpoint.method if self.checkpoint else next(iter(registry.METHODS))

    @property
    def cell(self) -> float:
        """Cell size of the model that is chosen, see :func:`cell_size`."""
        return 0.0 if self.checkpoint is None else cell_size(self.checkpoint)

    def open(self, path: str) -> None:
        """Offer and choose the checkpoint in the file `path`; say so when it is none."""
        if self._read(path):
            self.names.setCurrentIndex(self.names.findData(path))

    def _on_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a checkpoint", "", FILES)
        if path:
            self.open(path)

    def _read(self, model: str) -> bool:
        """Read and offer the checkpoint of a name or file, or report why it cannot be read."""
        QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
        try:
            checkpoint = model_store.resolve(model)
        except (ValueError, OSError) as error:
            report(error)
            return False
        finally:
            QApplication.restoreOverrideCursor()
        if self.names.findData(model) < 0:
            self.names.addItem(Path(model).name, model)
        self._known[model] = replace(checkpoint, weights={})
        tip = f"{checkpoint.method}: {', '.join(checkpoint.classes)}\n{model}"
        self.names.setItemData(self.names.findData(model), tip, Qt.ItemDataRole.ToolTipRole)
        return True


def cell_size(checkpoint: Checkpoint) -> float:
    """Return the diameter in µm of a model's cells; 0 where a pixel size does not give it."""
    scaled = checkpoint.card.get("scale", "cells") == "cells"
    known = checkpoint.card.get("pixel_size_known", scaled)
    return checkpoint.diameter * checkpoint.pixel_size if known else 0.0
