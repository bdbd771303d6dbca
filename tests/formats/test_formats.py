"""What is exported is re-read identical, by the formats' own libraries and by our import."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from exported import (
    READERS,
    class_map,
    random_cells,
    random_image,
    random_labels,
    yolo_labels,
    yolo_rows,
)
from PIL import Image as Pictures

from napari_wbc_nca.datasets import readers
from napari_wbc_nca.formats.items import ExportError
from napari_wbc_nca.formats.registry import FORMATS, detect
from napari_wbc_nca.types import Image
from napari_wbc_nca.workflow.export import export, import_labels

SHAPES = [(1, 1), (7, 40), (64, 64), (90, 31)]
WHOLE = [*READERS]
"""Formats that hold every pixel of every cell."""


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Labels of several sizes in all formats, each in a folder of its own."""
    rng = np.random.default_rng(5)
    found = []
    for number, shape in enumerate(SHAPES):
        labels = random_labels(rng, shape, max(1, shape[0] * shape[1] // 60))
        image, cells = random_image(rng, labels), random_cells(rng, labels)
        folder = tmp_path_factory.mktemp(f"export{number}")
        done = export(labels, folder, list(FORMATS), image, cells)
        found.append((done, labels, cells, image))
    return found


@pytest.mark.parametrize("name", WHOLE)
def test_own_library_reads_the_same_labels_and_classes(exports, name):
    for done, labels, cells, _ in exports:
        found, classes = READERS[name](done.folders[name], "field", labels.shape)
        np.testing.assert_array_equal(found, labels)
        assert classes == dict(zip(cells["label"], cells["class"], strict=True))


@pytest.mark.parametrize("name", WHOLE)
def test_import_gives_the_same_labels_and_table(exports, name):
    for done, labels, cells, _ in exports:
        assert detect(done.folders[name]) == ("coco" if name == "coco-polygons" else name)
        (found,) = import_labels(done.folders[name])
        np.testing.assert_array_equal(found.labels, labels)
        kept = ["label", "class"] if name == "" else ["label", "class", "origin"]
        assert found.cells[kept].to_numpy().tolist() == cells[kept].to_numpy().tolist()


def test_class_map_of_nnunet_holds_declared_classes_only(exports):
    for done, labels, cells, _ in exports:
        found, meaning = class_map(done.folders["nnunet"], "field")
        expected = np.zeros(labels.shape, int)
        for label, name in zip(cells["label"], cells["class"], strict=True):
            expected[labels == label] = meaning[name]
        np.testing.assert_array_equal(found, expected)
        assert sorted(meaning.values()) == list(range(len(set(cells["class"])) + 1))


def test_yolo_boxes_are_those_of_the_cells(exports):
    for done, labels, cells, _ in exports:
        rows = list(yolo_rows(done.folders["yolo"], "field"))
        names = sorted(set(cells["class"]))
        assert [names[kind] for kind, _ in rows] == cells["class"].tolist()
        for label, (_, (x, y, width, height)) in zip(cells["label"], rows, strict=True):
            inside = np.argwhere(labels == label)
            (top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0) + 1
            sides = np.array([*labels.shape[::-1]] * 2)
            np.testing.assert_allclose(
                np.array([x, y, width, height]) * sides,
                [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top],
                atol=1e-4,
            )


def test_yolo_outlines_fill_cells_without_holes(tmp_path):
    rng = np.random.default_rng(6)
    labels = random_labels(rng, (80, 70), 60, holes=False)
    done = export(labels, tmp_path, "yolo-segments", random_image(rng, labels))
    numbers = np.unique(labels[labels > 0])
    expected = np.where(labels > 0, np.searchsorted(numbers, labels) + 1, 0)
    np.testing.assert_array_equal(
        yolo_labels(done.folders["yolo-segments"], "field", labels.shape), expected
    )
    (found,) = import_labels(done.folders["yolo-segments"])
    np.testing.assert_array_equal(found.labels, expected)


def test_pieces_of_a_yolo_outline_are_joined_without_area(tmp_path):
    labels = np.zeros((9, 9), int)
    labels[1:3, 1:4] = labels[6:8, 5:9] = 1
    image = Image(np.zeros((9, 9, 3), np.uint8), "two")
    export(labels, tmp_path, "yolo-segments", image)
    (found,) = import_labels(tmp_path / "yolo-segments")
    np.testing.assert_array_equal(found.labels, labels)


def test_pictures_are_the_pixels_of_the_image(exports):
    for done, _, _, image in exports:
        folders = done.folders
        np.testing.assert_array_equal(
            tifffile.imread(folders["tiff"] / "images/field.tif"), image.pixels
        )
        for path in ("coco/images/field.png", "yolo/images/train/field.png", "centroids/field.png"):
            shown = Pictures.open(folders["tiff"].parent / path)
            np.testing.assert_array_equal(np.asarray(shown), image.pixels)


def test_points_are_what_our_methods_train_from(exports):
    for done, labels, cells, _ in exports:
        (sample,) = readers.read(done.folders["centroids"])
        assert sample.kinds == tuple(cells["class"])
        expected = [np.argwhere(labels == label).mean(axis=0) for label in cells["label"]]
        np.testing.assert_allclose(sample.boxes[:, :2], expected, atol=0.006)


def test_crops_are_what_our_methods_train_from(exports):
    done, labels, cells, image = exports[2]
    samples = readers.read(done.folders["crops"])
    assert sorted(sample.names[0] for sample in samples) == sorted(cells["class"])
    label = int(cells["label"][0])
    y, x = np.argwhere(labels == label).mean(axis=0)
    crop = np.asarray(Pictures.open(next(done.folders["crops"].rglob(f"field_{label}.png"))))
    assert crop.shape == (108, 108, 3)  # 27 µm of 0.25
    top, left = (round(at + 0.5 - 54) for at in (y, x))
    inside = np.ix_(
        range(max(0, -top), min(108, 64 - top)), range(max(0, -left), min(108, 64 - left))
    )
    shown = image.pixels[max(0, top) : top + 108, max(0, left) : left + 108]
    np.testing.assert_array_equal(crop[inside], shown)


def test_points_and_crops_come_back_as_points(exports):
    done, _, cells, _ = exports[2]
    for name in ("centroids", "crops"):
        (found,) = import_labels(done.folders[name])
        assert len(found.cells) == np.count_nonzero(found.labels)
        assert set(found.cells["class"]) == set(cells["class"])


def test_labels_are_as_wide_as_they_must_be(tmp_path):
    labels = (
        np.arange(300 * 300).reshape(300, 300)
        // 1
        * (np.arange(300 * 300).reshape(300, 300) <= 70_000)
    )
    export(labels, tmp_path, ["tiff", "cellpose", "omezarr"])
    wide = tifffile.imread(tmp_path / "tiff/labels/image.tif")
    assert wide.dtype == np.uint32
    assert len(np.unique(wide)) == 70_001
    assert (
        np.load(tmp_path / "cellpose/image_seg.npy", allow_pickle=True).item()["masks"].max()
        == 70_000
    )
    export(np.minimum(labels, 65_535), tmp_path / "b", "tiff")
    assert tifffile.imread(tmp_path / "b/tiff/labels/image.tif").dtype == np.uint16


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_pictures_are_shown_in_eight_bits_and_kept_in_tiff(tmp_path, dtype):
    pixels = np.linspace(0, 1, 40 * 30 * 3).reshape(40, 30, 3)
    pixels = pixels.astype(dtype) if dtype is np.float32 else (pixels * 4095).astype(dtype)
    export(np.ones((40, 30), int), tmp_path, ["tiff", "coco"], Image(pixels, "deep"))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "tiff/images/deep.tif"), pixels)
    shown = np.asarray(Pictures.open(tmp_path / "coco/images/deep.png"))
    assert shown.min() == 0
    assert shown.max() == 255


def test_grey_image_is_exported(tmp_path):
    pixels = np.arange(16 * 16, dtype=np.uint8).reshape(16, 16)
    export(np.eye(16, dtype=int), tmp_path, list(FORMATS), Image(pixels, "grey", 0.5))
    shown = np.asarray(Pictures.open(tmp_path / "yolo/images/train/grey.png"))
    np.testing.assert_array_equal(shown, np.repeat(pixels[..., None], 3, axis=-1))


def test_pyramid_has_levels_of_half_the_size(tmp_path):
    import zarr

    labels = np.zeros((1200, 700), np.uint16)
    labels[100:300, 100:300] = 3
    export(labels, tmp_path, "omezarr", Image(np.full((1200, 700, 3), 90, np.uint8), "big", 0.5))
    group = zarr.open_group(str(tmp_path / "omezarr/big.ome.zarr"), mode="r")
    levels = group.attrs["multiscales"][0]["datasets"]
    assert [group[level["path"]].shape for level in levels] == [
        (3, 1200, 700),
        (3, 600, 350),
        (3, 300, 175),
    ]
    assert levels[2]["coordinateTransformations"] == [{"type": "scale", "scale": [1.0, 2.0, 2.0]}]
    assert set(np.unique(group["labels/cells/2"])) == {0, 3}


def foreign(tmp_path, form):
    """A file as another program writes it: no integers of ours, and curves between pixels."""
    if form == "qupath":
        ring = [[2.2, 2.2], [9.8, 2.1], [9.7, 7.9], [2.2, 2.2]]
        point = {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [1, 1]},
            "properties": {},
        }
        cell = {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"classification": {"names": ["WBC", "Monocyte"]}},
        }
        path = tmp_path / "x.geojson"
        path.write_text(json.dumps([cell, point]))
        return path, "WBC: Monocyte"
    if form == "coco":
        ring = [2.0, 2.0, 10.0, 2.0, 10.0, 8.0]
        some = {"id": 7, "image_id": 3, "category_id": 9, "segmentation": [ring], "iscrowd": 0}
        path = tmp_path / "x.json"
        image = {"id": 3, "file_name": "x.png", "height": 20, "width": 30}
        names = [{"id": 9, "name": "Monocyte"}]
        path.write_text(json.dumps({"images": [image], "annotations": [some], "categories": names}))
        return path, "Monocyte"
    import roifile

    roi = roifile.ImagejRoi.frompoints([[2.0, 2.0], [10.0, 2.0], [10.0, 8.0]], name="0001-0002")
    path = tmp_path / "x.zip"
    roifile.roiwrite(path, [roi])
    return path, "wbc"


@pytest.mark.parametrize("form", ["qupath", "coco", "imagej"])
def test_files_of_other_programs_are_imported(tmp_path, form):
    path, name = foreign(tmp_path, form)
    image = Image(np.zeros((20, 30, 3), np.uint8), "x", 0.3)
    (found,) = import_labels(path, image=image)
    assert found.shape == (20, 30)
    assert found.pixel_size == 0.3
    assert found.cells[["label", "class"]].to_numpy().tolist() == [[1, name]]
    assert 18 <= np.count_nonzero(found.labels) <= 27


def test_pickle_that_could_run_something_is_refused(tmp_path):
    class Deed:
        def __reduce__(self):
            return print, ("done",)

    path = tmp_path / "x_seg.npy"
    np.save(path, np.array({"masks": Deed()}, dtype=object), allow_pickle=True)
    with pytest.raises(ExportError, match=r"it contains builtins.print, which is no array"):
        import_labels(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.json", "{"),
        ("x.json", '{"images": []}'),
        ("x.geojson", "3"),
        ("x.zip", "no zip"),
        ("x_seg.npy", "no array"),
        ("data.yaml", "train: a"),
        ("points.csv", "a,b\n1,2\n"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ExportError, match=str(path)):
        import_labels(path)


def test_what_is_none_of_the_formats_is_refused(tmp_path):
    with pytest.raises(ExportError, match="of none of the known forms"):
        import_labels(tmp_path)
    with pytest.raises(ExportError, match="does not exist"):
        import_labels(tmp_path / "x.zip")
    with pytest.raises(ExportError, match="unknown format 'x'"):
        import_labels(tmp_path, "x")


def test_labels_without_an_image_leave_out_the_picture(tmp_path):
    done = export(np.eye(3, dtype=int), tmp_path, ["coco", "tiff", "yolo", "cellpose"])
    assert not [path for path in done.files if "images" in path.parts or path.suffix == ".png"]


def test_cells_table_by_napari_is_taken(tmp_path):
    table = pd.DataFrame({"index": [1], "class": ["monocyte"]})
    done = export(np.eye(2, dtype=int), tmp_path, "qupath", cells=table)
    content = json.loads((done.folders["qupath"] / "image.geojson").read_text())
    assert content["features"][0]["properties"]["classification"]["name"] == "monocyte"
