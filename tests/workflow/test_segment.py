from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import planted
import pytest
import torch
from PIL import Image as Picture

from napari_wbc_nca.io import results, weights
from napari_wbc_nca.io.images import sample_path
from napari_wbc_nca.methods import colours
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.methods.propagation.params import PropagationParams
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.types import Image, Segmentation
from napari_wbc_nca.workflow.segment import assemble, estimate_diameter, run, segment

FIELD = planted.smear((40, 50), (80, 110), red=((20, 120),))
CHECKPOINT = planted.checkpoint()
GIVEN = {"diameter": 24.0, "device": "cpu"}
POINTS = np.asarray([[40, 50], [80.5, 110]])


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "smear.png"
    Picture.fromarray(FIELD).save(path)
    return path


def assert_same(first, second):
    np.testing.assert_array_equal(first.labels["cell"], second.labels["cell"])
    np.testing.assert_array_equal(first.labels["nucleus"], second.labels["nucleus"])
    assert first.cells.equals(second.cells)


def test_an_array_an_image_and_a_file_give_the_same(picture):
    array = segment(FIELD, CHECKPOINT, **GIVEN)
    assert isinstance(array, Segmentation)
    assert len(array.cells) == 2
    assert_same(segment(Image(FIELD), CHECKPOINT, **GIVEN), array)
    assert_same(segment(picture, CHECKPOINT, **GIVEN), array)
    assert_same(segment(str(picture), CHECKPOINT, **GIVEN), array)


def test_a_model_file_gives_the_same_as_its_checkpoint(tmp_path):
    path = tmp_path / "model.safetensors"
    weights.save(CHECKPOINT, path)
    expected = segment(FIELD, CHECKPOINT, **GIVEN)
    found = segment(FIELD, path, **GIVEN)
    assert_same(found, expected)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.provenance["model"]["sha256"] == digest


def test_provenance_names_input_model_and_parameters(picture):
    record = segment(picture, CHECKPOINT, seed=3, **GIVEN).provenance
    assert record["program"].startswith("napari-wbc-nca ")
    assert record["input"] == {
        "name": "smear",
        "source": str(picture),
        "shape": [120, 160],
        "pixel_size": None,
        "sha256": hashlib.sha256(picture.read_bytes()).hexdigest(),
    }
    assert record["model"]["method"] == "nca_wss"
    assert record["model"]["classes"] == list(planted.CLASSES)
    assert record["parameters"] | {"seed": 3, **GIVEN} == record["parameters"]
    assert (record["device"], record["complete"], record["cells"]) == ("cpu", True, 2)
    assert not {"points", "boxes"} & set(record)


def test_provenance_runs_it_again(picture):
    first = segment(picture, CHECKPOINT, seed=3, locate="points", points=POINTS, **GIVEN)
    record = json.loads(json.dumps(first.provenance))
    again = segment(
        record["input"]["source"], CHECKPOINT, points=record["points"], **record["parameters"]
    )
    assert_same(again, first)


def test_provenance_keeps_points_and_boxes():
    boxes = np.asarray(planted.boxes((40, 50), radius=13))
    found = segment(FIELD, CHECKPOINT, locate="boxes", boxes=boxes, device="cpu")
    assert found.provenance["boxes"] == [[27, 37, 53, 63]]
    found = segment(FIELD, CHECKPOINT, locate="points", points=POINTS, **GIVEN)
    assert found.provenance["points"] == [[40, 50], [80.5, 110]]


def test_a_result_is_written(tmp_path):
    image = Image(FIELD, "field")
    found = segment(image, CHECKPOINT, locate="points", points=POINTS, **GIVEN)
    files = results.write(found, image, tmp_path)
    record = json.loads(next(f for f in files if f.suffix == ".json").read_text("utf-8"))
    assert record["points"] == POINTS.tolist()


def test_unknown_parameters_models_and_methods_are_refused():
    with pytest.raises(ValueError, match="unknown parameter 'diametre'; known are pixel_size, dia"):
        segment(FIELD, CHECKPOINT, diametre=3)
    with pytest.raises(ValueError, match="tile is 3; it must be at least 128"):
        segment(FIELD, CHECKPOINT, tile=3)
    with pytest.raises(ValueError, match="locate is 'all'; choose one of evidence, detector"):
        segment(FIELD, CHECKPOINT, locate="all")
    with pytest.raises(ValueError, match="unknown method 'otsu'; known are nca_wss, nca_max"):
        segment(FIELD, replace(CHECKPOINT, method="otsu"))
    with pytest.raises(ValueError, match="no-such-model"):
        segment(FIELD, "no-such-model")


def test_a_missing_device_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device 'cuda' is not there"):
        segment(FIELD, CHECKPOINT, device="cuda")


def test_a_cancelled_run_keeps_its_cells():
    image, params = Image(FIELD), NcaParams(locate="points", batch_size=2, **GIVEN)
    points = np.asarray([[40, 50], [80, 110], [30, 130]])
    steps = run(image, CHECKPOINT, params, points=points)
    finished = next(progress.cells for progress in steps if progress.cells)
    steps.close()
    found = assemble(finished, image, CHECKPOINT, params, points)
    assert len(found.cells) == 2
    assert found.provenance["complete"] is False
    assert found.provenance["points"] == points.tolist()
    whole = segment(image, CHECKPOINT, points=points[:2], locate="points", **GIVEN)
    assert_same(found, whole)


def test_a_cancelled_run_has_the_labels_of_its_method():
    image, params = Image(FIELD), PropagationParams(**GIVEN)
    detector = replace(CHECKPOINT, method="propagation", classes=("wbc",))
    found = assemble([], image, detector, params)
    assert found.labels.keys() == {"cell", "contribution"}
    assert {"likelihood", "peak_y", "peak_x"} <= set(found.cells.columns)


def test_the_estimated_diameter_is_what_a_run_uses():
    params = NcaParams(device="cpu")
    estimated = run_to_end(estimate_diameter(Image(FIELD), CHECKPOINT, params))
    assert estimated == pytest.approx(24, rel=0.2)
    found = segment(FIELD, CHECKPOINT, device="cpu")
    assert found.provenance["diameter"] == pytest.approx(estimated, abs=0.01)


SWAPPED = FIELD[..., ::-1]


def test_swapped_colours_as_asked_give_the_same_cells():
    expected = segment(FIELD, CHECKPOINT, channel_order="rgb", **GIVEN)
    found = segment(SWAPPED, CHECKPOINT, channel_order="bgr", **GIVEN)
    assert_same(found, expected)
    assert (expected.provenance["channel_order"], found.provenance["channel_order"]) == (
        "rgb",
        "bgr",
    )
    assert "notes" not in found.provenance


@pytest.mark.parametrize("recognised", ["rgb", "bgr", "uncertain"])
def test_recognised_order_is_applied_and_noted(recognised, monkeypatch):
    monkeypatch.setattr(colours, "recognise_channel_order", lambda sample: recognised)
    found = segment(SWAPPED if recognised == "bgr" else FIELD, CHECKPOINT, **GIVEN)
    assert_same(found, segment(FIELD, CHECKPOINT, channel_order="rgb", **GIVEN))
    assert found.provenance["channel_order"] == ("bgr" if recognised == "bgr" else "rgb")
    said = [note for note in found.provenance.get("notes", []) if "swapped" in note]
    assert len(said) == (recognised != "rgb")


def test_classifier_reads_the_corrected_colours():
    rgb = np.asarray(Picture.open(sample_path("smear-1")).convert("RGB"))[:300, :300]
    given = {"device": "cpu", "locate": "points", "points": [[150, 150]], "diameter": 100.0}
    expected = segment(rgb, "wbc-smear", channel_order="rgb", **given)
    assert_same(segment(rgb[..., ::-1], "wbc-smear", channel_order="bgr", **given), expected)
