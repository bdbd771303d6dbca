from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image as Pictures

from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.methods.propagation.params import PropagationParams

ENDINGS = ("_labels.tif", "_nuclei.tif", "_cells.csv", "_overlay.png", ".json")


@pytest.fixture
def smears(tmp_path):
    folder = tmp_path / "smears"
    folder.mkdir()
    for name in ("a", "b"):
        Pictures.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(folder / f"{name}.png")
    return folder


def written(folder):
    return sorted(path.name for path in folder.iterdir())


def files(*names):
    return sorted(f"{name}{ending}" for name in names for ending in ENDINGS)


def test_demo_segments_a_bundled_smear(wbc, workflow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = wbc("demo")
    assert done.status == 0
    assert written(tmp_path / "wbc-demo") == files("smear-1")
    assert "segmented with tiny" in done.out
    assert "1 neutrophil 0.88 0.50 42" in done.out
    assert "wbc-demo/smear-1_labels.tif" in done.out
    assert workflow.calls[0][1] == NcaParams()


def test_demo_into_a_folder_of_ones_own(wbc, workflow, tmp_path):
    assert wbc("demo", "-o", tmp_path / "mine", "--sample", "typed").status == 0
    assert written(tmp_path / "mine") == files("typed")


def test_demo_that_cannot_write_says_so(wbc, workflow, tmp_path):
    (tmp_path / "file").touch()
    done = wbc("demo", "-o", tmp_path / "file")
    assert done.status == 1
    assert "cannot be written" in done.err


def test_each_input_gets_its_files(wbc, workflow, smears, tmp_path):
    done = wbc("segment", smears / "a.png", smears / "b.png", "-o", tmp_path / "out")
    assert done.status == 0
    assert written(tmp_path / "out") == files("a", "b")
    assert done.out.count("1 neutrophil") == 2
    labels = tifffile.imread(tmp_path / "out" / "a_labels.tif")
    assert (labels.shape, labels.sum()) == ((20, 30), 42)
    assert pd.read_csv(tmp_path / "out" / "a_cells.csv")["class"].tolist() == ["neutrophil"]


def test_options_are_the_fields_of_the_params(wbc, workflow, smears, tmp_path):
    given = ["--diameter", 40, "--pixel-size", 0.1, "--seed", 7, "--projection", "pca"]
    more = ["--tile", 256, "--fire-rate", 1, "--device", "cpu", "--batch-size", 4, "--maps"]
    assert wbc("segment", smears, "-o", tmp_path, *given, *more).status == 0
    expected = NcaParams(
        diameter=40, pixel_size=0.1, seed=7, projection="pca", tile=256, fire_rate=1,
        device="cpu", batch_size=4, maps=True,
    )  # fmt: skip
    assert [params for _, params, _, _ in workflow.calls] == [expected, expected]
    recorded = json.loads((tmp_path / "a.json").read_text())["parameters"]
    assert recorded["projection"] == "pca"
    with tifffile.TiffFile(tmp_path / "a_labels.tif") as file:
        assert file.pages[0].tags["XResolution"].value == (10, 1)


@pytest.fixture
def detector(model, workflow, monkeypatch):
    """The stand-in as a model of another method."""
    other = replace(model, method="propagation", name="detector")
    monkeypatch.setattr(model_store, "resolve", lambda _: other)


def test_options_are_those_of_the_models_method(wbc, workflow, detector, smears, tmp_path):
    given = ["--model", "detector", "--locate", "detector", "--min-likelihood", 0.5, "--seed", 1]
    done = wbc("segment", smears, "-o", tmp_path, *given)
    assert done.status == 2
    assert "detector is a model of propagation: unknown parameter 'seed'; known are" in done.err
    assert workflow.calls == []
    assert wbc("segment", smears, "-o", tmp_path, *given[:-2]).status == 0
    assert workflow.calls[0][1] == PropagationParams(locate="detector", min_likelihood=0.5)


def test_choice_of_another_method_names_those_there_are(wbc, detector, smears, tmp_path):
    done = wbc("segment", smears, "-o", tmp_path, "--model", "detector", "--locate", "evidence")
    assert done.status == 2
    assert "locate is 'evidence'; choose one of detector, points, boxes" in done.err


def test_one_broken_input_stops_no_other(wbc, workflow, smears, tmp_path):
    (smears / "broken.png").write_bytes((smears / "a.png").read_bytes())
    (smears / "cut.png").write_bytes(b"\x89PNG")
    done = wbc("segment", smears, tmp_path / "gone.tif", "-o", tmp_path / "out")
    assert done.status == 1
    assert written(tmp_path / "out") == files("a", "b")
    assert f"Failed: {smears / 'broken.png'}: RuntimeError: the network exploded" in done.err
    assert f"Failed: {smears / 'cut.png'}: it is no image that can be read" in done.err
    assert f"Failed: {tmp_path / 'gone.tif'}: there is no such file" in done.err
    assert done.out.count("failed") == 3


def test_folder_and_pattern_without_images_fail(wbc, workflow, smears, tmp_path):
    (tmp_path / "empty").mkdir()
    done = wbc("segment", smears / "a.png", tmp_path / "empty", tmp_path / "*.png", "-o", tmp_path)
    assert done.status == 1
    assert f"Failed: {tmp_path / 'empty'}: there is no image in this folder" in done.err
    assert f"Failed: {tmp_path / '*.png'}: no image matches this pattern" in done.err
    assert (tmp_path / "a_labels.tif").exists()


def test_outputs_are_no_inputs_of_the_next_run(wbc, workflow, smears):
    assert wbc("segment", smears, "-o", smears).status == 0
    assert wbc("segment", smears, smears / "*", "-o", smears, "--force").status == 0
    assert written(smears) == sorted(["a.png", "b.png", *files("a", "b")])


@pytest.mark.parametrize("end", ["_labels.tif", "_cells.csv", "_nuclei.tif", ".json"])
def test_files_of_an_earlier_run_are_replaced_by_force_alone(wbc, workflow, smears, tmp_path, end):
    (tmp_path / f"a{end}").write_text("corrected")
    done = wbc("segment", smears, "-o", tmp_path)
    assert done.status == 1
    assert f"a{end} exists and may hold corrections; choose another folder, or give" in done.err
    assert (tmp_path / f"a{end}").read_text() == "corrected"
    assert [call[0].name for call in workflow.calls] == ["b"]
    assert (tmp_path / "b_labels.tif").exists()
    assert wbc("segment", smears, "-o", tmp_path, "--force").status == 0
    assert (tmp_path / f"a{end}").read_bytes() != b"corrected"


def test_demo_replaces_corrected_cells_by_force_alone(wbc, workflow, tmp_path):
    assert wbc("demo", "-o", tmp_path).status == 0
    (tmp_path / "smear-1_labels.tif").write_text("corrected")
    done = wbc("demo", "-o", tmp_path)
    assert done.status == 1
    assert "smear-1_labels.tif exists" in done.err
    assert wbc("demo", "-o", tmp_path, "--force").status == 0


def test_notes_of_a_run_are_printed(wbc, workflow, smears, tmp_path, monkeypatch):
    def noted(*arguments, **prompts):
        found = yield from workflow(*arguments, **prompts)
        return replace(found, provenance={**found.provenance, "notes": ["2 points gave no cell"]})

    monkeypatch.setattr("napari_wbc_nca.workflow.segment.run", noted)
    done = wbc("segment", smears / "a.png", "-o", tmp_path)
    assert done.status == 0
    assert "Note: a: 2 points gave no cell" in done.err


def test_regions_of_touching_cells_are_no_count(wbc, workflow, smears, tmp_path, monkeypatch):
    def clumped(*arguments, **prompts):
        found = yield from workflow(*arguments, **prompts)
        regions = {"neutrophil": {"regions": 1, "area_share": 0.3}}
        return replace(found, provenance={**found.provenance, "regions": regions})

    monkeypatch.setattr("napari_wbc_nca.workflow.segment.run", clumped)
    done = wbc("segment", smears, "-o", tmp_path)
    assert done.out.count("0 neutrophil on 30% of the image") == 2
    assert "1 neutrophil" not in done.out


def test_points_reach_the_workflow_by_image(wbc, workflow, smears, tmp_path):
    (tmp_path / "p.csv").write_text("image,y,x\na.png,3,4\nb,5,6\na,7,8\n")
    done = wbc(
        "segment", smears, "-o", tmp_path, "--locate", "points", "--points", tmp_path / "p.csv"
    )
    assert done.status == 0
    (_, _, first, boxes), (_, _, second, _) = workflow.calls
    assert boxes is None
    assert first.tolist() == [[3, 4], [7, 8]]
    assert second.tolist() == [[5, 6]]


def test_boxes_reach_the_workflow(wbc, workflow, smears, tmp_path):
    (tmp_path / "b.csv").write_text("y0,x0,y1,x1\n1,2,8,9\n")
    options = ["--locate", "boxes", "--boxes", tmp_path / "b.csv"]
    assert wbc("segment", smears / "a.png", "-o", tmp_path, *options).status == 0
    assert workflow.calls[0][3].tolist() == [[1, 2, 8, 9]]


def test_point_outside_its_image_fails_that_image(wbc, workflow, smears, tmp_path):
    (tmp_path / "p.csv").write_text("image,y,x\na,3,4\nb,25,6\n")
    done = wbc(
        "segment", smears, "-o", tmp_path, "--locate", "points", "--points", tmp_path / "p.csv"
    )
    assert done.status == 1
    assert "(25, 6) lies outside b.png, which is 20 by 30 pixels" in done.err
    assert (tmp_path / "a_labels.tif").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["a.png"], "Missing option '--output'"),
        (["a.png", "-o", "o", "--model", "unknown"], "neither a file nor the name of a model"),
        (["a.png", "-o", "o", "--locate", "everywhere"], "'everywhere' is not one of 'evidence'"),
        (["a.png", "-o", "o", "--tile", "5"], "Invalid value for '--tile'"),
        (["a.png", "-o", "o", "--diameter", "big"], "Invalid value for '--diameter'"),
        (["a.png", "-o", "o", "--diameter", "nan"], "Invalid value"),
        (["a.png", "-o", "o", "--colour", "1"], "No such option: --colour"),
        (["a.png", "-o", "o", "--locate", "points"], "--locate points and --points FILE need each"),
        (["a.png", "-o", "o", "--boxes", "b.csv"], "--locate boxes and --boxes FILE need each"),
        (
            ["a.png", "-o", "o", "--locate", "points", "--points", "no.csv"],
            "no.csv cannot be read: ",
        ),
    ],
)
def test_wrong_usage(wbc, workflow, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    done = wbc("segment", *arguments)
    assert done.status == 2
    assert message in done.err
    assert workflow.calls == written(tmp_path) == []


def test_points_of_no_image_for_several_images(wbc, workflow, smears, tmp_path):
    (tmp_path / "p.csv").write_text("y,x\n3,4\n")
    done = wbc(
        "segment", smears, "-o", tmp_path, "--locate", "points", "--points", tmp_path / "p.csv"
    )
    assert done.status == 2
    assert "has no column image, and there are 2 images" in done.err
