from __future__ import annotations

import os
from pathlib import Path
from unicodedata import normalize

import pytest

from napari_wbc_nca.io import _files
from napari_wbc_nca.io._files import NameIndex, OutputError, base_name, file_sha256, stem


@pytest.mark.parametrize(
    ("path", "name", "short"),
    [
        ("a.png", "a.png", "a"),
        ("/data/b/a.PNG", "a.png", "a"),
        ("C:\\data\\a.Ome.Tif", "a.ome.tif", "a"),
        ("a", "a", "a"),
        ("slide.1", "slide.1", "slide.1"),
        ("slide.1.jpeg", "slide.1.jpeg", "slide.1"),
        (".tif", ".tif", ".tif"),
        ("\\\\server\\share\\x\\a.bmp", "a.bmp", "a"),
    ],
)
def test_names_of_any_system(path, name, short):
    assert (base_name(path), stem(path)) == (name, short)


def test_one_name_is_found_however_it_was_written():
    index = NameIndex({"D:\\s\\001.JPG": 1, "002": 2, "Cell 3.tif": 3})
    for name, entry in (("/x/001.jpg", 1), ("001", 1), ("001.png", 1), ("002.tif", 2)):
        assert index.get(name) == entry
    assert index.get("cell 3.png") == 3
    assert index.get("004") is None


def test_names_of_any_form_of_unicode_are_one():
    composed, decomposed = (normalize(form, "Zelle_ü.png") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert NameIndex({decomposed: 1}).get(composed) == NameIndex({composed: 1}).get(decomposed) == 1
    assert len({*_files.name_outputs([Path(composed), Path(decomposed)]).values()}) == 2
    assert _files.name_outputs([Path(composed), Path("b.png")])[Path(composed)] == composed[:-4]


def test_folders_are_found_in_any_case(tmp_path):
    (tmp_path / "Train" / "Images").mkdir(parents=True)
    found = _files.find_inside(tmp_path, "train/images")
    assert found is not None and found.samefile(tmp_path / "Train" / "Images")
    assert _files.find_inside(tmp_path, "train/labels") is None


def test_suffix_decides_between_two_of_one_stem():
    index = NameIndex({"a.png": "picture", "a.tif": "labels"})
    assert (index.get("a.PNG"), index.get("a.tif")) == ("picture", "labels")


def test_folders_decide_between_two_of_one_name():
    index = NameIndex({"train\\a.png": 1, "val\\a.png": 2})
    assert (index.get("/home/train/a.png"), index.get("/home/val/a.png")) == (1, 2)


def test_files_appear_together_or_not_at_all(tmp_path):
    first, second = tmp_path / "new" / "a.txt", tmp_path / "new" / "b.txt"
    with (
        pytest.raises(OutputError, match=r"a\.txt cannot be written: File exists"),
        _files.write_whole(first, second) as parts,
    ):
        parts[0].write_text("a")
        raise FileExistsError(17, "File exists")
    assert not (tmp_path / "new").exists()
    with _files.write_whole(first, second) as parts:
        for part in parts:
            part.write_text("a")
    assert sorted(os.listdir(tmp_path / "new")) == ["a.txt", "b.txt"]


@pytest.mark.parametrize("links", [True, False])
def test_failed_renaming_puts_everything_back(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "no links")))
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_text("old")
    with (
        pytest.raises(OutputError, match="c cannot be written"),
        _files.write_whole(tmp_path / "a", tmp_path / "b", tmp_path / "c") as parts,
    ):
        parts[0].write_text("new")
        parts[1].mkdir()
    assert (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "b" / "x").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_failing_writer_is_named(tmp_path):
    def full(_):
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"b cannot be written: No space left on device; make"):
        _files.write_files({tmp_path / "a": Path.touch, tmp_path / "b": full})
    assert os.listdir(tmp_path) == []


def test_hash_is_that_of_the_file_as_it_is_now(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"a")
    before = file_sha256(path)
    path.write_bytes(b"bc")
    assert file_sha256(path) != before
    assert file_sha256(tmp_path) is file_sha256(None) is None
