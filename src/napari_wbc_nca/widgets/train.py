"""The Train widget: corrected cells in, a better model out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QApplication, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_wbc_nca.datasets.masks import sample_of
from napari_wbc_nca.io import model_store
from napari_wbc_nca.widgets.base import ViewerWidget, report
from napari_wbc_nca.widgets.export_items import all_items
from napari_wbc_nca.widgets.layout import ProgressRow, big_button
from napari_wbc_nca.widgets.loss_curves import Curves
from napari_wbc_nca.widgets.model_box import ModelNames
from napari_wbc_nca.widgets.run import preload
from napari_wbc_nca.widgets.train_form import FOLDER, LABELS, TrainForm
from napari_wbc_nca.widgets.train_run import Noted, Order, learn, pointed
from napari_wbc_nca.widgets.worker import Clock, Job

if TYPE_CHECKING:
    from pathlib import Path

    from napari import Viewer

    from napari_wbc_nca.datasets.samples import Sample
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint


class TrainWidget(ViewerWidget):
    """Trains a model from layers or a folder, from scratch or from another model.

    Parameters
    ----------
    napari_viewer
        Viewer whose layers are offered.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self.form = TrainForm()
        self.button = big_button("Train", "Learn from the cells, and keep the model by its name")
        self.progress = ProgressRow()
        self.progress.cancel.setToolTip("Stop; finished epochs are kept, to go on from later")
        self.pause = QPushButton("Pause")
        self.pause.setToolTip("Wait, so that the computer is free for other work")
        self.pause.setVisible(False)
        self.curves = Curves()
        self.notes, self.status = _text(), _text()
        self._job: Job | None = None
        self._clock, self._epochs, self._name = Clock(), 0, ""
        layout = QVBoxLayout(self)
        parts: tuple[QWidget, ...] = (self.form, self.button, self.progress, self.pause)
        parts += (self.curves, self.notes, self.status)
        for part in parts:
            layout.addWidget(part)
        layout.addStretch(1)
        self.button.clicked.connect(self.run)
        self.pause.clicked.connect(self.toggle)
        self.progress.cancel.clicked.connect(self.cancel)
        self.form.name.textChanged.connect(self._on_name)
        self.form.offer(self.viewer.layers)
        self._on_name()
        preload()

    @property
    def running(self) -> bool:
        """Whether a training is going on, or paused."""
        return self._job is not None and self._job.running

    def run(self) -> None:
        """Train as is chosen."""
        try:
            order = self._order()
        except (ValueError, OSError) as error:
            report(error)
            return
        self._name, self._epochs, self._clock = order.name, 0, Clock()
        self.curves.start()
        self._job = Job(learn(order), self)
        self._job.yielded.connect(self._on_step)
        self._job.returned.connect(self._on_trained)
        self._job.cancelled.connect(self._on_cancelled)
        self._job.failed.connect(self._on_failed)
        self._set_running(True, "Reading the data…")
        self._job.start()

    def toggle(self) -> None:
        """Pause, or go on."""
        if self._job is None:
            return
        paused = self.pause.text() == "Pause"
        (self._job.pause if paused else self._job.resume)()
        self.pause.setText("Resume" if paused else "Pause")
        if paused:
            self.status.setText("Paused.")

    def cancel(self) -> None:
        """Stop; what was learnt until the last epoch is kept."""
        if self._job is not None:
            self.progress.cancel.setEnabled(False)
            self._job.cancel()

    def on_layers(self) -> None:
        """Offer the layers there are now."""
        self.form.offer(self.viewer.layers)

    def on_close(self) -> None:
        """Stop what is going on."""
        self.cancel()

    def _order(self) -> Order:
        name = self.form.name.text().strip()
        model_store.check_name(name)
        return Order(
            name,
            self.form.method,
            self.form.params(),
            self._data(),
            self.form.start_model,
            self.form.anew.isChecked(),
        )

    def _data(self) -> list[Sample] | Path:
        layers = list(self.viewer.layers)
        if self.form.source == FOLDER:
            return self.form.path()
        if self.form.source == LABELS:
            chosen, regions = self.form.labels.chosen(), self.form.reviewed.regions()
            found = [sample_of(one) for one in all_items(chosen, layers, regions)]
        else:
            chosen = self.form.points.chosen()
            found = [sample for points in chosen for sample in pointed(points, layers)]
        if not found:
            raise ValueError(
                f"There is nothing to learn from in {self.form.source}. Segment an image and "
                "correct the cells, mark them, or choose a folder."
            )
        return found

    def _set_running(self, running: bool, text: str) -> None:
        self.button.setEnabled(not running)
        self.form.setEnabled(not running)
        self.pause.setVisible(running)
        self.pause.setText("Pause")
        self.status.setText(text)
        if running:
            self.notes.setText("")
            self.progress.start()
        else:
            self.progress.setVisible(False)

    def _on_step(self, step: Progress | Noted) -> None:
        if isinstance(step, Noted):
            self.notes.setText("\n".join(step.notes))
            return
        share = step.done / step.total if step.total else 0.0
        self.progress.show_share(share)
        if step.values:
            self._epochs = step.done
            self.curves.add(step.done, step.values)
        if self.pause.text() == "Pause" and self.progress.cancel.isEnabled():
            left = self._clock.remaining(step.message.split(",")[0], share)
            self.status.setText(" · ".join(part for part in (step.message, left) if part))

    def _on_trained(self, trained: Checkpoint) -> None:
        for names in QApplication.allWidgets():
            if isinstance(names, ModelNames):
                names.offer()
        self._set_running(False, summary(trained))
        self.form.name.setText(next_name(trained.name))

    def _on_cancelled(self) -> None:
        kept = (
            f"{self._epochs} epochs of {self._name!r} are kept: train it again with the same data "
            "to go on."
            if self._epochs
            else "No epoch was finished."
        )
        self._set_running(False, f"Cancelled. {kept}")
        self._on_name()

    def _on_failed(self, error: Exception) -> None:
        report(error)
        self._set_running(False, "Stopped by an error; finished epochs are kept.")
        self._on_name()

    def _on_name(self, text: str = "") -> None:
        """Offer to forget a stopped training where there is one of this name."""
        from napari_wbc_nca.workflow import train

        stopped = self.form.name.text().strip() in train.stopped_trainings()
        self.form.anew.setVisible(stopped)
        if not stopped:
            self.form.anew.setChecked(False)


def summary(trained: Checkpoint) -> str:
    """What a finished model is, and how it does on cells that it did not learn from."""
    lines = [f"{trained.name!r} is ready, and offered in Segment WBCs."]
    held = trained.card.get("held_out", {})
    found = held.get("cell_iou", {})
    if found:
        own = found[trained.card["projection"]]
        before = f", before {found['parent']:.2f}" if "parent" in found else ""
        cells = "1 cell" if held["cells"] == 1 else f"{held['cells']} cells"
        lines.append(f"IoU of {cells} held out: {own:.2f}{before}.")
    best = trained.card.get("best_epoch")
    if best:
        lines.append(f"Best epoch: {best} of {trained.card['epochs']}.")
    return " ".join(lines)


def next_name(name: str) -> str:
    """A name that is free, for the model after `name`."""
    from napari_wbc_nca.workflow.train import free_name

    return free_name(name)


def _text() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label
