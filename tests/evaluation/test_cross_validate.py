from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Picture

from napari_wbc_nca.evaluation import cells as module
from napari_wbc_nca.evaluation.cross_validate import cross_validate
from napari_wbc_nca.evaluation.params import CrossValidateParams
from napari_wbc_nca.evaluation.report import write_report
from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.nca.params import NcaTrainParams
from napari_wbc_nca.ops.labels import cell_table
from napari_wbc_nca.progress import Progress, run_to_end
from napari_wbc_nca.types import Cell, Checkpoint, Segmentation

NORMAL = {"name": "density"}


def crops(folder, shade, slides=4):
    """Two crops a slide, a neutrophil and a lymphocyte, in a folder a class, with a data.toml."""
    rng = np.random.default_rng(shade)
    for slide in range(slides):
        for name in ("neutrophil", "lymphocyte"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)
            Picture.fromarray(pixels).save(folder / name / f"S{slide}_{name[0]}.png")
    listing = folder.parent / f"{folder.name}.toml"
    listing.write_text(f"[[source]]\npath = '{folder.name}'\ngroup = '(S\\d+)_'\n")
    return listing


@pytest.fixture
def taught(monkeypatch):
    """Names that each training saw; its model is right on the types of sets it was trained on."""
    seen = []

    def train(samples, params, init=None, state_file=None):
        yield Progress(1, 1, "epoch 1")
        seen.append([sample.path for sample in samples])
        sources = sorted({sample.source for sample in samples})
        classes = ("neutrophil", "lymphocyte", "none")
        return Checkpoint("nca_wss", {}, {}, classes, 32.0, 0.4, 64, NORMAL, card={"sets": sources})

    def predict(image, checkpoint, params):
        yield Progress(0, 1)
        source = Path(image.source)
        known = source.parents[1].name in checkpoint.card["sets"]
        name = source.parent.name if known else "neutrophil"
        mask = np.ones(image.shape, bool)
        chances = {other: float(other == name) for other in checkpoint.classes}
        cells = [Cell((16, 16), (0, 0), mask, mask, mask.astype("f4"), name, chances, 1.0)]
        labels = {key: mask.astype(np.uint32) for key in ("cell", "nucleus")}
        return Segmentation(labels, cell_table(cells, checkpoint.classes), {}, {})

    monkeypatch.setattr(registry, "load", lambda target: train)
    monkeypatch.setattr(module, "predict", predict)
    return seen


def test_no_slide_is_trained_on_and_measured(tmp_path, taught):
    listing = crops(tmp_path / "lab", 1)
    steps = cross_validate("nca_wss", [listing], CrossValidateParams(folds=2))
    measured = run_to_end(steps)
    assert len(taught) == 2
    slides = [{path.name.split("_")[0] for path in paths} for paths in taught]
    assert slides[0].isdisjoint(slides[1])
    assert [len(paths) for paths in taught] == [4, 4]
    assert measured.folds.cells.tolist() == [4, 4]
    assert measured.provenance["train"]["channels"] == 32


def test_each_set_is_measured_by_models_of_every_set(tmp_path, taught):
    data = [crops(tmp_path / "one", 1), crops(tmp_path / "two", 2)]
    train = NcaTrainParams(seed=5)
    work = cross_validate("nca_wss", data, CrossValidateParams(folds=2), train)
    messages = []
    while True:
        try:
            messages.append(next(work).message)
        except StopIteration as stop:
            measured = stop.value
            break
    assert messages[0] == "train on one, fold 1 of 2: epoch 1"
    assert measured.folds.groupby(["train", "test"]).cells.sum().to_dict() == {
        **{("one", "one"): 8, ("two", "two"): 8},
        **{("one", "two"): 16, ("two", "one"): 16},
    }
    types = measured.transfer[measured.transfer.figure == "type_balanced"]
    means = types.set_index(["train", "test"])["mean"].to_dict()
    assert means == {
        **{("one", "one"): 1, ("two", "two"): 1},
        **{("one", "two"): 0.5, ("two", "one"): 0.5},
    }
    assert measured.provenance["train"]["seed"] == 5
    write_report(measured, tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out" / "folds.csv")) == 8
    assert (tmp_path / "out" / "type_balanced_model.png").exists()
    row = "| type_balanced | model | one | 1.000 ± 0.000 | 0.500 ± 0.000 |"
    assert row in measured.text().splitlines()


def test_too_few_slides_are_refused(tmp_path, taught):
    listing = crops(tmp_path / "lab", 1, slides=3)
    with pytest.raises(ValueError, match="3 groups cannot make 5 folds"):
        run_to_end(cross_validate("nca_wss", [listing], CrossValidateParams()))


def test_sets_that_share_a_picture_are_refused(tmp_path, taught):
    data = [crops(tmp_path / "one", 1), crops(tmp_path / "two", 1)]
    with pytest.raises(ValueError, match="show the same picture"):
        run_to_end(cross_validate("nca_wss", data, CrossValidateParams(folds=2)))


def test_sets_of_one_name_are_refused(tmp_path, taught):
    data = [crops(tmp_path / "a" / "lab", 1), crops(tmp_path / "b" / "lab", 2)]
    with pytest.raises(ValueError, match="have one name"):
        run_to_end(cross_validate("nca_wss", data, CrossValidateParams(folds=2)))


def test_a_set_for_testing_is_measured_by_all_folds_and_trains_none(tmp_path, taught):
    data, other = [crops(tmp_path / "one", 1)], crops(tmp_path / "two", 2)
    steps = cross_validate("nca_wss", data, CrossValidateParams(folds=2), test=[other])
    measured = run_to_end(steps)
    assert len(taught) == 2
    assert all(path.parents[1].name == "one" for paths in taught for path in paths)
    assert measured.folds.groupby(["train", "test"]).cells.sum().to_dict() == {
        ("one", "one"): 8,
        ("one", "two"): 16,
    }
    row = "| type_balanced | model | one | 1.000 ± 0.000 | 0.500 ± 0.000 |"
    assert row in measured.text().splitlines()


def test_a_set_for_testing_that_cannot_be_used_is_refused_before_training(tmp_path, taught):
    data = [crops(tmp_path / "one", 1)]
    with pytest.raises(ValueError, match="missing"):
        run_to_end(
            cross_validate(
                "nca_wss", data, CrossValidateParams(folds=2), test=[tmp_path / "missing"]
            )
        )
    shared = [crops(tmp_path / "two", 1)]
    with pytest.raises(ValueError, match="show the same picture"):
        run_to_end(cross_validate("nca_wss", data, CrossValidateParams(folds=2), test=shared))
    assert not taught


def test_a_stopped_run_goes_on_after_its_finished_folds(tmp_path, taught):
    data, kept = [crops(tmp_path / "one", 1)], tmp_path / "out"
    params = CrossValidateParams(folds=3)
    whole = run_to_end(cross_validate("nca_wss", data, params, folder=kept))
    assert len(taught) == 3
    (kept / "folds" / "one-2-on-one.csv").unlink()
    (kept / "folds" / "one-3.safetensors").unlink()
    (kept / "folds" / "one-3-on-one.csv").unlink()
    other = [crops(tmp_path / "two", 2)]
    again = run_to_end(cross_validate("nca_wss", data, params, test=other, folder=kept))
    assert len(taught) == 4  # the third fold
    assert taught[3] == taught[2]
    pd.testing.assert_frame_equal(
        again.folds[again.folds.test == "one"].reset_index(drop=True), whole.folds
    )
    with pytest.raises(ValueError, match="made with another train; repeat these settings"):
        run_to_end(cross_validate("nca_wss", data, params, NcaTrainParams(seed=5), folder=kept))
