"""The Train widget: train a model from corrected layers, points or a folder."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QApplication, QCheckBox, QLineEdit, QPushButton, QWidget

from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.recipes import PAPER, describe_recipe
from napari_wbc_nca.methods.registry import finetune_params, training_params
from napari_wbc_nca.params import as_dict, fields, from_mapping
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.widgets.base import Computation, RunWidget
from napari_wbc_nca.widgets.known_cells import FOLDER, LABELS, POINTS, KnownCellsForm
from napari_wbc_nca.widgets.layout import Section, big_button, choice_box, form_layout, text_label
from napari_wbc_nca.widgets.model_box import ModelBox, ModelNames
from napari_wbc_nca.widgets.params_form import ParamsForm, decimals
from napari_wbc_nca.widgets.worker import preload, report

if TYPE_CHECKING:
    from napari import Viewer

    from napari_wbc_nca.datasets.samples import Sample
    from napari_wbc_nca.types import Checkpoint

FINETUNE, SCRATCH = "by fine-tuning a model", "from scratch"
MAIN = ("recipe", "epochs", "patience", "validation_share", "exclude_border_cells", "device")
"""Parameters that are always shown; the others stand under Advanced."""
RECIPE_TEXTS = {"recipe": {"bundled": "bundled", "paper": "as in the method's paper"}}


class TrainForm(KnownCellsForm):
    """Everything that can be chosen before a training."""

    form: ParamsForm

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
        """Return the training parameters that are chosen."""
        return from_mapping(registry.get(self.method).train_params, self.form.values())

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
        """Show the parameters of the chosen method, at values that suit the beginning."""
        cls = registry.get(self.method).train_params
        names = [field.name for field in fields(cls)]
        self.form = ParamsForm(cls, names, RECIPE_TEXTS)
        self._set_params(self._suggested())
        self.form.widgets["recipe"].changed.connect(self._on_recipe)
        main = [name for name in MAIN if name in names]
        rest = [name for name in names if name not in MAIN]
        for layout, some in ((self._main, main), (self._advanced, rest)):
            while layout.rowCount():
                layout.removeRow(0)
            self.form.add_to(layout, some)

    def _set_params(self, params: Any) -> None:
        for name, value in as_dict(params).items():
            if isinstance(value, float):
                native = self.form.native(name)
                native.setDecimals(max(native.decimals(), decimals(value)))
            self.form.widgets[name].value = value

    def _on_recipe(self, recipe: str) -> None:
        """Show the numbers of the recipe that is chosen."""
        if recipe == PAPER:
            self._set_params(training_params(self.method, {"recipe": recipe}))
        else:
            self._set_params(self._suggested())

    def _suggested(self) -> Any:
        """Return the parameters that suit what is begun with."""
        if self.start_model:
            try:
                return finetune_params(model_store.resolve(self.start_model))
            except (ValueError, OSError) as error:
                report(error)
        return registry.get(self.method).train_params()

    def _show_start(self, index: int = 0) -> None:
        finetune = bool(self.start_model)
        self.show_fields({"model": finetune, "methods": not finetune})


SHOWN = {"loss": "training", "validation_loss": "validation"}
"""Figures of an epoch that are drawn, and what they are called."""


class LossCurves(FigureCanvasQTAgg):
    """Losses by epoch, of training and of validation."""

    def __init__(self) -> None:
        super().__init__(Figure(layout="constrained"))  # type: ignore[no-untyped-call]
        self.setMinimumSize(1, 170)
        self.setAccessibleName("Losses by epoch")
        self.setToolTip("Losses by epoch; validation: on pictures that the model is not trained on")
        self.start()

    def start(self) -> None:
        """Begin with empty axes."""
        self.values: dict[str, tuple[list[int], list[float]]] = {name: ([], []) for name in SHOWN}
        self._draw()

    def add(self, epoch: int, values: Mapping[str, float]) -> None:
        """Draw the figures of an epoch."""
        for name, (epochs, losses) in self.values.items():
            if name in values:
                epochs.append(epoch)
                losses.append(values[name])
        self._draw()

    def _draw(self) -> None:
        self.figure.clear()
        colours = theme_colours()
        self.figure.set_facecolor(colours["axes.facecolor"])
        with rc_context(colours):
            axes = self.figure.add_subplot(xlabel="epoch", ylabel="loss")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            for name, (epochs, losses) in self.values.items():
                if epochs:
                    axes.plot(epochs, losses, marker="o", markersize=3, label=SHOWN[name])
            if axes.lines:
                axes.legend(fontsize="small")
        self.draw_idle()  # type: ignore[no-untyped-call]


def theme_colours() -> dict[Any, str]:
    """Return settings of matplotlib that draw in the colours of napari's theme."""
    theme = get_theme(get_settings().appearance.theme)
    ground, text = theme.background.as_hex(), theme.text.as_hex()
    lines = ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color")
    return {"axes.facecolor": ground, **dict.fromkeys(lines, text)}


PHASES = {
    "Reading|Preparing": 3,
    "Fitting the readout": 3,
    "Training": 88,
    "Fitting the classifier": 3,
    "Comparing": 3,
}
"""As in :class:`~napari_wbc_nca.widgets.worker.Clock`."""


def train_model(
    name: str,
    method: str,
    params: Any,
    data: Sequence[Sample] | Path,
    model: str = "",
    *,
    restart: bool = False,
) -> Generator[Progress | list[str], None, Checkpoint]:
    """Train `name` in a thread, from the name or file `model` if any, and keep it for the user.

    Yields progress, and once before the training the notes on the data. `restart` forgets a
    stopped training of that name. The workflow is imported here, since it loads torch for seconds.
    """
    from napari_wbc_nca.datasets import readers
    from napari_wbc_nca.workflow import train

    yield Progress(0, 1, "Reading the data")
    samples = readers.read(data) if isinstance(data, Path) else data
    recipe = describe_recipe(method, params)
    yield [*([recipe] if recipe else []), *train.data_notes(samples, params)]
    init = model_store.resolve(model) if model else None
    request = train.TrainingRequest(method, params, init)
    request = train.begin_training(name, request, model, restart=restart)
    trained = yield from train.run_training(request, samples)
    # The name may have been taken meanwhile.
    kept = train.store_model(trained, train.unused_name(name))
    train.forget_training(name)
    return kept


class TrainWidget(RunWidget):
    """Trains a model from layers or a folder, from scratch or from another model."""

    form: TrainForm

    def __init__(self, napari_viewer: Viewer) -> None:
        button = big_button("Train", "Learn from the cells, and keep the model by its name")
        tip = "Stop; finished epochs are kept, to go on from later"
        super().__init__(napari_viewer, TrainForm(), button, tip)
        self.pause = QPushButton("Pause")
        self.pause.setToolTip("Wait, so that the computer is free for other work")
        self.pause.setVisible(False)
        self.curves = LossCurves()
        self.curves.setVisible(False)  # until there is a training
        self.notes = text_label()
        self._epochs = 0
        self.add(self.form, self.button, self.progress, self.pause)
        self.add(self.curves, self.notes, self.status)
        self.pause.clicked.connect(self.toggle)
        self.form.name.textChanged.connect(self._on_name)
        self.form.offer(self.viewer.layers)
        self._on_name()
        preload()

    def prepare(self) -> Computation:
        """Return the training that is chosen."""
        form = self.form
        name = form.name.text().strip()
        model_store.check_name(name)
        params, data = form.params(), form.samples(self.viewer.layers)
        restart = form.restart.isChecked()
        steps = train_model(name, form.method, params, data, form.start_model, restart=restart)
        self._epochs = 0
        self.curves.start()
        return Computation(steps, self._on_trained, "Reading the data", PHASES)

    def toggle(self) -> None:
        """Pause, or go on."""
        if self._job is None:
            return
        paused = self.pause.text() == "Pause"
        (self._job.pause if paused else self._job.resume)()
        self.pause.setText("Resume" if paused else "Pause")
        if paused:
            self.status.setText("Paused.")

    def on_step(self, step: Progress | list[str]) -> None:
        """Show the notes on the data, and the losses of each epoch."""
        if not isinstance(step, Progress):
            self.notes.setText("\n".join(step))
            return
        if step.values:
            self._epochs = step.done
            self.curves.add(step.done, step.values)
        if self.pause.text() == "Pause":
            self.show_progress(step)

    def on_cancelled(self) -> str:
        """Say which epochs are kept."""
        self._on_name()
        if not self._epochs:
            return "Cancelled. No epoch was finished."
        kept = f"{self._epochs} epochs of {self.form.name.text().strip()!r} are kept"
        return f"Cancelled. {kept}: train it again with the same data to go on."

    def on_failed(self) -> str:
        """Say that epochs are kept."""
        self._on_name()
        return "Stopped by an error; finished epochs are kept."

    def set_running(self, running: bool) -> None:
        """Grey the form, and offer to pause."""
        super().set_running(running)
        self.pause.setVisible(running)
        self.pause.setText("Pause")
        if running:
            self.curves.setVisible(True)
            self.notes.setText("")

    def _on_trained(self, trained: Checkpoint) -> str:
        from napari_wbc_nca.workflow.train import unused_name

        for names in QApplication.allWidgets():
            if isinstance(names, ModelNames):
                names.offer()
        self.form.name.setText(unused_name(trained.name))
        return training_summary(trained)

    def _on_name(self, text: str = "") -> None:
        """Offer to forget a stopped training where there is one of this name."""
        from napari_wbc_nca.workflow import train

        stopped = self.form.name.text().strip() in train.stopped_trainings()
        self.form.restart.setVisible(stopped)
        if not stopped:
            self.form.restart.setChecked(False)


def training_summary(trained: Checkpoint) -> str:
    """Describe a trained model, and its accuracy on cells held out."""
    lines = [f"{trained.name!r} is ready, and offered in Segment WBCs."]
    held = trained.card.get("held_out", {})
    if found := held.get("cell_iou", {}):
        own = found[trained.card["projection"]]
        before = f", before {found['parent']:.2f}" if "parent" in found else ""
        cells = "1 cell" if held["cells"] == 1 else f"{held['cells']} cells"
        lines.append(f"IoU of {cells} held out: {own:.2f}{before}.")
    if best := trained.card.get("best_epoch"):
        lines.append(f"Best epoch: {best} of {trained.card['epochs']}.")
    return " ".join(lines)
