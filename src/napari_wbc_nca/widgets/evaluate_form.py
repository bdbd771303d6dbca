"""Form of the Evaluate widget: one model or two, the known cells, and criteria."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari.layers import Labels, Layer
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_wbc_nca.evaluation.params import EvaluateParams
from napari_wbc_nca.widgets.base import Form
from napari_wbc_nca.widgets.layer_boxes import LayerList, ReviewedBox
from napari_wbc_nca.widgets.layout import PathRow, Section, add_row, choice_box, form_layout
from napari_wbc_nca.widgets.model_box import ModelBox
from napari_wbc_nca.widgets.params_form import ParamsForm

if TYPE_CHECKING:
    from pathlib import Path

LABELS, FOLDER = "Labels layers", "a folder"
OPTIONS = ("kind", "classes", "types", "overlap", "worst")


class EvaluateForm(Form):
    """Everything that can be chosen before models are measured."""

    def __init__(self) -> None:
        super().__init__()
        self.data = choice_box((LABELS, FOLDER), "What the models are measured against")
        self.labels = LayerList(Labels, "Corrected cells: they count as true")
        self.reviewed = ReviewedBox(
            "What was reviewed in full; what is found elsewhere does not count"
        )
        self.folder = PathRow("Folder of pictures with masks, labels or an export", folder=True)
        self.model, self.other = ModelBox(), ModelBox()
        self.both = QCheckBox("Compare with")
        self.both.setToolTip("Measure a second model on the same pictures")
        self.output = PathRow("Folder for tables and plots", folder=True)
        self.params = ParamsForm(EvaluateParams, OPTIONS)
        self._rows = {}
        fields = QWidget()
        form = form_layout(fields)
        for name, text, widget in (
            ("data", "Known cells", self.data),
            ("labels", "Labels", self.labels),
            ("reviewed", "Reviewed", self.reviewed),
            ("folder", "Folder", self.folder),
            ("model", "Model", self.model),
        ):
            add_row(form, text, widget)
            self._rows[name] = (form.labelForField(widget), widget)
        form.addRow(self.both, self.other)
        add_row(form, "Write to", self.output)
        self.rows.addWidget(fields)
        details = QWidget()
        self.params.add_to(form_layout(details), OPTIONS)
        self.rows.addWidget(Section("Options", details))
        self.data.currentIndexChanged.connect(self._show_rows)
        self.both.toggled.connect(self._show_rows)
        self._show_rows()

    @property
    def source(self) -> str:
        """What the models are measured against."""
        return str(self.data.currentText())

    def models(self) -> tuple[str, ...]:
        """Names or files of the models that are measured: one, or two.

        Raises
        ------
        ValueError
            When the same model is chosen twice.
        """
        if not self.both.isChecked():
            return (self.model.model,)
        if self.model.model == self.other.model:
            raise ValueError("Both models are the same. Choose another to compare with.")
        return self.model.model, self.other.model

    def path(self) -> Path:
        """Data to be read.

        Raises
        ------
        ValueError
            When none is chosen.
        """
        if self.folder.path is None:
            raise ValueError("No folder is chosen. Choose one of pictures whose cells are known.")
        return self.folder.path

    def offer(self, layers: Iterable[Layer]) -> None:
        """Offer the viewer's layers."""
        offered = list(layers)
        self.labels.offer(offered)
        self.reviewed.offer(offered)

    def _show_rows(self, value: object = None) -> None:
        layers = self.source == LABELS
        shown = {"labels": layers, "reviewed": layers, "folder": not layers}
        for name, on in shown.items():
            for widget in self._rows[name]:
                widget.setVisible(on)
        self.other.setVisible(self.both.isChecked())
