"""Files of other programs are read whole, or it is said what is left out and why."""

from __future__ import annotations

import json
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
import roifile
import tifffile
import zarr
from PIL import Image as Pictures

from napari_wbc_nca.formats.files import read_cells
from napari_wbc_nca.formats.items import ExportError
from napari_wbc_nca.types import Image
from napari_wbc_nca.workflow.export import export, import_labels

SHAPE = (40, 60)
IMAGE = Image(np.full((*SHAPE, 3), 200, np.uint8), "img", 0.5)


def square(left, top, side=8):
    corners = [[left, top], [left + side, top], [left + side, top + side], [left, top + side]]
    return [*corners, corners[0]]


def counts(one):
    numbers, sizes = np.unique(one.labels[one.labels > 0], return_counts=True)
    return dict(zip(numbers.tolist(), sizes.tolist(), strict=True))


# Label images and tables


@pytest.fixture
def labels():
    found = np.zeros(SHAPE, np.uint8)
    found[2:6, 2:6], found[20:30, 20:40] = 1, 7
    return found


def palette_png(path, labels):
    picture = Pictures.fromarray(labels).convert("P")
    picture.putdata(labels.ravel().tolist())
    picture.putpalette([(number * 97 + 200) % 256 for number in range(768)])
    picture.save(path)


def test_indices_of_a_palette_are_the_labels(tmp_path, labels):
    palette_png(tmp_path / "a.png", labels)
    lut = np.random.default_rng(0).integers(0, 2**16, (3, 256), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", labels, photometric="palette", colormap=lut)
    for name in ("a.png", "a.tif"):
        done = export(tmp_path / name, tmp_path / name[2:], "tiff", IMAGE)
        np.testing.assert_array_equal(
            tifffile.imread(done.folders["tiff"] / "labels/img.tif"), labels
        )


def test_labels_of_32_bits_from_fiji_are_integers(tmp_path, labels):
    tifffile.imwrite(tmp_path / "a.tif", labels.astype(np.float32), imagej=True)
    done = export(tmp_path / "a.tif", tmp_path / "out", "tiff", IMAGE)
    np.testing.assert_array_equal(tifffile.imread(done.folders["tiff"] / "labels/img.tif"), labels)


def test_labels_that_are_none_are_refused_by_file(tmp_path, labels):
    Pictures.fromarray(labels).save(tmp_path / "a.jpg")
    tifffile.imwrite(tmp_path / "a.tif", labels.astype(np.int16) - 1)
    for name, message in [("a.jpg", "it is a JPEG"), ("a.tif", "reach from -1 to 6")]:
        with pytest.raises(ValueError, match=f"{name}: .*{message}"):
            export(tmp_path / name, tmp_path / "out", "tiff", IMAGE)


def test_one_image_is_not_taken_for_several(tmp_path, labels):
    for name in ("a_masks.tif", "b_masks.tif"):
        tifffile.imwrite(tmp_path / name, labels)
    with pytest.raises(ExportError, match="the labels of 2 images, such as a and b"):
        import_labels(tmp_path, image=IMAGE)


def test_index_0_of_a_palette_was_not_reviewed(tmp_path, labels):
    palette_png(tmp_path / "reviewed.png", np.uint8(labels == 7))
    done = export(labels, tmp_path / "out", "tiff", IMAGE, reviewed=tmp_path / "reviewed.png")
    (found,) = import_labels(done.folders["tiff"])
    assert counts(found) == {7: 200}
    assert np.count_nonzero(~found.ignore) == 200


@pytest.mark.parametrize(
    "text", ["NA", "None", "null", "nan", "01", "1", "1.0", "1e5", "TRUE", "-"]
)
def test_classes_are_text_as_written(tmp_path, labels, text):
    (tmp_path / "cells.csv").write_text(f"label,class\n1,{text}\n7,\n")
    done = export(labels, tmp_path / "out", "tiff", cells=tmp_path / "cells.csv")
    (found,) = import_labels(done.folders["tiff"])
    assert found.cells["class"].tolist() == [text, "wbc"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; expected a CSV"),
        ("label,class\n1,a\nx,b\n", "line 3: label is 'x'; expected an integer above 0"),
        ("label,class\n0,a\n", "line 2: label is '0'"),
        ("label,class\n1.5,a\n", "line 2: label is '1.5'"),
        ("class\na\n", "has no column label; found class"),
    ],
)
def test_tables_that_cannot_be_used_are_named(tmp_path, labels, text, message):
    (tmp_path / "cells.csv").write_text(text)
    with pytest.raises(ExportError, match=message):
        export(labels, tmp_path / "out", "tiff", cells=tmp_path / "cells.csv")


def test_labels_of_spreadsheets_are_integers(tmp_path):
    (tmp_path / "cells.csv").write_text("Label;Class\n001;a\n2,0;b\n;c\n")
    assert read_cells(tmp_path / "cells.csv")["label"].tolist() == [1, 2, pd.NA]


ALL_COLUMNS = ("tiff", "coco", "coco-polygons", "qupath", "imagej", "omezarr", "cellpose")


@pytest.mark.parametrize("name", [*ALL_COLUMNS, "centroids", "crops"])
def test_all_columns_of_the_table_travel(tmp_path, labels, name):
    columns = {
        "note": ['big; "odd"', ""],
        "score": [0.25, np.nan],
        "n": [3, 4],
        "slide": ["007"] * 2,
    }
    cells = pd.DataFrame({"label": [1, 7], "class": ["a", "01"], "origin": "edited", **columns})
    done = export(labels, tmp_path, name, IMAGE, cells)
    (found,) = import_labels(done.folders[name])
    assert found.cells.columns[:3].tolist() == ["label", "class", "origin"]
    assert found.cells["class"].tolist() == ["a", "01"]
    assert found.cells["origin"].tolist() == ["edited"] * 2
    assert found.cells["note"].fillna("").tolist() == columns["note"]
    assert found.cells["n"].astype(str).tolist() == ["3", "4"]
    assert found.cells["slide"].tolist() == ["007"] * 2
    np.testing.assert_array_equal(found.cells["score"].astype(float), columns["score"])


@pytest.mark.parametrize(
    ("source", "file"),
    [
        (r"C:\Users\me\slides\s.jpg", "in/s.JPG"),
        (r"C:\Users\me\slides\s.svs", "in/s.svs"),
        (r"C:\Users\me\slides\s.jpg", "s.jpg"),
        (r"slides\s.jpg", "in/slides/s.jpg"),
        (r"C:\Users\me\slides\s.ome.zarr", "in/s.ome.zarr"),
    ],
)
def test_picture_of_a_record_made_on_windows_is_found(tmp_path, labels, source, file):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    place = tmp_path / "in" / "s_labels.tif"
    place.parent.mkdir(exist_ok=True)
    tifffile.imwrite(place, labels)
    record = {"program": "napari-wbc-nca 0.1", "input": {"source": source}}
    place.with_name("s.json").write_text(json.dumps(record))
    done = export(place, tmp_path / "a", "coco")
    assert any(f"its image {source} is not found" in note for note in done.notes)
    if file.endswith(".zarr"):
        zarr.create_array(str(tmp_path / file), data=IMAGE.pixels)
    elif file.endswith(".svs"):
        tifffile.imwrite(tmp_path / file, IMAGE.pixels, photometric="rgb")
    else:
        Pictures.fromarray(IMAGE.pixels).save(tmp_path / file)
    done = export(place, tmp_path / "b", "coco")
    assert (done.folders["coco"] / "images/s.png").exists()


@pytest.mark.parametrize(
    ("record", "where"),
    [
        ({"input": {"source": "images/img.png"}}, "images"),
        ({"input": {"source": 5}, "parameters": {"pixel_size": "half"}}, ""),
        ({"input": ["img.png"], "parameters": None}, None),
        (None, None),
    ],
)
def test_pictures_are_found_without_a_whole_record(tmp_path, labels, record, where):
    tifffile.imwrite(tmp_path / "img_labels.tif", labels)
    (tmp_path / (where or "")).mkdir(exist_ok=True)
    Pictures.fromarray(IMAGE.pixels).save(tmp_path / (where or "") / "img.png")
    if record is not None:
        (tmp_path / "img.json").write_text(json.dumps({"program": "x", **record}))
    done = export(tmp_path / "img_labels.tif", tmp_path / "out", "tiff")
    found = where != ""
    assert (done.folders["tiff"] / "images/img.tif").exists() == found
    assert any("is not found, so that no picture" in note for note in done.notes) != found


@pytest.mark.parametrize("name", ["omezarr", "tiff"])
def test_transparent_pictures_come_back(tmp_path, labels, name):
    pixels = np.dstack([IMAGE.pixels, np.full(SHAPE, 255, np.uint8)])
    export(labels, tmp_path, name, Image(pixels, "img"))
    (found,) = import_labels(tmp_path / name)
    np.testing.assert_array_equal(found.pixels[..., :3], IMAGE.pixels)


# ImageJ


def rois(path, *found):
    with ZipFile(path, "w") as archive:
        for number, (roi, kind) in enumerate(found):
            roi.roitype = kind
            archive.writestr(f"{number}.roi", roi.tobytes())
        archive.writestr("__MACOSX/._0.roi", b"not a ROI")
    return path


def roi(points, name="x"):
    return roifile.ImagejRoi.frompoints(points, name=name)


def test_points_of_imagej_are_centroids_and_lines_are_left_out(tmp_path):
    kinds = roifile.ROI_TYPE
    path = rois(
        tmp_path / "x.zip",
        (roi(square(2, 2)[:4]), kinds.POLYGON),
        (roi([[30, 5], [31, 20], [5, 5]]), kinds.POINT),
        (roi([[1, 30], [20, 30], [20, 35]]), kinds.POLYLINE),
        (roi([[1, 30], [20, 30], [20, 35]]), kinds.ANGLE),
    )
    (found,) = import_labels(path, image=IMAGE)
    assert counts(found) == {1: 64, 2: 1, 3: 1}
    assert (found.labels[5, 30], found.labels[20, 31]) == (2, 3)
    assert "1 objects of type polyline are left out" in found.notes[0]
    assert "1 objects of type angle are left out" in found.notes[1]
    assert "1 points lie in cells that are there already" in found.notes[2]


def test_properties_of_imagej_that_are_not_ours_are_columns(tmp_path):
    one = roi(square(2, 2)[:4])
    one.properties = {"label": "A7", "note": "big cell", "class": "01"}
    path = rois(tmp_path / "x.zip", (one, roifile.ROI_TYPE.TRACED))
    (found,) = import_labels(path, image=IMAGE)
    assert found.cells[["label", "class", "note"]].to_numpy().tolist() == [[1, "01", "big cell"]]


def test_rois_in_a_folder_or_in_a_picture_are_of_one_image(tmp_path):
    found = [roi(square(5, 5)), roi(square(25, 20))]
    for number, one in enumerate(found):
        (tmp_path / f"{number}.roi").write_bytes(one.tobytes())
    overlays = {"Overlays": [one.tobytes() for one in found]}
    picture = tmp_path / "img.tif"
    tifffile.imwrite(picture, IMAGE.pixels[..., 0], imagej=True, metadata=overlays)
    assert counts(import_labels(tmp_path, image=IMAGE)[0]) == {1: 64, 2: 64}
    (drawn,) = import_labels(picture)
    assert counts(drawn) == {1: 64, 2: 64}
    assert drawn.pixels.shape == SHAPE


def test_rois_without_any_cell_are_refused_with_the_reason(tmp_path):
    path = rois(tmp_path / "x.zip", (roi([[1, 3], [20, 3]]), roifile.ROI_TYPE.FREELINE))
    with pytest.raises(ExportError, match=r"no cell in it; x.zip: 1 objects of type freeline"):
        import_labels(path, image=IMAGE)
    with ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(ExportError, match=r"its files are a.txt"):
        import_labels(path)


# COCO


def coco(path, annotations, file_name="img.png", **image):
    content = {
        "images": [{"id": 1, "file_name": file_name, "height": 40, "width": 60, **image}],
        "categories": [{"id": 1, "name": "neutrophil"}],
        "annotations": [{"image_id": 1, "category_id": 1, **one} for one in annotations],
    }
    path.write_text(json.dumps(content))
    return path


def test_boxes_of_coco_become_rectangles(tmp_path, monkeypatch):
    box, polygon = [10, 20, 20, 10], [[2, 2, 10, 2, 10, 10, 2, 10]]
    annotations = [
        {"bbox": box, "segmentation": []},
        {"bbox": [40, 20, 5, 4]},
        {"bbox": [50, 2, 4, 4], "segmentation": [[50, 2, 54, 6]]},
        {"bbox": box, "segmentation": polygon},
        {"segmentation": []},
        {"keypoints": [1, 1, 2]},
    ]
    coco(tmp_path / "img.json", annotations)
    monkeypatch.chdir(tmp_path)
    (found,) = import_labels("img.json")
    assert counts(found) == {1: 200, 2: 20, 3: 16, 4: 64}
    assert found.cells["class"].tolist() == ["neutrophil"] * 4
    assert found.notes == (
        "img: 1 annotations without outline and box are left out",
        "img: 1 annotations of keypoints are left out",
        "img: its picture img.png is not found; give it with --image",
    )


@pytest.mark.parametrize("folder", ["val2017", "images/default", "train/images", "."])
def test_pictures_of_coco_are_found_in_the_folders_of_a_data_set(tmp_path, folder):
    (tmp_path / "annotations").mkdir()
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    Pictures.fromarray(IMAGE.pixels).save(tmp_path / folder / "img.png")
    coco(tmp_path / "annotations/captions_val2017.json", [{"caption": "a"}])
    coco(tmp_path / "annotations/instances_val2017.json", [{"bbox": [1, 1, 4, 4]}])
    (found,) = import_labels(tmp_path)
    np.testing.assert_array_equal(found.pixels, IMAGE.pixels)


@pytest.mark.parametrize(
    ("counts", "size", "message"),
    [
        ([5, 3, 2392], [30, 80], r"2400 pixels of size \[30, 80\]"),
        ([1, 5000], [40, 60], "5001 pixels of size"),
    ],
)
def test_run_lengths_of_another_size_are_refused(tmp_path, counts, size, message):
    segment = {"counts": counts, "size": size}
    with pytest.raises(ExportError, match=message):
        import_labels(coco(tmp_path / "x.json", [{"segmentation": segment}]))


def test_coordinates_that_no_image_has_are_left_out(tmp_path):
    wrong = [[float("nan"), 5, 6, 7, 8, 9]], [[1e12, 5, 6, 7, 8, 9]]
    annotations = [*({"segmentation": one} for one in wrong), {"bbox": [1, 1, 4, 4]}]
    (found,) = import_labels(coco(tmp_path / "x.json", annotations), image=IMAGE)
    assert counts(found) == {1: 16}
    assert "2 annotations without outline and box are left out" in found.notes[0]


def test_pairs_of_coordinates_and_missing_categories_are_read(tmp_path):
    pairs = [[[2, 2], [10, 2], [10, 10], [2, 10]]]
    path = coco(tmp_path / "x.json", [{"segmentation": pairs, "category_id": None}])
    (found,) = import_labels(path, image=IMAGE)
    assert counts(found) == {1: 64}
    assert found.cells["class"].tolist() == ["wbc"]


def test_images_of_unknown_size_are_named(tmp_path):
    path = coco(tmp_path / "x.json", [{"bbox": [1, 1, 4, 4]}], height=None)
    with pytest.raises(ExportError, match=r"x.json: the image img.png has no height and width"):
        import_labels(path)


@pytest.mark.parametrize("name", ["C:\\data\\slide 1\\img.png", "/data/img.PNG", "img.png"])
def test_pictures_of_coco_are_found_by_their_base_names(tmp_path, name):
    Pictures.fromarray(IMAGE.pixels).save(tmp_path / "img.png")
    path = coco(tmp_path / "x.json", [{"bbox": [1, 1, 4, 4]}], name, height=None, width=None)
    (found,) = import_labels(path)
    assert found.name == "img"
    np.testing.assert_array_equal(found.pixels, IMAGE.pixels)


@pytest.mark.parametrize("box", [["a", 1, 2, 3], 7])
def test_boxes_of_coco_that_are_none_are_refused(tmp_path, box):
    with pytest.raises(ExportError, match=r"x.json is no COCO file of instances"):
        import_labels(coco(tmp_path / "x.json", [{"bbox": box}]))


def test_annotations_of_images_that_are_not_listed_are_named(tmp_path):
    path = coco(
        tmp_path / "x.json", [{"bbox": [1, 1, 4, 4]}, {"bbox": [1, 1, 4, 4], "image_id": 9}]
    )
    (found,) = import_labels(path)
    assert "1 annotations of images that it does not list" in found.notes[-1]


# QuPath


def feature(geometry, kind="Neutrophil", **others):
    nature = others.pop("nature", "annotation")
    properties = {"objectType": nature, "classification": {"name": kind}, **others}
    return {"type": "Feature", "id": "x", "geometry": geometry, "properties": properties}


def polygon(left, top, side=8):
    return {"type": "Polygon", "coordinates": [square(left, top, side)]}


def qupath(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.mark.parametrize("kind", ["Neutrophil", {"name": "Neutrophil"}, {"names": ["Neutrophil"]}])
@pytest.mark.parametrize("name", ["x.geojson", "x.json"])
def test_every_form_of_class_and_suffix_of_qupath_is_read(tmp_path, kind, name):
    path = qupath(tmp_path / name, feature(polygon(2, 2), classification=kind))
    (found,) = import_labels(path, image=IMAGE)
    assert found.cells["class"].tolist() == ["Neutrophil"]


def test_labels_of_an_unknown_image_are_named(tmp_path):
    path = qupath(tmp_path / "img.geojson", feature(polygon(2, 2)))
    (found,) = import_labels(path)
    assert found.shape == (10, 10)
    assert "its image is not known, so that the labels have 10 × 10 pixels" in found.notes[0]
    Pictures.fromarray(IMAGE.pixels).save(tmp_path / "img.png")
    assert import_labels(path)[0].shape == SHAPE


def test_outlines_that_reach_too_far_are_refused(tmp_path):
    path = qupath(tmp_path / "img.geojson", feature(polygon(1e9, 2)))
    with pytest.raises(ExportError, match=r"img.geojson: its outlines reach to .* x 1e\+09"):
        import_labels(path)


def test_bare_geometry_and_text_of_16_bits_are_read(tmp_path):
    (tmp_path / "x.geojson").write_bytes(json.dumps(polygon(2, 2)).encode("utf-16"))
    (found,) = import_labels(tmp_path / "x.geojson", image=IMAGE)
    assert counts(found) == {1: 64}


def test_names_that_are_no_labels_are_numbered(tmp_path):
    path = qupath(tmp_path / "x.geojson", feature(polygon(2, 2), name="20240117001"))
    (found,) = import_labels(path, image=IMAGE)
    assert counts(found) == {1: 64}


def test_points_of_qupath_are_centroids(tmp_path):
    points = {"type": "MultiPoint", "coordinates": [[10, 10], [50.5, 30.5]]}
    (found,) = import_labels(qupath(tmp_path / "x.geojson", feature(points)), image=IMAGE)
    assert found.cells["class"].tolist() == ["Neutrophil"] * 2
    assert (found.labels[10, 10], found.labels[30, 50]) == (1, 2)


@pytest.mark.parametrize("first", [True, False])
def test_regions_around_cells_are_left_out(tmp_path, first):
    cells = [feature(polygon(left, 4), nature="cell") for left in (4, 20)]
    region = feature(polygon(2, 2, 36), "Region")
    path = qupath(tmp_path / "x.geojson", *([region, *cells] if first else [*cells, region]))
    (found,) = import_labels(path, image=IMAGE)
    assert counts(found) == {1: 64, 2: 64}
    assert "1 objects around other cells, such as regions, are left out" in found.notes[0]


def test_nuclei_of_qupath_are_kept(tmp_path):
    cell = feature(polygon(4, 4), nature="cell") | {"nucleusGeometry": polygon(6, 6, 3)}
    (found,) = import_labels(qupath(tmp_path / "x.geojson", cell), image=IMAGE)
    assert np.count_nonzero(found.nucleus == 1) == 9


def test_what_has_no_area_is_named(tmp_path):
    line = feature({"type": "LineString", "coordinates": [[1, 1], [9, 9]]})
    path = qupath(tmp_path / "x.geojson", line, feature(None), feature(polygon(2, 2)))
    (found,) = import_labels(path, image=IMAGE)
    assert len(found.cells) == 1
    assert any("LineString, which has no area" in note for note in found.notes)
    assert any("no geometry, which has no area" in note for note in found.notes)


def test_files_without_any_object_are_refused(tmp_path):
    hollow = feature({"type": "Polygon", "coordinates": []})
    for features in ([], [hollow]):
        with pytest.raises(ExportError, match=r"x.geojson: no cell in it"):
            import_labels(qupath(tmp_path / "x.geojson", *features), image=IMAGE)


def test_cells_without_a_pixel_are_named(tmp_path):
    path = qupath(tmp_path / "x.geojson", feature(polygon(2, 2)), feature(polygon(200, 2)))
    (found,) = import_labels(path, image=IMAGE)
    assert "1 cells have no pixel" in found.notes[0]


def test_measurements_of_qupath_are_columns(tmp_path):
    pairs = [{"name": "Area", "value": 3.5}]
    cell = feature(polygon(2, 2), measurements=pairs, metadata={"slide": "007"})
    (found,) = import_labels(qupath(tmp_path / "x.geojson", cell), image=IMAGE)
    assert found.cells[["Area", "slide"]].to_numpy().tolist() == [[3.5, "007"]]


def test_compressed_geojson_is_read(tmp_path):
    qupath(tmp_path / "x.geojson", feature(polygon(2, 2)))
    with ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(tmp_path / "x.geojson", "x.geojson")
    (found,) = import_labels(tmp_path / "x.zip", image=IMAGE)
    assert counts(found) == {1: 64}


# YOLO


def yolo(folder, images, labels, suffix=".png", config="data.yaml"):
    (folder / images).mkdir(parents=True, exist_ok=True)
    (folder / labels).mkdir(parents=True, exist_ok=True)
    Pictures.fromarray(IMAGE.pixels).save(folder / images / f"img{suffix}")
    (folder / labels / "img.txt").write_text("0 0.5 0.5 0.1 0.2\n1 0.2 0.2 0.1 0.2 0.9\n")
    if config:
        (folder / config).write_text("names: [neutrophil, lymphocyte]\nnc: 2\n")


@pytest.mark.parametrize(
    ("images", "labels", "suffix", "split"),
    [
        ("train/images", "train/labels", ".png", "train"),  # Roboflow
        ("valid/images", "valid/labels", ".jpg", "val"),
        ("images/train", "labels/train", ".JPG", "train"),  # Ultralytics
        ("images", "labels", ".PNG", ""),
        (".", ".", ".png", ""),  # labelImg
    ],
)
def test_layouts_of_yolo_are_read(tmp_path, images, labels, suffix, split):
    folder = tmp_path / "set"
    yolo(folder, images, labels, suffix)
    (folder / labels / "classes.txt").write_text("neutrophil\nlymphocyte\n")
    (found,) = import_labels(folder)
    assert found.cells["class"].tolist() == ["neutrophil", "lymphocyte"]
    assert counts(found) == {1: 48, 2: 48}
    assert found.split == split


def test_classes_of_yolo_may_stand_in_a_list(tmp_path):
    yolo(tmp_path, "images", "labels", config="")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    (found,) = import_labels(tmp_path / "labels/img.txt", "yolo")
    assert found.cells["class"].tolist() == ["a", "b"]


def test_classes_of_yolo_are_text_as_written(tmp_path):
    yolo(tmp_path, "images", "labels")
    (tmp_path / "data.yaml").write_text("names:\n  0: no\n  1: 01\n")
    (found,) = import_labels(tmp_path / "data.yaml")
    assert found.cells["class"].tolist() == ["no", "01"]


def test_pictures_with_two_suffixes_are_found(tmp_path):
    yolo(tmp_path, "images", "labels", ".ome.tif")
    (tmp_path / "labels/img.txt").rename(tmp_path / "labels/img.ome.txt")
    assert counts(import_labels(tmp_path)[0]) == {1: 48, 2: 48}


def test_labels_of_yolo_without_pictures_are_named_or_refused(tmp_path):
    yolo(tmp_path, "images", "labels")
    (tmp_path / "labels/other.txt").write_text("0 0.5 0.5 0.1 0.2\n")
    (found,) = import_labels(tmp_path)
    assert "1 label files without a picture are left out, such as other.txt" in found.notes[0]
    (tmp_path / "images/img.png").unlink()
    with pytest.raises(ExportError, match=r"has no picture; expected images/NAME.png and"):
        import_labels(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [("2 0.5 0.5 0.1 0.1", "class index 2, but there are 2 classes"), ("0 0.5", "at least 4")],
)
def test_rows_of_yolo_that_cannot_be_read_are_named(tmp_path, row, message):
    yolo(tmp_path, "images", "labels")
    (tmp_path / "labels/img.txt").write_text(f"\n{row}\n")
    with pytest.raises(ExportError, match=f"img.txt, line 2: .*{message}"):
        import_labels(tmp_path)


def test_json_of_another_kind_is_refused(tmp_path):
    for content in ({"shapes": []}, [1], [{"bbox": [1, 2, 3, 4]}]):
        (tmp_path / "x.json").write_text(json.dumps(content))
        with pytest.raises(ExportError, match="of none of the known forms"):
            import_labels(tmp_path / "x.json")


# Centroids and nnU-Net


@pytest.mark.parametrize("row", ["1000,5", "-3,5", "inf,5", "low,5", ",5"])
def test_points_that_lie_on_no_pixel_are_left_out_with_a_word(tmp_path, row):
    Pictures.fromarray(IMAGE.pixels).save(tmp_path / "img.png")
    rows = f"image,y,x,class\nimg.png,{row},a\nimg.png,9,9,b\n"
    (tmp_path / "points.csv").write_text(rows)
    (found,) = import_labels(tmp_path)
    assert found.cells["class"].tolist() == ["b"]
    assert "1 points that are no numbers or outside of the image are left out" in found.notes[0]


def nnunet(folder, labels, names):
    (folder / "labelsTr").mkdir()
    (folder / "imagesTr").mkdir()
    Pictures.fromarray(labels).save(folder / "labelsTr/a.png")
    (folder / "dataset.json").write_text(json.dumps({"labels": names, "file_ending": ".png"}))


def test_channels_of_nnunet_are_one_picture_and_unknown_values_are_named(tmp_path, labels):
    nnunet(tmp_path, labels, {"background": 0, "neutrophil": 1})
    for channel in range(3):
        plane = np.full(SHAPE, 10 * channel, np.uint8)
        Pictures.fromarray(plane).save(tmp_path / f"imagesTr/a_000{channel}.png")
    (found,) = import_labels(tmp_path)
    assert found.pixels[0, 0].tolist() == [0, 10, 20]
    assert found.notes == ("a: 1 values without a class are left out, such as 7",)


def test_data_sets_of_nnunet_without_labels_are_refused(tmp_path, labels):
    nnunet(tmp_path, labels, ["neutrophil"])
    with pytest.raises(ExportError, match=r"dataset.json has no labels; expected a number"):
        import_labels(tmp_path)


def test_label_images_of_a_folder_may_be_png(tmp_path, labels):
    (tmp_path / "labels").mkdir()
    Pictures.fromarray(labels).save(tmp_path / "labels/a.png")
    assert counts(import_labels(tmp_path)[0]) == {1: 16, 7: 200}
