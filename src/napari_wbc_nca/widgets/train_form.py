"""Form of the Train widget: training data, the model that it starts from, and parameters."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QLineEdit, QWidget

from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.registry import finetune_params
from napari_wbc_nca.params import as_dict, fields, from_mapping
from napari_wbc_nca.widgets.known_cells import FOLDER, LABELS, POINTS, KnownCellsForm
from napari_wbc_nca.widgets.layout import Section, choice_box, form_layout
from napari_wbc_nca.widgets.model_box import ModelBox
from napari_wbc_nca.widgets.params_form import ParamsForm
from napari_wbc_nca.widgets.worker import report

FINETUNE, SCRATCH = "by fine-tuning a model", "from scratch"
MAIN = ("epochs", "patience", "validation_share", "exclude_border_cells", "device")
"""Parameters that are always shown; the others stand under Advanced."""


class TrainForm(KnownCellsForm):
    """Everything that can be chosen before a training."""

    method_changed = Signal(str)

    def __init__(self) -> None:
        sources = (LABELS, POINTS, FOLDER)
        super().__init__("Learn from", sources, "pixels outside are ignored in training")
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
        self._arrange()
        self.start.currentIndexChanged.connect(self._show_start)
        for box in (self.start, self.model.names, self.methods):
            box.currentIndexChanged.connect(self._show_params)
        self._show_start()
        self._show_params()

    @property
    def start_model(self) -> str:
        """Name or file of the model that is fine-tuned; empty where none is."""
        return self.model.model if self.start.currentText() == FINETUNE else ""

    @property
    def method(self) -> str:
        """Name of the method that is trained."""
        return self.model.method if self.start_model else str(self.methods.currentData())

    def params(self) -> Any:
        """Training parameters that are chosen."""
        values = {} if self.form is None else self.form.values()
        return from_mapping(registry.get(self.method).train_params, values)

    def _arrange(self) -> None:
        for name, text, widget in (
            ("start", "Train", self.start),
            ("model", "Model", self.model),
            ("methods", "Method", self.methods),
            ("name", "Name", self.name),
        ):
            self.add_field(self.fields, name, text, widget)
        self.fields.addRow("", self.restart)
        self._main = form_layout(main := QWidget())
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

    def _show_start(self, index: int = 0) -> None:
        finetune = bool(self.start_model)
        self.show_fields({"model": finetune, "methods": not finetune})
