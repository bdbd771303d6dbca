"""An export appears whole or not at all, says where each cell came from, and leaks nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
from exported import random_cells, random_image, random_labels
from PIL import Image as Pictures

from napari_wbc_nca.formats import files, registry
from napari_wbc_nca.formats.items import ExportError, item, keep_reviewed
from napari_wbc_nca.formats.params import ExportParams
from napari_wbc_nca.formats.registry import FORMATS
from napari_wbc_nca.io import results
from napari_wbc_nca.params import from_mapping
from napari_wbc_nca.types import Image, Segmentation
from napari_wbc_nca.workflow import export as workflow
from napari_wbc_nca.workflow.export import export, import_labels, split_items, write_imported

RNG = np.random.default_rng(8)
LABELS = random_labels(RNG, (60, 50), 40)
IMAGE = random_image(RNG, LABELS)
CELLS = random_cells(RNG, LABELS)


def left_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def provenance(done, name):
    return json.loads((done.folders[name] / "provenance.json").read_text())


@pytest.fixture
def small(disk):
    """A disk of 100 KiB with somebody's file on it."""
    place = disk(100)
    (place / "mine.txt").write_text("precious")
    return place


@pytest.mark.parametrize("name", FORMATS)
def test_full_disk_leaves_nothing(small, name):
    labels = random_labels(np.random.default_rng(1), (400, 400), 3000)
    image = random_image(np.random.default_rng(1), labels)
    with pytest.raises(ExportError, match="make room") as caught:
        export(labels, small / "out", name, image)
    assert str(small) in str(caught.value)
    assert left_in(small) == ["mine.txt"]


def test_full_disk_keeps_the_earlier_export(small):
    before = export(np.ones((20, 20), int), small, ["qupath", "tiff"])
    content = {path: path.read_bytes() for path in before.files}
    labels = random_labels(np.random.default_rng(1), (400, 400), 3000)
    with pytest.raises(ExportError, match="make room"):
        export(labels, small, ["qupath", "tiff"], force=True)
    assert {path: path.read_bytes() for path in content} == content
    assert [name for name in os.listdir(small) if name.startswith(".")] == []


def test_folder_that_cannot_be_written_to_is_refused(small):
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    with pytest.raises(ExportError, match="Read-only file system; choose a folder that"):
        export(LABELS, small / "out", ["coco", "tiff"], IMAGE)


def test_silent_failure_of_a_library_on_a_full_disk_is_understood(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError("3600 requested and 0 written")

    monkeypatch.setattr(registry, "load", lambda target: fails)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    with pytest.raises(ExportError, match="make room"):
        export(LABELS, tmp_path, "tiff")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**9))
    with pytest.raises(ExportError, match="0 written; choose another folder; nothing was exported"):
        export(LABELS, tmp_path, "tiff")
    assert left_in(tmp_path) == []


def test_failure_of_the_second_format_leaves_neither(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tifffile, "imwrite", denied)
    with pytest.raises(ExportError, match="choose a folder that you may write to"):
        export(LABELS, tmp_path / "new", ["qupath", "tiff"], IMAGE)
    assert left_in(tmp_path) == []


def test_failing_rename_puts_everything_back(tmp_path, monkeypatch):
    first = export(LABELS, tmp_path, ["qupath", "tiff"], annotator="first")
    before = left_in(tmp_path)
    replace = os.replace

    def refuse_last(source, target):
        if str(target).endswith("tiff"):
            raise OSError(errno.EACCES, "Access is denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse_last)
    with pytest.raises(ExportError, match="Access is denied"):
        export(LABELS, tmp_path, ["qupath", "tiff"], force=True, annotator="second")
    monkeypatch.undo()
    assert provenance(first, "qupath")["annotator"] == "first"
    assert [name for name in before if name.startswith("qupath")] == [
        name for name in left_in(tmp_path) if name.startswith("qupath")
    ]


def test_name_that_exists_is_refused_before_anything_is_written(tmp_path):
    export(LABELS, tmp_path, "qupath")
    before = left_in(tmp_path)
    with pytest.raises(ExportError, match=r"qupath exists; choose another folder, or replace it"):
        export(LABELS, tmp_path, ["coco", "qupath"])
    assert left_in(tmp_path) == before


def test_earlier_export_is_replaced_on_request(tmp_path):
    export(LABELS, tmp_path, "tiff", annotator="first")
    (tmp_path / "tiff" / "labels" / "old.tif").touch()
    done = export(LABELS, tmp_path, "tiff", force=True, annotator="second")
    assert provenance(done, "tiff")["annotator"] == "second"
    assert left_in(tmp_path / "tiff") == [
        "labels",
        "labels/image.tif",
        "labels/image_cells.csv",
        "provenance.json",
    ]


@pytest.mark.parametrize("content", [None, "{}", "[]", '{"program": "other"}', "{"])
def test_folder_of_somebody_else_is_never_replaced(tmp_path, content):
    mine = tmp_path / "tiff"
    mine.mkdir()
    (mine / "mine.txt").write_text("precious")
    if content is not None:
        (mine / "provenance.json").write_text(content)
    with pytest.raises(
        ExportError, match="is no export of this program, so that it is not replaced"
    ):
        export(LABELS, tmp_path, "tiff", force=True)
    assert (mine / "mine.txt").read_text() == "precious"


def test_cancelled_export_leaves_nothing(tmp_path):
    steps = workflow.run([item("a", LABELS)], ["qupath", "tiff"], tmp_path, ExportParams())
    next(steps)
    next(steps)
    assert left_in(tmp_path)
    steps.close()
    assert left_in(tmp_path) == []


def test_labels_without_any_cell_are_refused(tmp_path):
    with pytest.raises(ExportError, match="there is no cell in image; segment or draw some"):
        export(np.zeros((5, 5), int), tmp_path, list(FORMATS), Image(np.zeros((5, 5, 3), np.uint8)))
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("name", FORMATS)
def test_image_without_cells_stays_as_background(tmp_path, name):
    pixels = np.full((30, 40, 3), 200, np.uint8)
    empty = item("empty", np.zeros((30, 40), int), None, pixels, 0.5)
    items = [item("full", np.eye(30, 40, dtype=int), None, pixels, 0.5), empty]
    done = export(items, tmp_path, name)
    assert "Without any cell: empty." in done.notes[0]
    found = {one.name: len(one.cells) for one in import_labels(tmp_path / name)}
    assert found.get("empty", 0) == 0
    assert ("empty" in found) == (name != "crops")
    assert found["full"] == 1


@pytest.mark.parametrize("name", FORMATS)
def test_cells_of_one_class_are_exported_and_said_to_be(tmp_path, name):
    table = pd.DataFrame({"label": [1], "class": ["monocyte"]})
    labels = np.zeros((20, 20), int)
    labels[4:9, 4:9] = 1
    done = export(labels, tmp_path, name, Image(np.zeros((20, 20, 3), np.uint8), "a", 0.5), table)
    assert any("The only cell is of class monocyte" in note for note in done.notes)
    (found,) = import_labels(tmp_path / name)
    assert found.cells["class"].tolist() == ["monocyte"]


def test_provenance_tells_sources_model_parameters_and_every_cell(tmp_path):
    picture = tmp_path / "field.png"
    Pictures.fromarray(IMAGE.pixels).save(picture)
    run = {
        "program": "napari-wbc-nca 0.1",
        "input": {"source": str(picture)},
        "model": {"name": "wbc-smear", "sha256": "abc"},
        "parameters": {"seed": 3},
    }
    table = CELLS.assign(box_y0=0, box_x0=0, box_y1=1)
    found = Segmentation({"cell": LABELS.astype(np.uint32)}, table, {}, run)
    results.write(found, Image(IMAGE.pixels, "field"), tmp_path / "runs")
    done = export(tmp_path / "runs", tmp_path / "out", "coco", annotator="Ada", validation=0)
    entry = provenance(done, "coco")
    (image,) = entry["images"]
    assert entry["program"].startswith("napari-wbc-nca ")
    assert entry["annotator"] == "Ada"
    assert entry["format"] == "coco"
    assert entry["parameters"]["crop"] == 27
    assert entry["time"].endswith("+00:00")
    assert image["sha256"] == hashlib.sha256(picture.read_bytes()).hexdigest()
    labels = tmp_path / "runs/field_labels.tif"
    assert image["labels"]["sha256"] == hashlib.sha256(labels.read_bytes()).hexdigest()
    assert image["segmentation"]["model"] == {"name": "wbc-smear", "sha256": "abc"}
    assert image["segmentation"]["parameters"] == {"seed": 3}
    expected = CELLS[["label", "class", "origin"]].to_dict("records")
    assert image["cells"] == expected
    assert set(entry["files"]) == {"annotations/instances.json", "images/field.png"}


def test_cells_without_a_row_were_added(tmp_path):
    labels = np.array([[1, 2]])
    done = export(labels, tmp_path, "tiff", cells=pd.DataFrame({"label": [1], "class": ["wbc"]}))
    (image,) = provenance(done, "tiff")["images"]
    assert [cell["origin"] for cell in image["cells"]] == ["auto", "added"]


def test_segmentation_in_memory_is_exported_with_its_record(tmp_path):
    found = Segmentation({"cell": LABELS}, CELLS, {}, {"model": {"name": "m", "sha256": "s"}})
    done = export(found, tmp_path, "tiff", IMAGE)
    (image,) = provenance(done, "tiff")["images"]
    assert image["segmentation"] == {"model": {"name": "m", "sha256": "s"}}
    assert len(image["sha256"]) == len(image["labels"]["sha256"]) == 64


# What nobody reviewed


def two_halves():
    """Cell 1 is reviewed, 2 is not, 3 is for the greater part, 4 for the smaller."""
    labels = np.zeros((20, 40), int)
    labels[2:6, 2:6], labels[2:6, 30:36] = 1, 2
    labels[10:13, 15:22], labels[15:18, 18:26] = 3, 4
    reviewed = np.zeros(labels.shape, bool)
    reviewed[:, :20] = True
    return labels, reviewed


def test_cells_are_taken_whole_or_ignored_whole():
    labels, reviewed = two_halves()
    found = keep_reviewed(item("a", labels), reviewed)
    assert found.cells["label"].tolist() == [1, 3]
    assert found.left_out == (2, 4)
    assert not found.ignore[found.labels > 0].any()
    assert found.ignore[(labels == 2) | (labels == 4)].all()
    assert not found.ignore[(labels == 3)].any()
    np.testing.assert_array_equal(found.ignore[labels == 0], ~reviewed[labels == 0])


def whole_image(labels):
    return Image(np.full((*labels.shape, 3), 200, np.uint8), "a", 0.5)


@pytest.mark.parametrize("name", FORMATS)
def test_what_nobody_reviewed_is_never_background(tmp_path, name):
    labels, reviewed = two_halves()
    done = export(labels, tmp_path, name, whole_image(labels), reviewed=reviewed)
    entry = provenance(done, name)
    assert entry["images"][0]["left_out"] == [2, 4]
    assert "2 of 4 cells lie there" in entry["notes"][0]
    ignored = keep_reviewed(item("a", labels), reviewed).ignore
    (found,) = import_labels(done.folders[name])
    if FORMATS[name].ignores in ("mask", "label", "region"):
        np.testing.assert_array_equal(found.ignore, ignored)
    elif FORMATS[name].ignores == "grey":
        shown = next(path for path in done.files if path.name in ("a.png", "a.tif"))
        pixels = np.asarray(Pictures.open(shown))
        assert (pixels[ignored] == 114).all()
        assert (pixels[~ignored] == 200).all()


def test_ignored_pixels_are_crowd_in_coco_and_255_in_masks(tmp_path):
    labels, reviewed = two_halves()
    done = export(
        labels, tmp_path, ["coco", "tiff", "nnunet"], whole_image(labels), reviewed=reviewed
    )
    content = json.loads((done.folders["coco"] / "annotations/instances.json").read_text())
    crowds = [some for some in content["annotations"] if some["iscrowd"]]
    ignored = keep_reviewed(item("a", labels), reviewed).ignore
    assert [some["area"] for some in crowds] == [np.count_nonzero(ignored)]
    mask = tifffile.imread(done.folders["tiff"] / "ignore/a.tif")
    np.testing.assert_array_equal(mask, ignored * 255)
    meaning = json.loads(next(done.folders["nnunet"].rglob("dataset.json")).read_text())["labels"]
    assert meaning == {"background": 0, "wbc": 1, "ignore": 2}


@pytest.mark.parametrize("form", ["geojson", "png"])
def test_reviewed_regions_come_from_files(tmp_path, form):
    labels, reviewed = two_halves()
    path = tmp_path / f"reviewed.{form}"
    if form == "png":
        Pictures.fromarray(reviewed.astype(np.uint8)).save(path)
    else:
        ring = [[0, 0], [20, 0], [20, 20], [0, 20], [0, 0]]
        path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
        path.write_text(json.dumps({"type": "Feature", "geometry": json.loads(path.read_text())}))
    done = export(labels, tmp_path / "out", "tiff", reviewed=path)
    assert provenance(done, "tiff")["images"][0]["left_out"] == [2, 4]


def test_regions_that_do_not_fit_are_refused():
    with pytest.raises(ExportError, match="regions are 3 × 3 pixels and the labels 2 × 2"):
        keep_reviewed(item("a", np.ones((2, 2), int)), np.ones((3, 3), bool))
    with pytest.raises(ExportError, match="no pixel lies in the reviewed regions"):
        keep_reviewed(item("a", np.ones((2, 2), int)), np.zeros((2, 2), bool))


# Splits


def images(count):
    return [item(f"s{number:02d}", np.ones((2, 2), int)) for number in range(count)]


def sides(items):
    return [one.split for one in items]


def test_images_are_split_by_their_shares_and_seed():
    params = from_mapping(ExportParams, {"validation": 0.2, "test": 0.3, "seed": 4})
    found = sides(split_items(images(20), params))
    assert {side: found.count(side) for side in set(found)} == {"train": 10, "val": 4, "test": 6}
    assert sides(split_items(images(20), params)) == found
    other = from_mapping(ExportParams, {"validation": 0.2, "test": 0.3, "seed": 5})
    assert sides(split_items(images(20), other)) != found


@pytest.mark.parametrize("seed", range(20))
def test_patients_stay_on_one_side(tmp_path, seed):
    table = tmp_path / "groups.csv"
    patients = [f"p{min(number // 2, 5)}" for number in range(20)]
    rows = [f"s{number:02d}.png,{patients[number]}" for number in range(20)]
    table.write_text("\n".join(["Image, Patient", *rows]))
    values = {"validation": 0.2, "test": 0.2, "split_by": "patient", "seed": seed}
    found = sides(split_items(images(20), from_mapping(ExportParams, values), table))
    assert set(found) == {"train", "val", "test"}
    for patient in set(patients):
        assert len({side for side, own in zip(found, patients, strict=True) if own == patient}) == 1


def test_layers_of_one_image_stay_together():
    items = [
        item(f"{name} {kind}", np.ones((2, 2), int), record={"source": f"{name}.png"})
        for name in "abcdef"
        for kind in ("cells", "nuclei")
    ]
    found = sides(split_items(items, ExportParams(validation=0.5)))
    assert found[::2] == found[1::2]
    assert set(found) == {"train", "val"}


def test_given_splits_are_kept(tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("image,split\ns00,training\ns01,validation\ns02,test\n")
    assert sides(split_items(images(3), ExportParams(), table)) == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("rows", "values", "message"),
    [
        (None, {"split_by": "slide", "test": 0.5}, "give a CSV with the columns image and slide"),
        ("slide,split\nx,y\n", {"test": 0.5}, "no column image; found slide, split"),
        ("image,slide\ns00,x\n", {"split_by": "slide", "test": 0.5}, "has no row for s01; add one"),
        ("image,slide\ns00,x\ns01,\n", {"split_by": "slide", "test": 0.5}, "no slide for s01"),
        ("image,slide\ns00,x\ns01,x\n", {"split_by": "slide", "test": 0.5}, "1 slide cannot be"),
        ("image,split\ns00,a\ns01,b\n", {}, "s00 has the split 'a'; expected one of train, val"),
        (
            "image,split,slide\ns00,test,x\ns01,train,x\n",
            {"split_by": "slide"},
            "slide x is in test and in train, so that the test would hold",
        ),
        (
            None,
            {"test": 0.5, "validation": 0.5},
            "2 images cannot be divided into train, val, test",
        ),
    ],
)
def test_splits_that_cannot_be_made_are_refused(tmp_path, rows, values, message):
    table = None
    if rows is not None:
        table = tmp_path / "groups.csv"
        table.write_text(rows)
    with pytest.raises(ExportError, match=message):
        split_items(images(2), from_mapping(ExportParams, values), table)


@pytest.mark.parametrize("name", FORMATS)
def test_splits_come_back(tmp_path, name):
    items = [
        item(f"s{n}", np.eye(9, dtype=int), None, np.zeros((9, 9, 3), np.uint8), 0.5)
        for n in range(4)
    ]
    done = export(items, tmp_path, name, validation=0.25, test=0.25)
    expected = {one["name"]: one["split"] for one in provenance(done, name)["images"]}
    assert sorted(expected.values()) == ["test", "train", "train", "val"]
    found = {one.name: one.split for one in import_labels(done.folders[name])}
    if name == "nnunet":
        fold = json.loads(next(done.folders[name].rglob("splits_final.json")).read_text())[0]
        assert fold["val"] == [key for key, side in expected.items() if side == "val"]
        assert [key for key, side in found.items() if side == "test"] == [
            key for key, side in expected.items() if side == "test"
        ]
    elif name in ("tiff", "coco", "coco-polygons", "yolo", "yolo-segments", "omezarr", "centroids"):
        assert found == expected
    else:
        assert set(found) == set(expected)


# What comes in


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 3, 4), int), r"expected one plane of integers"),
        (np.zeros((3, 4)), r"float64 of shape"),
        (np.array([[-1]]), "reach from -1 to -1"),
        (np.array([[2**32]]), "expected 0 to 4294967295: relabel"),
    ],
)
def test_labels_that_are_none_are_refused(labels, message):
    with pytest.raises(ExportError, match=message):
        item("a", labels)


def test_image_of_another_size_is_refused(tmp_path):
    with pytest.raises(ExportError, match="labels are 2 × 2 pixels and the image 3 × 3; give"):
        export(np.ones((2, 2), int), tmp_path, "tiff", np.zeros((3, 3, 3), np.uint8))


def test_crops_without_a_pixel_size_say_what_to_do(tmp_path):
    image = Image(np.zeros((20, 20, 3), np.uint8), "a")
    with pytest.raises(ExportError, match=r"size of its pixels is unknown.*give the pixel size"):
        export(np.eye(20, dtype=int), tmp_path, "crops", image)
    export(np.eye(20, dtype=int), tmp_path, "crops", image, pixel_size=1.0)
    assert np.asarray(Pictures.open(next(tmp_path.rglob("*.png")))).shape == (27, 27, 3)


def test_pictures_are_needed_by_some_formats(tmp_path):
    with pytest.raises(ExportError, match="nnunet, crops cannot do without the image; give it"):
        export(LABELS, tmp_path, ["tiff", "nnunet", "crops"])


@pytest.mark.parametrize(
    ("names", "message"), [([], "no format is named"), ("x", "unknown format")]
)
def test_formats_that_are_none_are_refused(tmp_path, names, message):
    with pytest.raises(ExportError, match=message):
        export(LABELS, tmp_path, names)


def test_items_of_one_name_get_numbers(tmp_path):
    items = [item("a/b", np.eye(3, dtype=int)), item("A_b", np.eye(4, dtype=int))]
    export(items, tmp_path, "qupath")
    assert left_in(tmp_path / "qupath") == ["A_b_2.geojson", "a_b.geojson", "provenance.json"]


def test_imported_labels_are_written_as_segment_does(tmp_path):
    labels, reviewed = two_halves()
    done = export(labels, tmp_path, "qupath", reviewed=reviewed)
    items = import_labels(done.folders["qupath"])
    written = write_imported(items, tmp_path / "in", done.folders["qupath"])
    assert [path.name for path in written] == [
        "image_labels.tif",
        "image_cells.csv",
        "image_overlay.png",
        "image.json",
        "image_reviewed.png",
    ]
    again = export(tmp_path / "in", tmp_path / "b", "tiff", reviewed=written[-1])
    np.testing.assert_array_equal(tifffile.imread(again.files[0]), items[0].ignore * 255)
    table = files.read_cells(written[1])
    assert table["area_px"].tolist() == [16, 21]
    with pytest.raises(ExportError, match=r"image_labels\.tif exists; choose another folder"):
        write_imported(items, tmp_path / "in", "x")
    for path in written[:-1]:
        path.unlink()
    with pytest.raises(ExportError, match=r"image_reviewed\.png exists; choose another folder"):
        write_imported(items, tmp_path / "in", "x")


def test_record_never_replaces_the_file_that_is_imported(tmp_path):
    labels, _ = two_halves()
    (path,) = export(labels, tmp_path, "qupath").folders["qupath"].glob("*.geojson")
    source = path.rename(tmp_path / "image.json")
    with pytest.raises(ExportError, match=r"image\.json would be replaced by its record"):
        write_imported(import_labels(source), tmp_path, source, force=True)


# Formats that cannot be written


def test_all_formats_but_those_that_cannot_be_written(tmp_path):
    image = Image(np.zeros((20, 20, 3), np.uint8), "a")
    done = export(np.eye(20, dtype=int), tmp_path, "all", image)
    assert set(done.folders) == set(FORMATS) - {"crops"}
    assert "size of its pixels is unknown" in done.failed["crops"]
    assert {path.name for path in tmp_path.iterdir()} == set(done.folders)
    done = export(np.eye(20, dtype=int), tmp_path / "b", "all")
    assert set(done.failed) == {name for name, form in FORMATS.items() if form.needs == "image"}


def test_format_that_fails_keeps_its_earlier_export(tmp_path):
    image = Image(np.zeros((20, 20, 3), np.uint8), "a")
    export(np.eye(20, dtype=int), tmp_path, "crops", image, pixel_size=1.0)
    before = left_in(tmp_path / "crops")
    done = export(np.eye(20, dtype=int), tmp_path, ["tiff", "crops"], image, force=True)
    assert list(done.failed) == ["crops"]
    assert left_in(tmp_path / "crops") == before
