from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest
from checkpoints import checkpoint, mixer

from napari_wbc_nca.datasets import synthetic
from napari_wbc_nca.evaluation import cross_validate, evaluate, report
from napari_wbc_nca.evaluation.params import CrossValidateParams, EvaluateParams
from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.nca.params import NcaParams, NcaTrainParams
from napari_wbc_nca.progress import Progress


@pytest.fixture
def measured(model, monkeypatch):
    """Stand-ins for measuring and for writing; the list of their calls."""
    calls = []

    def stand_in(*arguments):
        calls.append(arguments)
        yield Progress(1, 1, "measured a")
        return SimpleNamespace(text=lambda: "cell IoU | 0.900", notes=["seen before"])

    monkeypatch.setattr(evaluate, "run", stand_in)
    monkeypatch.setattr(cross_validate, "cross_validate", stand_in)
    monkeypatch.setattr(report, "write_report", lambda _, folder: calls.append(folder))
    return calls


def test_model_is_measured_and_reported(wbc, measured, model, tmp_path):
    options = ["--projections", "pca,centre", "--diameter", 40]
    done = wbc("evaluate", "tiny", tmp_path, "-o", tmp_path / "r", *options)
    assert done.status == 0
    params = EvaluateParams(projections="pca,centre")
    assert measured == [
        ([model], [tmp_path], params, {"diameter": 40}),
        tmp_path / "r",
    ]
    assert "cell IoU | 0.900" in done.out
    assert "Tables and plots are in" in done.out
    assert "Note: seen before" in done.err


def test_method_is_measured_in_folds(wbc, measured, tmp_path):
    options = [
        "--folds",
        3,
        "--train",
        "epochs=2",
        "--train",
        "gradient_checkpointing=yes",
        "--seed",
        5,
        "--test",
        tmp_path / "t",
    ]
    done = wbc("evaluate", "nca_wss", tmp_path, tmp_path / "b", "-o", tmp_path / "r", *options)
    assert done.status == 0
    assert measured[0] == (
        "nca_wss",
        [tmp_path, tmp_path / "b"],
        CrossValidateParams(folds=3),
        NcaTrainParams(epochs=2, gradient_checkpointing=True),
        NcaParams(seed=5),
        [tmp_path / "t"],
        tmp_path / "r",
    )


def test_failure_says_why(wbc, model, monkeypatch, tmp_path):
    def fail(*_):
        raise ValueError("no pictures; give a folder")
        yield

    monkeypatch.setattr(evaluate, "run", fail)
    done = wbc("evaluate", "tiny", tmp_path)
    assert (done.status, done.err) == (1, "Error: no pictures; give a folder")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny"], "Missing argument"),
        (["unknown", "d"], "neither a file nor the name of a model"),
        (["tiny", "d", "e"], "several data sets, --test or --train need --folds"),
        (["tiny", "d", "--test", "e"], "several data sets, --test or --train need --folds"),
        (["tiny", "d", "--train", "epochs=3"], "several data sets, --test or --train need --folds"),
        (["tiny", "d", "--folds", "3"], "the first argument is a method: nca_wss, nca_max"),
        (["nca_wss", "d", "--folds", "1"], "Invalid value for '--folds'"),
        (["nca_wss", "d", "--folds", "3", "--train", "epoch=3"], "expected name=value"),
        (["nca_wss", "d", "--folds", "3", "--train", "epochs"], "expected name=value"),
        (["nca_wss", "d", "--folds", "3", "--train", "epochs=x"], "a value of type int"),
        (["nca_wss", "d", "--folds", "3", "--train", "epochs=-1"], "epochs is -1; it must be at"),
        (
            ["nca_wss", "d", "--folds", "3", "--train", "gradient_checkpointing=3"],
            "a value of type bool",
        ),
    ],
)
def test_wrong_usage(wbc, measured, arguments, message):
    done = wbc("evaluate", *arguments)
    assert done.status == 2
    assert message in done.err
    assert measured == []


def test_two_models_are_compared(wbc, measured, model, tmp_path):
    options = ["--against", "other", "-o", tmp_path / "r", "--overlap", 0.6, "--seed", 3]
    done = wbc("evaluate", "tiny", tmp_path, *options)
    assert done.status == 0
    params = EvaluateParams(overlap=0.6)
    assert measured == [([model, model], [tmp_path], params, {"seed": 3}), tmp_path / "r"]
    assert "cell IoU | 0.900" in done.out


def test_comparing_and_folds_exclude_each_other(wbc, measured, tmp_path):
    done = wbc("evaluate", "nca_wss", tmp_path, "--folds", 3, "--against", "tiny")
    assert done.status == 2
    assert "give one" in done.err


@pytest.fixture
def mixers(monkeypatch, tmp_path):
    """Folder of known cultures, while ``A`` and ``B`` name two models of a class per pixel."""
    known = {"A": mixer(0, name="A"), "B": mixer(1, name="B"), "cells": checkpoint(name="cells")}
    monkeypatch.setattr(model_store, "resolve", known.__getitem__)
    synthetic.write_known(tmp_path / "known", 1, (96, 96))
    return tmp_path / "known"


@pytest.mark.parametrize("models", [["A,B"], ["A", "--against", "B"]])
def test_class_maps_of_two_models_stand_side_by_side(wbc, mixers, models, tmp_path):
    done = wbc("evaluate", *models[:1], mixers, *models[1:], "-o", tmp_path / "r", "--device=cpu")
    assert (done.status, done.err) == (0, "")
    for place in ("mixed", "unmixed", "artificial"):
        assert f"{place} A accuracy A IoU B accuracy B IoU" in done.out.replace("|", "").replace(
            "  ", " "
        )
    table = pd.read_csv(tmp_path / "r" / "classes.csv")
    assert set(table["model"]) == {"A", "B"}
    assert set(table["class"]) >= {"background", *synthetic.KINDS, "cells"}
    assert "| granular |" in (tmp_path / "r" / "classes.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["A,cells"], "all must be of cellmixer, but cells is a model of nca_wss; give one model"),
        (["A", "--types", "granular"], "types does not matter where the class of each pixel"),
    ],
)
def test_what_class_maps_cannot_be_measured_by(wbc, mixers, arguments, message):
    done = wbc("evaluate", arguments[0], mixers, *arguments[1:])
    assert done.status == 2
    assert message in done.err


def test_three_models_need_masks(wbc, mixers, tmp_path):
    (tmp_path / "empty").mkdir()
    done = wbc("evaluate", "A,B", tmp_path / "empty", "-o", tmp_path / "r")
    assert done.status == 1
    assert "no pictures; expected" in done.err
    done = wbc("evaluate", "A,B,A", tmp_path / "empty", "-o", tmp_path / "r")
    assert done.status == 2
    assert "got 3 models and 1 data sets; expected one or two models" in done.err
