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

from napari_wbc_nca.datasets import readers
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
request = train.start_training("mine", train.Request("nca_wss", TINY), "")
for _ in train.run(request, read(sys.argv[1])):
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
    return train.start_training("mine", train.Request("nca_wss", params), "", **more)


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
    trained = run_to_end(train.run(request, read(crops)))
    assert trained.card["epochs"] == stood + 1
    kept = train.keep(trained, "mine")
    train.forget_training("mine")
    assert (kept.name, train.stopped_trainings()) == ("mine", [])
    assert model_store.resolve("mine").sha256 == kept.sha256
    with pytest.raises(ValueError, match="a model 'mine' exists already; choose another name"):
        train.keep(trained, "mine")
    assert train.free_name("mine") == "mine-2"


def torch_epoch(state):
    import torch

    return torch.load(state, weights_only=True)["state"]["epoch"]


def test_a_stopped_training_is_of_one_method_and_beginning(home):
    first = begun()
    first.state_file.write_text("half")
    again = train.start_training("mine", train.Request("nca_wss", replace(TINY, seed=5)), "")
    assert again.params == TINY
    with pytest.raises(ValueError, match="was of nca_wss, started from nothing; choose these to"):
        train.start_training("mine", train.Request("nca_wss", TINY), "wbc-smear")
    anew = begun(replace(TINY, seed=5), anew=True)
    assert anew.params.seed == 5
    assert not anew.state_file.exists()


def samples_of(*names):
    boxes = np.tile(np.float32([0, 0, 9, 9]), (len(names), 1))
    return [readers.Sample("a.png", boxes, names)]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("monocyte",) * 8 + ("lymphocyte",) * 7, []),
        (("monocyte",) * 8 + ("basophil",), ["There is 1 cell of basophil: label some more"]),
        (("monocyte",) * 8 + ("none",) * 9, ["All cells are monocyte: the model cannot learn"]),
    ],
)
def test_notes_tell_of_few_cells_and_of_a_single_class(names, words):
    found = train.notes(samples_of(*names))
    assert len(found) == len(words)
    assert all(word in note for note, word in zip(found, words, strict=True))


def test_pictures_of_one_class_are_counted_as_pictures():
    pictures = [readers.Sample("a.png", None, (n,)) for n in ("granular", "granular", "rimmed")]
    first, second = train.notes(pictures)
    assert first.startswith("There are 2 pictures of granular: label some more")
    assert second.startswith("There is 1 picture of rimmed: label some more")


def test_data_without_cells_train_nothing():
    request = train.Request("nca_wss", TINY)
    with pytest.raises(ValueError, match="no white blood cell is labelled in 1 pictures; label"):
        run_to_end(train.run(request, samples_of("none")))
