"""The Train widget, with a training that answers at once, and once with the real one."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from squares import CHECKPOINT, smear

from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.nca.params import NcaTrainParams
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.widgets.planes import OURS, SHOWS
from napari_wbc_nca.widgets.train import TrainWidget
from napari_wbc_nca.workflow import train

EPOCHS = 4


class Training:
    """Stand-in for training: an epoch whenever the test lets it go on."""

    def __init__(self):
        self.calls, self.error, self.slow, self.go = [], None, False, threading.Event()

    def __call__(self, request, samples):
        self.calls.append((request, samples))
        for epoch in range(1, EPOCHS + 1):
            while self.slow and epoch > 2 and not self.go.is_set():
                time.sleep(0.02)
                yield Progress(epoch - 1, EPOCHS, "Training, batch 1")
            request.state_file.write_text(str(epoch))
            values = {"loss": 1 / epoch, "validation_loss": 2 / epoch}
            yield Progress(epoch, EPOCHS, "Training", values=values)
            if self.error is not None:
                raise self.error
        held = {"cells": 3, "cell_iou": {"centre": 0.91, "parent": 0.82}}
        card = {"projection": "centre", "held_out": held, "epochs": EPOCHS, "best_epoch": 3}
        return replace(CHECKPOINT, card=card)


@pytest.fixture
def training(workflow, monkeypatch, tmp_path):
    stand_in = Training()
    known = ["wbc-smear", "wbc-types"]
    model = replace(CHECKPOINT, card={}, architecture={"pool": "parts"})
    monkeypatch.setenv(model_store.HOME, str(tmp_path))
    monkeypatch.setattr(train, "run_training", stand_in)
    monkeypatch.setattr(model_store, "names", lambda: list(known))
    monkeypatch.setattr(model_store, "resolve", lambda name: model)

    def keep(trained, name):
        known.append(name)
        return replace(trained, name=name)

    monkeypatch.setattr(train, "store_model", keep)
    return stand_in


@pytest.fixture
def widget(viewer, training):
    """The widget as the menu opens it, over a smear with three corrected cells."""
    viewer.add_image(smear((10, 10), (50, 70)), name="smear")
    cells = np.zeros((90, 120), np.uint32)
    cells[10:30, 10:30], cells[50:70, 70:90], cells[60:80, 5:20] = 1, 2, 7
    classes = ["lymphocyte", "neutrophil", "rbc"]
    viewer.add_labels(cells, name="cells", features={"index": [1, 2, 7], "class": classes})
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Train a model")
    assert isinstance(docked, TrainWidget)
    return docked


def test_layers_teach_a_model_that_is_offered_at_once(viewer, widget, training, click, finish):
    _, segment = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Segment WBCs")
    click(widget.button)
    finish(widget)
    ((request, samples),) = training.calls
    assert request.init is not None
    assert (request.params.projection, request.params.diameter) == ("best", CHECKPOINT.diameter)
    (sample,) = samples
    assert sample.kinds == ("lymphocyte", "neutrophil", "rbc")
    assert sample.boxes.tolist()[0] == [10, 10, 30, 30]
    np.testing.assert_array_equal(sample.pixels, viewer.layers["smear"].data)
    assert widget.curves.values["validation_loss"] == ([1, 2, 3, 4], [2, 1, 2 / 3, 0.5])
    assert "'my-model' is ready" in widget.status.text()
    assert "IoU of 3 cells held out: 0.91, before 0.82" in widget.status.text()
    assert "There is 1 cell of lymphocyte" in widget.notes.text()
    assert segment.form.model.names.findData("my-model") >= 0
    assert widget.form.name.text() == "my-model-2"
    assert not train.stopped_trainings()


def test_the_papers_recipe_fills_the_form_and_is_noted(widget, training, click, finish):
    widget.form.start.setCurrentText("from scratch")
    box = widget.form.form.widgets["recipe"]
    assert widget.form.params().recipe == "bundled"
    box.native.setFocus()
    box.native.setCurrentIndex(1)
    assert box.native.currentText() == "as in the method's paper"
    params = widget.form.params()
    assert (params.epochs, params.supervision, params.learning_rate) == (256, "images", 1e-4)
    widget.form.form.widgets["epochs"].value = 5
    click(widget.button)
    finish(widget)
    ((request, _),) = training.calls
    assert (request.params.recipe, request.params.epochs) == ("paper", 5)
    assert "Recipe of the paper: " in widget.notes.text()
    assert "Changed: epochs 5 instead of 256." in widget.notes.text()
    box.native.setCurrentIndex(0)
    assert widget.form.params() == NcaTrainParams()


def test_what_nobody_reviewed_teaches_nothing(viewer, widget, training, click, finish):
    viewer.add_shapes([[(0, 0), (0, 60), (45, 60), (45, 0)]], name="reviewed")
    widget.form.reviewed.mode.setCurrentIndex(1)
    click(widget.button)
    finish(widget)
    sample = training.calls[0][1][0]
    assert sample.kinds == ("lymphocyte",)
    assert not sample.masks.ignore[:44, :59].any()
    assert sample.masks.ignore[46:].all()


def test_nuclei_of_the_same_image_teach_too_and_are_no_cells(
    viewer, widget, training, click, finish
):
    cells = viewer.layers["cells"]
    cells.metadata[OURS] = {SHOWS: "cell", "source_id": "here"}
    for name, place in (("nuclei", "here"), ("others", "elsewhere")):
        nuclei = np.zeros_like(cells.data)
        nuclei[15:25, 15:25], nuclei[55:65, 75:85] = 1, 2
        made = {OURS: {SHOWS: "nucleus", "source_id": place}}
        viewer.add_labels(nuclei * (name == "nuclei"), name=name, metadata=made)
    assert widget.form.labels.checked() == [cells]
    click(widget.button)
    finish(widget)
    (sample,) = training.calls[0][1]
    np.testing.assert_array_equal(sample.masks.nucleus, viewer.layers["nuclei"].data)


def test_a_training_is_paused_cancelled_and_gone_on_with(
    viewer, widget, training, click, finish, qtbot
):
    training.slow = True
    click(widget.button)
    qtbot.waitUntil(lambda: "batch" in widget.status.text(), timeout=20_000)
    click(widget.pause)
    assert widget.status.text() == "Paused."
    click(widget.pause)
    qtbot.waitUntil(lambda: "batch" in widget.status.text(), timeout=20_000)
    click(widget.progress.cancel)
    finish(widget)
    assert "2 epochs of 'my-model' are kept" in widget.status.text()
    assert train.stopped_trainings() == ["my-model"]
    assert widget.form.restart.isVisible()
    training.slow = False
    widget.form.form.widgets["learning_rate"].value = 0.5
    click(widget.button)
    finish(widget)
    again = training.calls[1][0]
    assert again.params == training.calls[0][0].params  # as it was begun, or it could not go on
    assert not widget.form.restart.isVisible()


def test_a_name_that_was_taken_meanwhile_costs_no_model(
    widget, training, click, finish, qtbot, monkeypatch
):
    training.slow = True
    click(widget.button)
    qtbot.waitUntil(lambda: "batch" in widget.status.text(), timeout=20_000)
    monkeypatch.setattr(model_store, "names", lambda: ["wbc-smear", "my-model"])
    training.go.set()
    finish(widget)
    assert "'my-model-2' is ready" in widget.status.text()


def test_starting_again_forgets_the_stopped_training(widget, training, click, finish, qtbot):
    training.error = OSError("No space left on device")
    click(widget.button)
    finish(widget)
    assert "finished epochs are kept" in widget.status.text()
    training.error = None
    widget.form.form.widgets["learning_rate"].value = 0.5
    click(widget.form.restart)
    click(widget.button)
    finish(widget)
    assert training.calls[1][0].params.learning_rate == 0.5


def test_from_scratch_every_method_shows_its_own_parameters(widget, training, click, finish):
    widget.form.start.setCurrentIndex(1)
    for number in range(widget.form.methods.count()):
        widget.form.methods.setCurrentIndex(number)
        assert widget.form.form.widgets["epochs"].value == widget.form.params().epochs
    widget.form.methods.setCurrentIndex(0)
    assert widget.form.params() == NcaTrainParams()
    click(widget.button)
    finish(widget)
    assert training.calls[0][0].init is None


def test_points_teach(viewer, widget, training, click, finish):
    viewer.add_points([(20.0, 20.0), (60.0, 80.0)], name="marks")
    widget.form.data.setCurrentIndex(1)
    click(widget.button)
    finish(widget)
    (sample,) = training.calls[0][1]
    assert sample.boxes.tolist() == [[20.5, 20.5, 20.5, 20.5], [60.5, 80.5, 60.5, 80.5]]
    assert sample.names == ("wbc", "wbc")


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda form: form.name.setText("wbc-smear"), "a model 'wbc-smear' exists already"),
        (lambda form: form.name.setText("My Model!"), "cannot name a model; use lower-case"),
        (lambda form: form.data.setCurrentIndex(1), "no known cell in Points layers"),
        (lambda form: form.data.setCurrentIndex(2), "No folder is chosen"),
        (lambda form: form.reviewed.mode.setCurrentIndex(1), "but there are none. Draw around"),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(
    widget, training, click, notes, prepare, words
):
    prepare(widget.form)
    click(widget.button)
    assert words in notes[-1]
    assert training.calls == []
    assert widget.button.isEnabled()
