from __future__ import annotations

import json

import pytest

from napari_wbc_nca.io import model_store, weights
from napari_wbc_nca.models import build

INFO = {"name": "tiny", "method": "nca_wss", "classes": ["a", "b"], "parameters": 12345}


@pytest.fixture
def models(monkeypatch):
    """Two models at hand, one of them damaged."""

    def info(name):
        if name != "tiny":
            raise ValueError(f"{name} is truncated; get it again")
        return INFO

    monkeypatch.setattr(model_store, "names", lambda: ["tiny", "cut"])
    monkeypatch.setattr(model_store, "info", info)
    found = {"tiny": "", "cut": "cut is truncated"}
    monkeypatch.setattr(build, "verify_models", lambda name: {name: found[name]} if name else found)


def test_list_shows_what_is_at_hand(wbc, models):
    done = wbc("models", "list")
    assert done.status == 0
    assert "tiny nca_wss a, b 12,345" in done.out
    assert "cut damaged cut is truncated; get it again" in done.out


def test_list_of_nothing(wbc, monkeypatch):
    monkeypatch.setattr(model_store, "names", list)
    assert wbc("models", "list").out == "There is no model."


def test_info_is_json(wbc, models):
    done = wbc("models", "info", "tiny")
    assert (done.status, json.loads(done.out)) == (0, INFO)


def test_info_counts_the_training_images(wbc, models, monkeypatch):
    card = {"licence": "MIT", "images": ["0a", "0b"]}
    monkeypatch.setattr(model_store, "info", lambda _: {**INFO, "card": card})
    shown = json.loads(wbc("models", "info", "tiny").out)
    assert shown["card"] == {"licence": "MIT", "images": 2}


def test_info_of_an_unknown_model(wbc, models):
    done = wbc("models", "info", "other")
    assert done.status == 2
    assert "other is truncated; get it again" in done.err


def test_verify_tells_by_its_exit_status(wbc, models):
    assert wbc("models", "verify", "tiny").status == 0
    done = wbc("models", "verify")
    assert done.status == 1
    assert "tiny whole" in done.out
    assert "cut cut is truncated" in done.out


@pytest.fixture
def imported(monkeypatch, model, tmp_path):
    """Stand-ins for reading and keeping a published checkpoint; the list of their calls."""
    calls = []

    def read(file, classes, method):
        if file.name == "bad.pt":
            raise ValueError("bad.pt holds code; expected a plain state_dict")
        calls.append((file, tuple(classes), method))
        return model

    def register(_, name):
        calls.append(name)
        return tmp_path / "models" / name

    monkeypatch.setattr(model_store, "import_published", read)
    monkeypatch.setattr(build, "check_weights", lambda checkpoint, source: checkpoint)
    monkeypatch.setattr(model_store, "register", register)
    monkeypatch.setattr(weights, "save", lambda _, path: calls.append(path))
    return calls


def test_import_into_a_file(wbc, imported, tmp_path):
    file, out = tmp_path / "a.pt", tmp_path / "a.safetensors"
    done = wbc("models", "import", file, "--method", "nca_wss", "--classes", "x,y", "-o", out)
    assert done.status == 0
    assert imported == [(file, ("x", "y"), "nca_wss"), out]
    assert f"Written: {out}" in done.out


def test_import_among_ones_own_models(wbc, imported, tmp_path):
    assert wbc("models", "import", tmp_path / "My Best.pt").status == 0
    assert imported == [(tmp_path / "My Best.pt", (), ""), "my-best"]
    assert wbc("models", "import", tmp_path / "a.pt", "--name", "other").status == 0
    assert imported[-1] == "other"


def test_import_replaces_no_file_unasked(wbc, imported, tmp_path):
    out = tmp_path / "a.safetensors"
    out.touch()
    done = wbc("models", "import", tmp_path / "a.pt", "-o", out)
    assert (done.status, imported) == (2, [])
    assert "exists; choose another name, or give --force" in done.err
    assert wbc("models", "import", tmp_path / "a.pt", "-o", out, "--force").status == 0


def test_import_of_a_bad_file_says_why(wbc, imported, tmp_path):
    done = wbc("models", "import", tmp_path / "bad.pt")
    assert (done.status, done.err) == (1, "Error: bad.pt holds code; expected a plain state_dict")
