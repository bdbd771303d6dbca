"""Trainings that were stopped, killed, or could not be begun."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture

from napari_wbc_nca.datasets import samples
from napari_wbc_nca.datasets.readers import read
from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.nca.params import NcaTrainParams
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.workflow import train

TINY = NcaTrainParams(
    channels=6,
    hidden=6,
    steps=2,
    window=16,
    diameter=8.0,
    epochs=1000,
    samples_per_epoch=4,
    batch_size=2,
    validation_share=0.0,
    device="cpu",
)
SCRIPT = """
import sys
from napari_wbc_nca.datasets.readers import read
from napari_wbc_nca.workflow import train
sys.path.insert(0, sys.argv[2])
from test_trainings import TINY
request = train.begin_training("mine", train.TrainingRequest("nca_wss", TINY), "")
for _ in train.run_training(request, read(sys.argv[1])):
    pass
"""


@pytest.fixture
def crops(tmp_path):
    """Two crops of a class each, dark squares on white."""
    for name, shade in (("lymphocyte", 40), ("monocyte", 120)):
        (tmp_path / "crops" / name).mkdir(parents=True)
        for number in range(2):
            pixels = np.full((24, 24, 3), 240, np.uint8)
            pixels[6:18, 6:18] = shade + number
            Picture.fromarray(pixels).save(tmp_path / "crops" / name / f"{number}.png")
    return tmp_path / "crops"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(model_store.HOME, str(tmp_path / "home"))
    return tmp_path / "home"


def begun(params=TINY, **more):
    return train.begin_training("mine", train.TrainingRequest("nca_wss", params), "", **more)


def test_a_killed_training_goes_on_where_it_stood(crops):
    here = os.path.dirname(__file__)
    work = subprocess.Popen([sys.executable, "-c", SCRIPT, str(crops), here])
    state = train.state_file_of("mine")
    for _ in range(1200):
        time.sleep(0.1)
        if state.exists():
            break
    work.kill()
    work.wait()
    assert train.stopped_trainings() == ["mine"]
    stood = torch_epoch(state)
    assert 1 <= stood < 1000
    request = begun(replace(TINY, epochs=stood + 1, learning_rate=0.5))
    assert request.params.learning_rate == TINY.learning_rate
    trained = run_to_end(train.run_training(request, read(crops)))
    assert trained.card["epochs"] == stood + 1
    kept = train.store_model(trained, "mine")
    train.forget_training("mine")
    assert (kept.name, train.stopped_trainings()) == ("mine", [])
    assert model_store.resolve("mine").sha256 == kept.sha256
    with pytest.raises(ValueError, match="a model 'mine' exists already; choose another name"):
        train.store_model(trained, "mine")
    assert train.unused_name("mine") == "mine-2"


def torch_epoch(state):
    import torch

    return torch.load(state, weights_only=True)["state"]["epoch"]


def test_a_stopped_training_is_of_one_method_and_beginning(home):
    first = begun()
    first.state_file.write_text("half")
    again = train.begin_training(
        "mine", train.TrainingRequest("nca_wss", replace(TINY, seed=5)), ""
    )
    assert again.params == TINY
    with pytest.raises(ValueError, match="was of nca_wss, started from nothing; choose these to"):
        train.begin_training("mine", train.TrainingRequest("nca_wss", TINY), "wbc-smear")
    again = begun(replace(TINY, seed=5), restart=True)
    assert again.params.seed == 5
    assert not again.state_file.exists()


def samples_of(*names):
    boxes = np.tile(np.float32([0, 0, 9, 9]), (len(names), 1))
    return [samples.Sample("a.png", boxes, names)]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("monocyte",) * 8 + ("lymphocyte",) * 7, []),
        (("monocyte",) * 8 + ("basophil",), ["There is 1 cell of basophil: label some more"]),
        (("monocyte",) * 8 + ("none",) * 9, ["All cells are monocyte: the model cannot learn"]),
    ],
)
def test_notes_tell_of_few_cells_and_of_a_single_class(names, words):
    found = train.data_notes(samples_of(*names), TINY)
    assert len(found) == len(words)
    assert all(word in note for note, word in zip(found, words, strict=True))


def test_pictures_of_one_class_are_counted_as_pictures():
    pictures = [samples.Sample("a.png", None, (n,)) for n in ("granular", "granular", "rimmed")]
    first, second = train.data_notes(pictures, TINY)
    assert first.startswith("There are 2 pictures of granular: label some more")
    assert second.startswith("There is 1 picture of rimmed: label some more")


def test_data_without_cells_train_nothing():
    request = train.TrainingRequest("nca_wss", TINY)
    with pytest.raises(ValueError, match="no white blood cell is labelled in 1 pictures; label"):
        run_to_end(train.run_training(request, samples_of("none")))


def test_a_share_for_validation_that_holds_nothing_out_is_said(crops):
    one_slide = [replace(sample, group="slide") for sample in read(crops)]
    params = replace(TINY, epochs=1, validation_share=0.3)
    note = "No picture is held out for validation: every group"
    assert [found.startswith(note) for found in train.data_notes(one_slide, params)][-1]
    steps = train.run_training(train.TrainingRequest("nca_wss", params), one_slide)
    yielded, trained = planted_run(steps)
    assert any(step.message.startswith(note) for step in yielded)
    assert trained.card["notes"][0].startswith(note)
    half = replace(params, validation_share=0.5)
    assert not any(found.startswith(note) for found in train.data_notes(read(crops), half))


def planted_run(steps):
    """What a generator yields, and what it returns."""
    yielded = []
    while True:
        try:
            yielded.append(next(steps))
        except StopIteration as stop:
            return yielded, stop.value
