from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_wbc_nca.io._files import name_outputs
from napari_wbc_nca.workflow.batch import find_inputs


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/x.png", "a/y.ome.tif"], ["x", "y"]),
        (["a/x.png", "a/x.tif"], ["x.png", "x.tif"]),
        (["a/x.png", "b/x.png", "a/z.png"], ["a_x.png", "b_x.png", "z"]),
    ],
)
def test_outputs_have_names_of_their_own(paths, expected):
    assert list(name_outputs(map(Path, paths)).values()) == expected


def test_names_differ_however_alike_the_paths_are():
    paths = [*map(Path, ("1/s/x.png", "2/s/x.png", "x.png.tif", "q/s_x.png.tif", "Q/X.PNG.tif"))]
    found = name_outputs(paths)
    assert list(found) == paths
    assert len({name.lower() for name in found.values()}) == len(paths)


def test_one_file_under_two_spellings_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    assert find_inputs(["a.png", str(tmp_path / "a.png")]).files == {Path("a.png"): "a"}


def test_folders_give_their_images_once_and_in_order(tmp_path):
    for name in ("b.JPG", "a.png", "c.txt", "d_mask.png", "a_labels.tif", "e.tiff", "a.json"):
        (tmp_path / name).touch()
    zarr.create_array(str(tmp_path / "f.zarr"), data=np.zeros((9, 9, 3), np.uint8))
    found = find_inputs([str(tmp_path), str(tmp_path / "a.png")])
    assert [path.name for path in found.files] == ["a.png", "b.JPG", "e.tiff", "f.zarr"]
    assert found.failed == {}


def test_named_files_are_taken_as_they_are(tmp_path):
    found = find_inputs([str(tmp_path / "x_labels.tif")])
    assert list(found.files.values()) == ["x_labels"]


def test_file_whose_name_looks_like_a_pattern(tmp_path):
    (tmp_path / "a[1].png").touch()
    assert list(find_inputs([str(tmp_path / "a[1].png")]).files) == [tmp_path / "a[1].png"]
