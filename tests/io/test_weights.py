from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from checkpoints import ARCHITECTURE, checkpoint
from safetensors.numpy import save as pack

from napari_wbc_nca.io import weights
from napari_wbc_nca.io.weights import (
    KEY,
    LARGEST_CARD,
    WeightsError,
    card_json,
    load,
    load_torch,
    save,
)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "small.safetensors"
    save(checkpoint(), path)
    return path


def card(**changes):
    values = json.loads(card_json(checkpoint()))
    values.update(changes)
    return json.dumps({name: value for name, value in values.items() if value != "absent"})


def written(path, text, arrays=None):
    path.write_bytes(pack(dict(arrays or checkpoint().weights), metadata={KEY: text}))
    return path


def test_everything_comes_back(saved):
    before, after = checkpoint(), load(saved)
    for name in ("method", "architecture", "classes", "diameter", "pixel_size", "window", "card"):
        assert getattr(after, name) == getattr(before, name)
    assert after.normalisation == before.normalisation
    assert after.name == "small"
    assert after.weights.keys() == before.weights.keys()
    for name, array in before.weights.items():
        assert after.weights[name].dtype == np.float32
        np.testing.assert_array_equal(after.weights[name], array)


def test_a_model_that_classifies_from_larger_windows_is_refused(tmp_path):
    sizes = dict(checkpoint().architecture)
    save(checkpoint(architecture={**sizes, "closer": 0.0}), tmp_path / "plain.safetensors")
    assert "closer" not in load(tmp_path / "plain.safetensors").architecture
    values = {**json.loads(card()), "architecture": {**sizes, "closer": 1.5}}
    path = written(tmp_path / "larger.safetensors", json.dumps(values), checkpoint().weights)
    with pytest.raises(WeightsError, match=r"classifies cells from larger windows.*train the"):
        load(path)


def test_hash_is_that_of_the_file(saved, tmp_path):
    digest = hashlib.sha256(saved.read_bytes()).hexdigest()
    assert load(saved).sha256 == digest
    assert save(load(saved), tmp_path / "again.safetensors") == digest


def test_transposed_views_are_written_as_they_read(tmp_path):
    arrays = dict(checkpoint().weights)
    arrays["p0.weight"] = arrays["p0.weight"].swapaxes(-1, -2)
    save(checkpoint(weights=arrays), tmp_path / "view.safetensors")
    np.testing.assert_array_equal(
        load(tmp_path / "view.safetensors").weights["p0.weight"], arrays["p0.weight"]
    )


def test_numbers_of_numpy_and_missing_figures_fit_the_card(tmp_path):
    path = tmp_path / "numpy.safetensors"
    record = {"f1": np.float32(0.5), "loss": float("nan"), "seen": ("a", "b"), "n": np.int64(3)}
    save(checkpoint(card=record), path)
    assert load(path).card == {"f1": 0.5, "loss": None, "seen": ["a", "b"], "n": 3}


def test_nothing_is_left_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "small.safetensors"
    path.write_bytes(b"before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WeightsError, match=r"cannot be written: No space left.*make room"):
        save(checkpoint(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["small.safetensors"]
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "unet"}, r"method is 'unet'; known are nca_wss, nca_max"),
        ({"diameter": float("nan")}, r"has diameter None; expected a number of px above 0"),
        ({"architecture": {"widths": [8, 16]}}, r"expected an object of numbers and texts"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path, changes, message):
    with pytest.raises(WeightsError, match=message):
        save(checkpoint(**changes), tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_only_safetensors_are_written(tmp_path):
    with pytest.raises(WeightsError, match=r"does not end with .safetensors"):
        save(checkpoint(), tmp_path / "x.pt")


def test_nan_weights_are_refused_both_ways(tmp_path):
    arrays = {name: array.copy() for name, array in checkpoint().weights.items()}
    arrays["fc0.bias"][2] = np.nan
    with pytest.raises(WeightsError, match=r"fc0.bias holds NaN"):
        save(checkpoint(weights=arrays), tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=r"fc0.bias holds NaN"):
        load(written(tmp_path / "y.safetensors", card(), arrays))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "a PNG picture"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "a JPEG picture"),
        (b"<!DOCTYPE html><html>404", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"", "an empty file"),
        (pickle.dumps({"a": 1}), "a Python pickle"),
        (b"hello, this is text", r"a file that begins with b'hello, t'"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, content, found):
    path = tmp_path / "renamed.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"renamed.safetensors cannot be used: it is {found}"):
        load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        WeightsError,
        match=r"gone.safetensors cannot be read: No such file .*; check the path",
    ):
        load(tmp_path / "gone.safetensors")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EACCES, "ask for the right to read it"),
        (errno.EIO, "copy it again"),
        (errno.ESTALE, "check that the file and its folder can be read"),
    ],
)
def test_what_the_system_does_not_let_read_comes_with_a_remedy(saved, monkeypatch, code, remedy):
    def refuse(_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(type(saved), "read_bytes", refuse)
    with pytest.raises(WeightsError, match=rf"cannot be read: {os.strerror(code)}; {remedy}"):
        load(saved)


def test_a_huge_file_is_not_read(saved, monkeypatch):
    monkeypatch.setattr(weights, "LARGEST", 100)
    with pytest.raises(WeightsError, match=r"expected weights of at most 100"):
        load(saved)


def test_a_torch_file_asks_to_be_imported(tmp_path):
    path = tmp_path / "net.pt"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"models import FILE --method"):
        load(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.999])
def test_every_truncation_is_refused(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"cannot be used"):
        load(saved)


def test_appended_bytes_are_refused(saved):
    saved.write_bytes(saved.read_bytes() + b"more")
    with pytest.raises(WeightsError, match=r"truncated or damaged"):
        load(saved)


def test_foreign_safetensors_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(pack({"layer": np.zeros(3, np.float32)}))
    with pytest.raises(WeightsError, match=r"holds 1 tensors but no card"):
        load(path)


def test_other_precision_is_refused(tmp_path):
    arrays = {name: array.astype(np.float16) for name, array in checkpoint().weights.items()}
    with pytest.raises(WeightsError, match=r"its numbers are F16; expected F32"):
        load(written(tmp_path / "half.safetensors", card(), arrays))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no readable JSON"),
        ("[" * 100_000, "no readable JSON"),
        ("[]", "a JSON list; expected an object"),
        ("x" * (LARGEST_CARD + 1), "expected at most"),
        (card(format=2), "format 2; this program reads format 1"),
        (card(method="absent"), "has no method"),
        (card(method=["nca_wss"]), "expected one of nca_wss, nca_max"),
        (card(method="unet"), "its method is 'unet'; known are"),
        (card(architecture=[1]), "expected an object of numbers and texts"),
        (card(architecture={**ARCHITECTURE, "channels": [8]}), "expected an object of numbers"),
        (card(classes="abc"), "has classes 'abc'; expected a list of two or more"),
        (card(classes=["a", "a", "b"]), "expected a list of two or more different names"),
        (card(diameter="32"), "has diameter '32'; expected a number"),
        (card(diameter=-1), "has diameter -1; expected a number"),
        (card(pixel_size=int("9" * 400)), "expected a number of µm above 0"),
        (card(window=1.5), "has window 1.5; expected an integer"),
        (card(normalisation={}), "expected an object with a name and its constants"),
        (card(normalisation={"name": "x", "mean": {"a": 1}}), "expected an object with a name"),
        (card(card=None), "has card None; expected an object"),
        (card(name=""), "has name ''; expected a text"),
        (card(name="x" * 10_000), "expected a text"),
    ],
)
def test_a_bad_card_is_refused(tmp_path, text, message):
    path = written(tmp_path / "bad.safetensors", text)
    with pytest.raises(
        WeightsError, match=rf"bad.safetensors cannot be used: .*{message}"
    ) as error:
        load(path)
    assert len(str(error.value)) < 600


def test_a_matrix_is_a_constant_of_a_normalisation(tmp_path):
    text = card(normalisation={"name": "macenko", "stains": [[0.1, 0.2], [0.3, 0.4]]})
    assert load(written(tmp_path / "x.safetensors", text)).normalisation["stains"][1] == [0.3, 0.4]


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, legacy):
    mark = tmp_path / "ran"
    torch.save(
        {"p0.weight": torch.zeros(1), "x": Payload(mark)},
        tmp_path / "evil.pt",
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(WeightsError, match=r"evil.pt holds more than weights: .* it is refused"):
        load_torch(tmp_path / "evil.pt")
    assert not mark.exists()


@pytest.mark.parametrize(("legacy", "step"), [(True, 1), (False, 9)])
def test_torch_files_cut_anywhere_are_refused(tmp_path, legacy, step):
    path = tmp_path / "cut.pt"
    torch.save({"a": torch.zeros(2, 3)}, path, _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    for size in range(4, len(content), step):
        path.write_bytes(content[:size])
        with pytest.raises(WeightsError, match=r"cut.pt is truncated or damaged.*; get it again"):
            load_torch(path)


def test_a_changed_name_of_numbers_is_damage(tmp_path):
    path = tmp_path / "changed.pt"
    torch.save({"a": torch.zeros(2, 3)}, path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    *_, listed = re.finditer(rb"[0-9]{8,}", content)
    content[listed.start()] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"changed.pt is truncated or damaged: storage key"):
        load_torch(path)


def test_a_picture_is_no_torch_file(tmp_path):
    path = tmp_path / "picture.pt"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(WeightsError, match=r"is a PNG picture; expected a torch file"):
        load_torch(path)


@pytest.mark.parametrize(
    ("content", "outline"),
    [([1, 2], "a list"), ({"state_dict": {}, "epoch": 1}, "a dict with 'state_dict', 'epoch'")],
)
def test_only_a_plain_state_dict_is_read(tmp_path, content, outline):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=rf"holds {outline}; expected a plain state_dict"):
        load_torch(tmp_path / "odd.pth")


def test_torch_stays_out_until_a_torch_file_is_read():
    code = (
        "import sys; from napari_wbc_nca.datasets import readers;"
        "from napari_wbc_nca.io import model_store, weights;"
        "assert not {'torch', 'pandas', 'pooch'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
