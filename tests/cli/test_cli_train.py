from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from napari_wbc_nca.datasets import readers
from napari_wbc_nca.io import model_store, weights
from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.nca.params import NcaMaxTrainParams, NcaTrainParams
from napari_wbc_nca.methods.registry import METHODS
from napari_wbc_nca.progress import Progress


class Labelled(NamedTuple):
    """Stand-in for a sample; remembers what was read."""

    data: Path
    classes: tuple[str, ...]
    names: tuple[str, ...] = ("neutrophil", "none")
    boxes: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ("neutrophil", "rbc")
    source: str = "made"
    group: str = "slide"


class Training:
    """Stand-in for a method's training."""

    def __init__(self, checkpoint):
        self.checkpoint, self.calls, self.fail = checkpoint, [], None

    def __call__(self, samples, params, init=None, state_file=None):
        self.calls.append((samples, params, init, state_file))
        yield Progress(1, 2, "Training", values={"loss": 0.123456})
        if self.fail is not None:
            raise self.fail
        return self.checkpoint


@pytest.fixture
def training(model, monkeypatch):
    stand_in = Training(model)
    monkeypatch.setattr(registry, "load", lambda _: stand_in)
    monkeypatch.setattr(readers, "read", lambda data, classes: [Labelled(data, classes)])
    blank = np.zeros((2, 2, 3), np.uint8)
    monkeypatch.setattr("napari_wbc_nca.workflow.train.read_rgb", lambda _: blank)

    def save(checkpoint, path):
        path.write_text(checkpoint.name)
        return "5a"

    monkeypatch.setattr(weights, "save", save)
    return stand_in


def test_training_writes_the_weights(wbc, training, tmp_path):
    file = tmp_path / "new" / "mine.safetensors"
    done = wbc("train", "nca_wss", tmp_path, "-o", file, "--classes", "wbc, rbc")
    assert done.status == 0
    assert file.read_text() == "mine"
    assert training.calls == [
        (
            [Labelled(tmp_path, ("wbc", "rbc"))],
            NcaTrainParams(),
            None,
            file.with_name("mine.safetensors.state"),
        )
    ]
    assert "1/2: loss 0.1235" in done.err
    assert "Classes: neutrophil, none" in done.out
    assert "SHA-256 5a" in done.out


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("nca_wss", NcaTrainParams(epochs=3, gradient_checkpointing=True)),
        ("nca_max", NcaMaxTrainParams(epochs=3, gradient_checkpointing=True)),
    ],
)
def test_the_method_knows_its_defaults(wbc, training, model, tmp_path, method, expected):
    options = ["--epochs", 3, "--gradient-checkpointing", "--init", "tiny"]
    assert wbc("train", method, tmp_path, "-o", tmp_path / "a.safetensors", *options).status == 0
    assert training.calls[0][1] == expected
    assert training.calls[0][2] is model


def test_failed_training_writes_nothing(wbc, training, tmp_path):
    training.fail = ValueError("no cell has a type; label some")
    done = wbc("train", "nca_wss", tmp_path, "-o", tmp_path / "a.safetensors")
    assert (done.status, "Error: no cell has a type; label some" in done.err) == (1, True)
    assert not (tmp_path / "a.safetensors").exists()


def test_force_replaces_and_starts_anew(wbc, training, tmp_path):
    file, state = tmp_path / "a.safetensors", tmp_path / "a.safetensors.state"
    file.write_text("old")
    state.write_text("old")
    assert wbc("train", "nca_wss", tmp_path, "-o", file, "--force").status == 0
    assert (file.read_text(), state.exists()) == ("a", False)


def test_the_state_stands_until_the_model_is_written(wbc, training, tmp_path, monkeypatch):
    file, state = tmp_path / "a.safetensors", tmp_path / "a.safetensors.state"
    state.write_text("old")

    def fail(checkpoint, path):
        raise weights.WeightsError(f"{path} cannot be written: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(weights, "save", fail)
        done = wbc("train", "nca_wss", tmp_path, "-o", file, "--resume")
    assert (done.status, "the disk is full" in done.err) == (1, True)
    assert state.read_text() == "old"
    assert wbc("train", "nca_wss", tmp_path, "-o", file, "--resume").status == 0
    assert not state.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nca_wss", "."], "Missing option '--output'"),
        (["cellpose", ".", "-o", "a.safetensors"], "unknown method 'cellpose'; known are nca_wss"),
        (["nca_wss", ".", "-o", "a.pt"], "a.pt does not end with .safetensors"),
        (["nca_wss", ".", "-o", "old.safetensors"], "old.safetensors exists; choose another name"),
        (["nca_wss", ".", "-o", "half.safetensors"], "left from a training that was stopped"),
        (
            ["nca_wss", ".", "-o", "a.safetensors", "--resume"],
            "there is no stopped training to continue",
        ),
        (["nca_wss", ".", "-o", "half.safetensors", "--resume", "--force"], "give one of them"),
        (["nca_wss", ".", "-o", "a.safetensors", "--init", "unknown"], "name of a model"),
        (["nca_wss", ".", "-o", "a.safetensors", "--epochs", "-1"], "Invalid value for '--epochs'"),
    ],
)
def test_wrong_usage(wbc, training, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.safetensors").write_text("old")
    (tmp_path / "half.safetensors.state").write_text("half")
    done = wbc("train", *arguments)
    assert done.status == 2
    assert message in done.err
    assert training.calls == []
    assert (tmp_path / "old.safetensors").read_text() == "old"
    assert (tmp_path / "half.safetensors.state").exists()


def test_help_shows_the_default_of_each_method(wbc):
    shown = wbc("train", "--help").out
    assert "nca_wss: 32, nca_max: 128" in shown.replace("  ", " ")


def test_name_of_the_checkpoint_is_that_of_its_file(wbc, training, tmp_path, model):
    training.checkpoint = replace(model, name="unnamed")
    assert wbc("train", "nca_max", tmp_path, "-o", tmp_path / "b.safetensors").status == 0
    assert (tmp_path / "b.safetensors").read_text() == "b"


def test_a_model_is_fine_tuned_by_small_steps_at_its_own_scale(wbc, training, model, tmp_path):
    options = ["--finetune", "tiny", "--epochs", 3]
    done = wbc("train", "nca_wss", tmp_path, "-o", tmp_path / "a.safetensors", *options)
    assert done.status == 0
    params = training.calls[0][1]
    assert (params.epochs, params.diameter, params.window) == (3, 32, 64)
    assert params.learning_rate == METHODS["nca_wss"].finetune["learning_rate"]
    assert params.projection == "best"
    assert training.calls[0][2] is model


def test_few_cells_and_a_single_class_are_told(wbc, training, tmp_path):
    done = wbc("train", "nca_wss", tmp_path, "-o", tmp_path / "a.safetensors")
    assert "Note: There is 1 cell of neutrophil: label some more" in done.err
    assert "Note: All cells are neutrophil" in done.err


def test_a_model_of_another_method_is_refused(wbc, model, monkeypatch, tmp_path):
    other = replace(model, method="propagation")
    monkeypatch.setattr(model_store, "resolve", lambda _: other)
    monkeypatch.setattr(readers, "read", lambda data, classes: [Labelled(data, classes)])
    options = ["-o", tmp_path / "a.safetensors", "--init", "tiny"]
    done = wbc("train", "nca_wss", tmp_path, *options)
    assert done.status == 1
    assert "tiny is a model of propagation, and nca_wss cannot start from it" in done.err
