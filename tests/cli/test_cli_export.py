"""``export`` and ``import``: files in, folders out, and messages where they cannot be."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image as Pictures

from napari_wbc_nca.formats.registry import FORMATS
from napari_wbc_nca.io.images import read
from napari_wbc_nca.workflow.export import import_labels


@pytest.fixture
def labelled(tmp_path):
    """A picture, labels of three cells and their table, as somebody has them."""
    labels = np.zeros((40, 60), np.uint16)
    labels[3:9, 4:12], labels[20:30, 20:35], labels[5:12, 45:55] = 1, 2, 7
    tifffile.imwrite(tmp_path / "s1_labels.tif", labels)
    (tmp_path / "s1_cells.csv").write_text(
        "label,class\n1,neutrophil\n2,lymphocyte\n7,neutrophil\n"
    )
    Pictures.fromarray(np.full((40, 60, 3), 220, np.uint8)).save(tmp_path / "s1.png")
    return tmp_path, labels


def test_labels_are_exported_in_several_formats(wbc, labelled):
    folder, labels = labelled
    done = wbc(
        *("export", folder / "s1_labels.tif", "--image", folder / "s1.png", "-o", folder / "out"),
        *("-f", "coco,qupath", "-f", "crops", "--pixel-size", 0.5, "--annotator", "Ada"),
    )
    assert done.status == 0, done.err
    assert "qupath" in done.out
    (found,) = import_labels(folder / "out" / "coco")
    np.testing.assert_array_equal(found.labels, labels)
    assert found.cells["class"].tolist() == ["neutrophil", "lymphocyte", "neutrophil"]
    assert len(list((folder / "out/crops/neutrophil").iterdir())) == 2
    record = json.loads((folder / "out/coco/provenance.json").read_text())
    assert record["annotator"] == "Ada"


def test_all_formats_are_written_for_a_folder(wbc, labelled):
    folder, _ = labelled
    (folder / "s1.json").write_text(
        json.dumps({"program": "napari-wbc-nca", "input": {"source": "s1.png", "pixel_size": 0.5}})
    )
    done = wbc("export", folder, "-o", folder / "out", "-f", "all")
    assert done.status == 0, done.err
    assert {path.name for path in (folder / "out").iterdir()} == set(FORMATS)


def test_reviewed_regions_are_said_to_leave_cells_out(wbc, labelled):
    folder, labels = labelled
    mask = np.zeros(labels.shape, np.uint8)
    mask[:, :40] = 255
    Pictures.fromarray(mask).save(folder / "mask.png")
    done = wbc(
        *("export", folder / "s1_labels.tif", "-o", folder / "out", "-f", "tiff"),
        *("--reviewed", folder / "mask.png"),
    )
    assert done.status == 0, done.err
    assert "1 of 3 cells lie there" in done.out
    assert 7 not in tifffile.imread(folder / "out/tiff/labels/s1.tif")


def test_labels_are_imported_and_open_as_ours(wbc, labelled):
    folder, labels = labelled
    assert wbc("export", folder, "-o", folder / "out", "-f", "qupath").status == 0
    path = folder / "out/qupath/s1.geojson"
    done = wbc("import", path, "-o", folder / "in", "--image", folder / "s1.png")
    assert done.status == 0, done.err
    assert "2 neutrophil, 1 lymphocyte" in done.out
    np.testing.assert_array_equal(read(folder / "in/s1_labels.tif").pixels, labels)
    again = wbc("import", path, "-o", folder / "in")
    assert again.status == 1
    assert "s1_labels.tif exists" in again.err
    assert wbc("import", path, "-o", folder / "in", "--force").status == 0


def test_name_that_exists_needs_force(wbc, labelled):
    folder, _ = labelled
    command = ("export", folder, "-o", folder / "out", "-f", "tiff")
    assert wbc(*command).status == 0
    refused = wbc(*command)
    assert refused.status == 1
    assert "exists; choose another folder, or replace it with --force" in refused.err
    assert wbc(*command, "--force").status == 0


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["-f", "x"], 2, "unknown format x; known are tiff, coco"),
        (["-f", "tiff", "--image", "a", "--image", "b"], 2, "2 for 1 label images; give one for"),
        (["-f", "tiff", "--image", "missing.png"], 1, "missing.png: there is no such file"),
        (["-f", "tiff", "--cells", "missing.csv"], 1, "missing.csv does not exist"),
        (["-f", "tiff", "--test", "2"], 2, "--test"),
    ],
)
def test_what_cannot_be_is_refused(wbc, labelled, options, status, message):
    folder, _ = labelled
    done = wbc("export", folder / "s1_labels.tif", "-o", folder / "out", *options)
    assert done.status == status
    assert message.replace(" ", "") in done.err.replace(" ", "")
    assert not (folder / "out").exists()


def test_folder_without_labels_is_refused(wbc, tmp_path):
    done = wbc("export", tmp_path, "-o", tmp_path / "out", "-f", "tiff")
    assert done.status == 1
    assert "no NAME_labels.tif in it; give label images, or what segment wrote" in done.err


def test_format_that_cannot_be_written_is_named_and_the_others_written(wbc, labelled):
    folder, _ = labelled
    done = wbc(
        *("export", folder / "s1_labels.tif", "--image", folder / "s1.png"),
        *("-o", folder / "out", "-f", "all"),
    )
    assert done.status == 1
    assert "Not written: crops: s1: the size of its pixels is unknown" in done.out + done.err
    assert {path.name for path in (folder / "out").iterdir()} == set(FORMATS) - {"crops"}


def test_import_without_any_cell_is_refused_and_what_is_left_out_is_said(wbc, labelled):
    folder, _ = labelled
    line = {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[1, 1], [2, 2]]}}
    (folder / "x.geojson").write_text(json.dumps(line))
    done = wbc("import", folder / "x.geojson", "-o", folder / "in", "--image", folder / "s1.png")
    assert done.status == 1
    assert "no cell in it; x.geojson: 1 objects with LineString" in " ".join(done.err.split())
    assert not (folder / "in").exists()
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [4, 5]}}
    point["properties"] = {"classification": "monocyte"}
    (folder / "x.geojson").write_text(json.dumps([line, point]))
    done = wbc("import", folder / "x.geojson", "-o", folder / "in", "--image", folder / "s1.png")
    assert done.status == 0, done.err
    assert "Note: x.geojson: 1 objects with LineString" in done.out
    assert wbc("export", folder / "in", "-o", folder / "out", "-f", "coco").status == 0
    assert (folder / "out/coco/images/x.png").exists()  # the record names the image
