"""List of images with their thumbnails and how far each is reviewed; drawn where it is seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QListView

from napari_wbc_nca.widgets.images.thumbnails import SIZE, Thumbnails

if TYPE_CHECKING:
    from napari_wbc_nca.workflow.image_folder import ImageFolder, ReviewState

ModelIndex = QModelIndex | QPersistentModelIndex
_NOWHERE = QModelIndex()
_ROLE = Qt.ItemDataRole
FAILED, DONE = QColor("#e07b6a"), QColor("#5fb98a")


class ImagesModel(QAbstractListModel):
    """Images of a folder, in order.

    Attributes
    ----------
    paths
        The images.
    states
        How far they are reviewed; an image without one is being looked up.
    """

    states_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[Path] = []
        self.states: dict[Path, ReviewState] = {}
        self.thumbnails = Thumbnails(self)
        self.thumbnails.ready.connect(self._on_changed)

    def show_folder(self, folder: ImageFolder | None) -> None:
        """List other images."""
        self.beginResetModel()
        self.paths = [] if folder is None else list(folder.files)
        self.states = {}
        self.thumbnails.forget()
        self.endResetModel()

    def set_state(self, path: Path, state: ReviewState) -> None:
        """Show how far an image is reviewed."""
        self.states[path] = state
        self._on_changed(path)
        self.states_changed.emit()

    def rowCount(self, parent: ModelIndex = _NOWHERE) -> int:
        """Return the number of images."""
        return 0 if parent.isValid() else len(self.paths)

    def data(self, index: ModelIndex, role: int = _ROLE.DisplayRole) -> Any:
        """Return name and state, the thumbnail, the path as a tip, or the colour."""
        path = self.paths[index.row()]
        state = self.states.get(path)
        if role == _ROLE.DisplayRole:
            return f"{path.name}\n{'…' if state is None else state.text}"
        if role == _ROLE.DecorationRole:
            return self.thumbnails.get(path)
        if role == _ROLE.ToolTipRole:
            return f"{path}\n{'' if state is None else state.text}".strip()
        if role == _ROLE.ForegroundRole and state is not None:
            return FAILED if state.failure or state.missing else DONE if state.done else None
        return None

    def _on_changed(self, path: Path) -> None:
        if path in self.paths:
            at = self.index(self.paths.index(path), 0)
            self.dataChanged.emit(at, at)


class ImageList(QListView):
    """View of :class:`ImagesModel`."""

    def __init__(self) -> None:
        super().__init__()
        self.images = ImagesModel()
        self.setModel(self.images)
        self.setUniformItemSizes(True)
        self.setIconSize(QSize(SIZE, SIZE))
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(200)
        self.setAccessibleName("Images")

    def choose(self, row: int) -> None:
        """Make a row the current one, and show it."""
        self.setCurrentIndex(self.images.index(row, 0))
