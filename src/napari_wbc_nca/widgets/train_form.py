"""Form of the Train widget: training data, the model that it starts from, and parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from napari.layers import Labels, Layer, Points
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QLineEdit, QWidget

from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.registry import finetune_params
from napari_wbc_nca.params import as_dict, fields, from_mapping
from napari_wbc_nca.widgets.base import Form
from napari_wbc_nca.widgets.layer_boxes import LayerList, ReviewedBox
from napari_wbc_nca.widgets.layout import PathRow, Section, add_row, choice_box, form_layout
from napari_wbc_nca.widgets.model_box import ModelBox
from napari_wbc_nca.widgets.params_form import ParamsForm
from napari_wbc_nca.widgets.worker import report

if TYPE_CHECKING:
    from pathlib import Path

LABELS, POINTS, FOLDER = "Labels layers", "Points layers", "a folder"
FINETUNE, SCRATCH = "by fine-tuning a model", "from scratch"
MAIN = ("epochs", "patience", "validation_share", "exclude_border_cells", "device")
"""Parameters that are always shown; the others stand under Advanced."""


class TrainForm(Form):
    """Everything that can be chosen before a training."""

    method_changed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.data = choice_box((LABELS, POINTS, FOLDER), "What is learnt from")
        self.labels = LayerList(Labels, "Corrected cells, with classes among their features")
        self.points = LayerList(Points, "One point on each cell")
        self.reviewed = ReviewedBox(
            "What was reviewed in full; pixels outside are ignored in training"
        )
        self.folder = PathRow("Folder of labelled pictures, an export, or a .toml", folder=True)
        self.start = choice_box((FINETUNE, SCRATCH), "Where the training begins")
        self.model = ModelBox()
        self.methods = choice_box((), "Method of the new model")
        for name, method in registry.METHODS.items():
            self.methods.addItem(method.title, name)
        self.name = QLineEdit("my-model")
        self.name.setToolTip("Name under which the finished model is offered")
        self.restart = QCheckBox("Forget the stopped training of this name")
        self.restart.setToolTip("Begin at the first epoch, instead of where it stopped")
        self.form: ParamsForm | None = None
        self._rows: dict[str, Sequence[QWidget]] = {}
        self._fields = QWidget()
        self._arrange()
        for box in (self.data, self.start):
            box.currentIndexChanged.connect(self._show_rows)
        for box in (self.start, self.model.names, self.methods):
            box.currentIndexChanged.connect(self._show_params)
        self._show_rows()
        self._show_params()

    @property
    def source(self) -> str:
        """What is learnt from."""
        return str(self.data.currentText())

    @property
    def start_model(self) -> str:
        """Name or file of the model that is fine-tuned; empty where none is."""
        return self.model.model if self.start.currentText() == FINETUNE else ""

    @property
    def method(self) -> str:
        """Name of the method that is trained."""
        return self.model.method if self.start_model else str(self.methods.currentData())

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the viewer's layers."""
        known = list(layers)
        for box in (self.labels, self.points, self.reviewed):
            box.offer(known)

    def params(self) -> Any:
        """Training parameters that are chosen."""
        values = {} if self.form is None else self.form.values()
        return from_mapping(registry.get(self.method).train_params, values)

    def path(self) -> Path:
        """Data to be read.

        Raises
        ------
        ValueError
            When none is chosen.
        """
        if self.folder.path is None:
            raise ValueError("No folder is chosen. Choose one of labelled pictures, or an export.")
        return self.folder.path

    def _arrange(self) -> None:
        form = form_layout(self._fields)
        for name, text, widget in (
            ("data", "Learn from", self.data),
            ("labels", "Labels", self.labels),
            ("points", "Points", self.points),
            ("reviewed", "Reviewed", self.reviewed),
            ("folder", "Folder", self.folder),
            ("start", "Train", self.start),
            ("model", "Model", self.model),
            ("methods", "Method", self.methods),
            ("name", "Name", self.name),
        ):
            add_row(form, text, widget)
            self._rows[name] = (form.labelForField(widget), widget)
        form.addRow("", self.restart)
        self._main = form_layout(main := QWidget())
        self.rows.addWidget(self._fields)
        self.rows.addWidget(main)
        self._advanced = form_layout(details := QWidget())
        self.rows.addWidget(Section("Advanced", details))

    def _show_params(self, index: int = 0) -> None:
        """Rows for the parameters of the method that is chosen, at what suits the beginning."""
        method = self.method
        cls = registry.get(method).train_params
        names = [field.name for field in fields(cls)]
        self.form = ParamsForm(cls, names)
        for name, value in as_dict(self._suggested()).items():
            self.form.widgets[name].value = value
        for layout, some in (
            (self._main, [name for name in MAIN if name in names]),
            (self._advanced, [name for name in names if name not in MAIN]),
        ):
            while layout.rowCount():
                layout.removeRow(0)
            self.form.add_to(layout, some)
        self.method_changed.emit(method)

    def _suggested(self) -> Any:
        """Parameters that suit what is begun with."""
        if self.start_model:
            try:
                return finetune_params(model_store.resolve(self.start_model))
            except (ValueError, OSError) as error:
                report(error)
        return registry.get(self.method).train_params()

    def _show_rows(self, index: int = 0) -> None:
        finetune, source = bool(self.start_model), self.source
        shown = {
            "labels": source == LABELS,
            "points": source == POINTS,
            "reviewed": source == LABELS,
            "folder": source == FOLDER,
            "model": finetune,
            "methods": not finetune,
        }
        for name, on in shown.items():
            for widget in self._rows[name]:
                widget.setVisible(on)
