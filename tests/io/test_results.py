from __future__ import annotations

import errno
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from PIL import Image as Pictures

from napari_wbc_nca.io import images, results
from napari_wbc_nca.io._files import OutputError
from napari_wbc_nca.io.results import write
from napari_wbc_nca.types import Image, Segmentation

NAMES = ["a_labels.tif", "a_nuclei.tif", "a_cells.csv", "a_overlay.png", "a.json"]
RGB = np.full((60, 80, 3), 230, np.uint8)


def segmentation(shape=(60, 80)):
    cell = np.zeros(shape, np.uint32)
    cell[10:30, 10:30], cell[35:55, 50:75] = 1, 2
    nucleus = np.zeros(shape, np.uint32)
    nucleus[15:25, 15:25], nucleus[40:50, 55:65] = 1, 2
    cells = pd.DataFrame(
        {
            "label": [1, 2],
            "class": ["neutrophil", "blast"],
            "class_probability": [0.9, 0.1 + 0.2],
            "box_y0": [10, 35],
            "box_x0": [10, 50],
            "box_y1": [30, 55],
            "box_x1": [30, 75],
            "area_um2": [np.nan, 1.5],
        }
    )
    provenance = {"seed": 0, "shape": (60, 80), "area": np.float32("nan"), "cells": np.int64(2)}
    return Segmentation({"cell": cell, "nucleus": nucleus}, cells, {}, provenance)


def image(**fields):
    return Image(RGB, "a", **fields)


def picture(path):
    with Pictures.open(path) as opened:
        return np.asarray(opened)


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_five_files_are_written(tmp_path):
    files = write(segmentation(), image(), tmp_path / "new" / "folder")
    assert [path.name for path in files] == NAMES
    assert left_in(tmp_path / "new" / "folder") == sorted(NAMES)


def test_what_a_method_gives_besides_cells_has_files_of_its_own(tmp_path):
    found = segmentation()
    cell = found.labels["cell"]
    other = {"cell": cell, "class": np.minimum(cell, 1), "contribution": cell + 1, "pca": cell}
    files = write(replace(found, labels=other), image(), tmp_path)
    assert [path.name for path in files] == [
        *("a_labels.tif", "a_classes.tif", "a_contributions.tif", "a_pca.tif"),
        *("a_cells.csv", "a_overlay.png", "a.json"),
    ]
    for name, path in zip(("cell", "class", "contribution", "pca"), files, strict=False):
        np.testing.assert_array_equal(tifffile.imread(path), other[name])
    assert all(path.name.endswith(results.SUFFIXES) for path in files)


def test_labels_round_trip(tmp_path):
    found = segmentation()
    write(found, image(pixel_size=0.1), tmp_path)
    for name, suffix in (("cell", "labels"), ("nucleus", "nuclei")):
        with tifffile.TiffFile(tmp_path / f"a_{suffix}.tif") as file:
            page = file.pages[0]
            assert (page.dtype, page.compression) == (np.uint16, tifffile.COMPRESSION.ADOBE_DEFLATE)
            np.testing.assert_array_equal(page.asarray(), found.labels[name])
            assert images.tiff.pixel_size(file, file.series[0]) == pytest.approx(0.1)
            assert file.imagej_metadata["unit"] == "um"


def test_labels_without_pixel_size_say_none(tmp_path):
    write(segmentation(), image(), tmp_path)
    with tifffile.TiffFile(tmp_path / "a_labels.tif") as file:
        assert images.tiff.pixel_size(file, file.series[0]) is None


def test_many_labels_take_32_bits(tmp_path):
    found = segmentation()
    found.labels["cell"][0, 0] = 65536
    write(found, image(pixel_size=0.1), tmp_path)
    with tifffile.TiffFile(tmp_path / "a_labels.tif") as file:
        assert file.pages[0].dtype == np.uint32
        np.testing.assert_array_equal(file.asarray(), found.labels["cell"])
        assert images.tiff.pixel_size(file, file.series[0]) == pytest.approx(0.1)


class Watched:
    """Labels that remember the largest part that was asked for."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.largest = array, array.shape, array.dtype, 0

    def __getitem__(self, index):
        part = self.array[index]
        self.largest = max(self.largest, part.size)
        return part


def test_lazy_labels_are_written_tile_by_tile(tmp_path):
    shape = (1300, 1100)
    stored = zarr.create_array(
        str(tmp_path / "labels.zarr"), shape=shape, chunks=(256, 256), dtype="uint32"
    )
    stored[600:700, 500:900] = 2
    stored[1299, 1099] = 1
    labels = Watched(stored)
    results.write_labels(tmp_path / "a.tif", labels, 0.1)
    assert labels.largest == 512 * 512
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_bigtiff
        assert file.pages[0].is_tiled
        np.testing.assert_array_equal(file.asarray(), stored[:])


def test_table_round_trips(tmp_path):
    write(segmentation(), image(), tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a_cells.csv"), segmentation().cells)


def test_provenance_is_json_that_any_program_reads(tmp_path):
    write(segmentation(), image(), tmp_path)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert json.loads(text) == {"seed": 0, "shape": [60, 80], "area": None, "cells": 2}


def test_overlay_outlines_cells_in_the_colours_of_their_classes(tmp_path):
    write(segmentation(), image(), tmp_path)
    overlay = picture(tmp_path / "a_overlay.png")
    assert overlay.shape == RGB.shape
    assert overlay[20, 10].tolist() == [0x00, 0x9E, 0x73]
    assert overlay[45, 74].tolist() == [0xE6, 0x9F, 0x00]
    assert overlay[20, 15].tolist() == [0x00, 0x9E, 0x73]
    assert overlay[20, 12].tolist() == overlay[5, 70].tolist() == [230, 230, 230]


def test_overlay_of_a_large_field_is_small(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_wbc_nca.io.results.LARGEST_OVERLAY", 40)
    write(segmentation(), image(), tmp_path)
    assert picture(tmp_path / "a_overlay.png").shape == (30, 40, 3)


def test_overlay_of_16_bits_without_cells(tmp_path):
    found = segmentation()
    empty = {name: np.zeros((60, 80), np.uint32) for name in found.labels}
    deep = Image(RGB.astype(np.uint16) * 257, "a")
    write(replace(found, labels=empty, cells=found.cells[:0]), deep, tmp_path)
    overlay = picture(tmp_path / "a_overlay.png")
    np.testing.assert_array_equal(overlay, RGB)


def test_lazy_maps_are_written_tile_by_tile_with_their_names(tmp_path):
    shape, maps = (600, 700), {}
    for number, name in enumerate(("response", "cell 1 channel 7"), start=1):
        maps[name] = zarr.create_array(
            str(tmp_path / f"{number}.zarr"), shape=shape, chunks=(256, 256), dtype="float32"
        )
        maps[name][550:, 650:] = number / 4
    files = write(replace(segmentation(), maps=maps), image(), tmp_path)
    with tifffile.TiffFile(files[-1]) as file:
        assert file.pages[0].is_tiled
        assert results.read_map_names(file) == list(maps)
        np.testing.assert_array_equal(file.asarray(), np.stack([own[:] for own in maps.values()]))


def test_maps_are_written_with_their_names(tmp_path):
    maps = {"response": np.ones((60, 80), np.float32), "cell 1 channel 7": np.zeros((60, 80))}
    files = write(replace(segmentation(), maps=maps), image(), tmp_path)
    assert files[-1].name == "a_maps.tif"
    with tifffile.TiffFile(files[-1]) as file:
        assert file.imagej_metadata["Labels"] == results.read_map_names(file) == list(maps)
        np.testing.assert_array_equal(file.asarray(), np.stack(list(maps.values())))


def test_name_of_a_layer_makes_no_folders(tmp_path):
    write(segmentation(), Image(RGB, "../b: c"), tmp_path)
    assert ".._b_ c.json" in left_in(tmp_path)


@pytest.mark.parametrize("failing", ["_labels.tif", "_cells.csv", "_overlay.png", ".json"])
def test_full_disk_leaves_what_was_there(tmp_path, monkeypatch, failing):
    (tmp_path / "a_cells.csv").write_text("old")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full:
        save = to_csv = full

    found = segmentation()
    if failing == "_labels.tif":
        monkeypatch.setattr(tifffile, "imwrite", full)
    elif failing == "_cells.csv":
        found = replace(found, cells=Full())
    elif failing == "_overlay.png":
        monkeypatch.setattr(results, "draw", lambda *_: Full())
    else:
        monkeypatch.setattr(results, "write_json", full)
    with pytest.raises(OutputError) as caught:
        write(found, image(), tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / ('a' + failing)} cannot be written: No space left on device; make room "
        "there, or choose another folder"
    )
    assert left_in(tmp_path) == ["a_cells.csv"]
    assert (tmp_path / "a_cells.csv").read_text() == "old"


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(path, _):
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(results, "write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(segmentation(), image(), tmp_path)
    assert left_in(tmp_path) == []


def test_folder_without_rights_is_refused(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tifffile, "imwrite", denied)
    with pytest.raises(OutputError, match=r"Permission denied; choose a folder that you may write"):
        write(segmentation(), image(), tmp_path)
    assert left_in(tmp_path) == []


def test_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written: File exists; choose another folder"):
        write(segmentation(), image(), tmp_path / "out")
