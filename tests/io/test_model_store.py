from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from checkpoints import checkpoint

from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.weights import WeightsError, load, save
from napari_wbc_nca.models.build import verify_models


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(model_store.HOME, str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """A folder that stands for the bundled weights, with one model in it."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    digest = save(checkpoint(name="wbc-smear"), folder / "wbc-smear.safetensors")
    (folder / "index.json").write_text(json.dumps({"wbc-smear": digest}))

    @contextmanager
    def stand_in():
        yield folder

    monkeypatch.setattr(model_store, "_bundled", stand_in)
    return folder


def test_bundled_models_come_first_then_the_users(bundled):
    model_store.register(checkpoint(), "a-mine")
    assert model_store.names() == ["wbc-smear", "a-mine"]


def test_a_name_a_user_model_and_a_file_resolve(bundled, tmp_path):
    model_store.register(checkpoint(), "mine")
    save(checkpoint(name="loose"), tmp_path / "loose.safetensors")
    assert model_store.resolve("wbc-smear").name == "wbc-smear"
    assert model_store.resolve("mine").name == "mine"
    assert model_store.resolve(tmp_path / "loose.safetensors").name == "loose"
    assert model_store.resolve(str(tmp_path / "loose.safetensors")).name == "loose"


@pytest.mark.parametrize("model", ["wbc-smaer", "gone.safetensors", "../wbc-smear"])
def test_an_unknown_model_lists_those_there_are(bundled, model):
    model_store.register(checkpoint(), "mine")
    with pytest.raises(WeightsError, match=r"is neither a file nor .* one of: wbc-smear, mine"):
        model_store.resolve(model)


def test_a_folder_is_no_model(bundled, tmp_path):
    with pytest.raises(WeightsError, match=r"is a folder; give a .safetensors file"):
        model_store.resolve(tmp_path)


def test_info_tells_all_but_the_weights(bundled):
    info = model_store.info("wbc-smear")
    assert info["card"]["licence"] == "MIT"
    assert info["classes"] == ["neutrophil", "lymphocyte", "none"]
    assert info["sha256"] == model_store.resolve("wbc-smear").sha256
    assert info["parameters"] == sum(a.size for a in checkpoint().weights.values())
    assert "weights" not in info


def test_verify_finds_a_changed_bundled_file(bundled):
    assert verify_models() == {"wbc-smear": ""}
    save(checkpoint(name="other"), bundled / "wbc-smear.safetensors")
    problem = verify_models("wbc-smear")["wbc-smear"]
    assert "the file was changed; install napari-wbc-nca again" in problem
    with pytest.raises(WeightsError, match="the file was changed"):
        model_store.resolve("wbc-smear")


def test_verify_finds_an_unlisted_bundled_file(bundled):
    (bundled / "index.json").write_text("{}")
    assert "but none is listed" in verify_models()["wbc-smear"]


def test_verify_finds_a_damaged_user_file(bundled):
    path = model_store.register(checkpoint(), "mine")
    path.write_bytes(path.read_bytes()[:-1])
    assert verify_models()["wbc-smear"] == ""
    assert "truncated or damaged" in verify_models()["mine"]


def test_what_is_really_bundled_is_whole():
    assert not any(verify_models().values())


def test_registering_never_replaces(bundled):
    path = model_store.register(checkpoint(diameter=30.0), "mine")
    for name in ("mine", "wbc-smear"):
        with pytest.raises(WeightsError, match=rf"a model '{name}' exists already"):
            model_store.register(checkpoint(), name)
    assert load(path).diameter == 30.0


@pytest.mark.parametrize("name", ["", "../x", "a b", "Ä", ".hidden", "x" * 65, "a.b"])
def test_names_that_are_no_file_names_are_refused(name):
    with pytest.raises(WeightsError, match=r"cannot name a model"):
        model_store.register(checkpoint(), name)


def test_a_home_that_cannot_be_made_is_named(home):
    home.write_text("a file in the way")
    with pytest.raises(WeightsError, match=r"models cannot be made: .*NAPARI_WBC_NCA_HOME"):
        model_store.register(checkpoint(), "mine")
