"""The Evaluate widget: how well a model does on known cells, or which of two does better."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from qtpy.QtWidgets import (
    QCheckBox,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QWidget,
)

from napari_wbc_nca.evaluation.params import EvaluateParams
from napari_wbc_nca.params import check, from_mapping
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.widgets.base import Computation, RunWidget
from napari_wbc_nca.widgets.known_cells import FOLDER, LABELS, KnownCellsForm
from napari_wbc_nca.widgets.layout import PathRow, Section, add_row, big_button, form_layout
from napari_wbc_nca.widgets.model_box import ModelBox
from napari_wbc_nca.widgets.params_form import ParamsForm
from napari_wbc_nca.widgets.worker import preload, report

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from napari import Viewer

    from napari_wbc_nca.datasets.samples import Sample
    from napari_wbc_nca.evaluation.report import Report


OPTIONS = ("kind", "classes", "types", "overlap", "worst")


class EvaluateForm(KnownCellsForm):
    """Everything that can be chosen before models are measured."""

    def __init__(self) -> None:
        super().__init__("Known cells", (LABELS, FOLDER), "cells found outside do not count")
        self.model, self.other = ModelBox(), ModelBox()
        self.both = QCheckBox("Compare with")
        self.both.setToolTip("Measure a second model on the same pictures")
        self.output = PathRow("Folder for tables and plots", folder=True)
        self.params = ParamsForm(EvaluateParams, OPTIONS)
        add_row(self.fields, "Model", self.model)
        self.fields.addRow(self.both, self.other)
        add_row(self.fields, "Write to", self.output)
        details = QWidget()
        self.params.add_to(form_layout(details), OPTIONS)
        self.rows.addWidget(Section("Options", details))
        self.both.toggled.connect(self.other.setVisible)
        self.other.setVisible(False)

    def models(self) -> tuple[str, ...]:
        """Return the names or files of the models to measure: one, or two that differ."""
        if not self.both.isChecked():
            return (self.model.model,)
        if self.model.model == self.other.model:
            raise ValueError("Both models are the same. Choose another to compare with.")
        return self.model.model, self.other.model


_HEIGHT = 260
"""Of the tables and pictures, in pixels."""


class EvaluateWidget(RunWidget):
    """Measures a model, or two side by side, against known cells."""

    form: EvaluateForm

    def __init__(self, napari_viewer: Viewer) -> None:
        button = big_button("Evaluate", "Segment the pictures, and compare with known cells")
        super().__init__(napari_viewer, EvaluateForm(), button, "Stop; nothing is written")
        self.tabs = QTabWidget()
        self.tabs.setVisible(False)
        self.tabs.setMinimumWidth(1)
        self.save = QPushButton("Save…")
        self.save.setToolTip("Write tables (CSV) and plots (PNG, SVG) into the folder above")
        self.save.setVisible(False)
        self.result: Report | None = None
        self.add(self.form, self.button, self.progress, self.status, self.tabs, self.save)
        self.save.clicked.connect(self.write)
        self.form.offer(self.viewer.layers)
        preload()

    def prepare(self) -> Computation:
        """Return the measurement that is chosen."""
        models = self.form.models()
        params = check(from_mapping(EvaluateParams, self.form.params.values()))
        steps = measure(models, self.form.samples(self.viewer.layers), params)
        return Computation(steps, self._on_measured, "Loading the models")

    def write(self) -> None:
        """Write tables and plots of what was measured last."""
        try:
            self.status.setText(self._write_report())
        except (ValueError, OSError) as error:
            report(error)

    def _write_report(self) -> str:
        from napari_wbc_nca.evaluation.report import write_report

        folder, result = self.form.output.path, self.result
        if folder is None or result is None:
            raise ValueError("No folder is chosen. Choose where tables and plots are written.")
        write_report(result, folder)
        return f"Tables and plots are in {folder}"

    def _on_measured(self, result: Report) -> str:
        self.result = result
        while self.tabs.count():
            self.tabs.removeTab(0)
        for name, page in _pages(result).items():
            page.setMinimumHeight(_HEIGHT)
            self.tabs.addTab(page, name)
        self.tabs.setVisible(True)
        self.save.setVisible(True)
        text = "\n".join([result.headline(), *result.notes])
        if self.form.output.path is None:
            return text
        self.status.setText(text)  # stays where nothing can be written
        return f"{text}\n{self._write_report()}"


def measure(
    models: Sequence[str], data: Path | list[Sample], params: EvaluateParams
) -> Generator[Progress, None, Any]:
    """Measure one model, or compare two; runs in a thread."""
    from napari_wbc_nca.evaluation import evaluate
    from napari_wbc_nca.io import model_store

    yield Progress(0, 1, "Reading the data")
    known = [model_store.resolve(model) for model in models]
    return (yield from evaluate.run(known, data, params))


def _pages(result: Report) -> dict[str, QWidget]:
    import pandas as pd

    from napari_wbc_nca.evaluation import plots
    from napari_wbc_nca.evaluation.cells import CellEvaluation
    from napari_wbc_nca.evaluation.evaluate import Comparison

    figures: dict[str, Figure] = {}
    if isinstance(result, CellEvaluation):
        across = result.summary.set_index("projection").T.rename_axis("figure").reset_index()
        tables = {"Figures": across, "Classes": result.classes, "Images": result.images}
        if len(result.confusion):
            tables["Confusion"] = result.confusion
        figures["Scores"] = plots.plot_scores(result.cells)
        if lowest := next(iter(result.worst.values()), []):
            figures["Worst"] = plots.plot_cells(lowest)
    elif isinstance(result, Comparison):
        tables = {"Side by side": result.summary, "Cells": result.cells}
        for name in ("classes", "images", "confusion"):  # of both models, one below the other
            parts = [getattr(one, name) for one in result.evaluations]
            both = pd.concat(parts, keys=result.names, names=["model"]).reset_index("model")
            tables[name.capitalize()] = both.drop(columns="projection", errors="ignore")
        if result.disagreements:
            figures["Disagreements"] = plots.plot_disagreements(result.disagreements)
    else:
        tables = {name.capitalize(): rows for name, rows in result.tables().items()}
    pages: dict[str, QWidget] = {name: table(rows) for name, rows in tables.items()}
    for name, figure in figures.items():
        pages[name] = FigureCanvasQTAgg(figure)  # type: ignore[no-untyped-call]
    return pages


def table(values: pd.DataFrame) -> QTableWidget:
    """Make a table of values that can be selected, but not changed."""
    shown = QTableWidget(len(values), len(values.columns))
    shown.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    shown.setHorizontalHeaderLabels([str(name) for name in values.columns])
    shown.verticalHeader().setVisible(False)
    for row, items in enumerate(values.itertuples(index=False)):
        for column, value in enumerate(items):
            shown.setItem(row, column, QTableWidgetItem(_text(value)))
    shown.resizeColumnsToContents()
    return shown


def _text(value: object) -> str:
    """Format a share with three decimals, and a count, which is above one, with none."""
    if not isinstance(value, float):
        return str(value)
    if isnan(value):
        return "–"
    return f"{value:.0f}" if abs(value) > 1 and value.is_integer() else f"{value:.3f}"
