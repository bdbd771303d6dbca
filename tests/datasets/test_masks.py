from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image as Picture

from napari_wbc_nca.datasets.masks import read_mask_arrays, sample_from_masks, typical_diameter
from napari_wbc_nca.datasets.readers import read
from napari_wbc_nca.datasets.samples import LabelError, Masks
from napari_wbc_nca.formats.items import item, keep_reviewed
from napari_wbc_nca.formats.tiff import read as read_items
from napari_wbc_nca.formats.tiff import write
from napari_wbc_nca.workflow.export import training_sample

SHAPE = (40, 60)
BRIGHT = np.full((60, 90, 3), 200, np.uint8)


def labels(dtype=np.uint16):
    """Two cells, labels 3 and 70, and a fragment of a third, label 5."""
    image = np.zeros(SHAPE, dtype)
    image[5:15, 10:20] = 3
    image[20:36, 30:50] = 70
    image[0, 59] = 5
    return image


@pytest.fixture
def folder(tmp_path):
    """A picture with labels, nuclei and classes, and one without cells."""
    nuclei = np.where(labels() == 3, labels(), 0)
    nuclei[:8] = 0
    for name, cell in (("a", labels()), ("b", np.zeros(SHAPE, np.uint8))):
        Picture.new("RGB", SHAPE[::-1], 200).save(tmp_path / f"{name}.png")
        tifffile.imwrite(tmp_path / f"{name}_labels.tif", cell)
    tifffile.imwrite(tmp_path / "a_nuclei.tif", nuclei)
    (tmp_path / "a_cells.csv").write_text("label,class,area\n3,Monocyte,1\n70,RBC,2\n5,,\n")
    return tmp_path


def test_labels_of_an_ome_tiff_are_found_under_the_name_that_segment_gives(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", np.full((*SHAPE, 3), 200, np.uint8))
    tifffile.imwrite(tmp_path / "a_labels.tif", labels())
    (tmp_path / "a_cells.csv").write_text("label,class\n70,RBC\n")
    (sample,) = read(tmp_path)
    assert sample.masks.labels == (3, 5, 70)
    assert sample.kinds == ("wbc", "wbc", "rbc")


@pytest.mark.parametrize("file", ["a_labels.TIF", "a_labels.Png", "A_labels.tif"])
def test_labels_are_found_whatever_the_case_of_their_name(tmp_path, file):
    Picture.new("RGB", SHAPE[::-1], 200).save(tmp_path / "a.JPG")
    Picture.fromarray(labels()).save(tmp_path / file)
    (sample,) = read(tmp_path)
    assert sample.masks.cell == tmp_path / file


def test_label_images_beside_pictures_become_samples(folder):
    first, empty = read(folder)
    assert first.boxes.tolist() == [[5, 10, 15, 20], [0, 59, 1, 60], [20, 30, 36, 50]]
    assert first.names == ("monocyte", "wbc", "none")
    assert first.kinds == ("monocyte", "wbc", "rbc")
    assert first.masks.labels == (3, 5, 70)
    assert first.masks.nucleus == folder / "a_nuclei.tif"
    assert first.diameter == pytest.approx(np.sqrt(100 * 4 / np.pi))
    assert (first.group, first.source) == ("a", folder.name)
    assert empty.boxes.shape == (0, 4)
    assert (empty.names, empty.masks.nucleus, empty.diameter) == ((), None, 0)


def test_labels_may_lie_in_a_folder_of_their_own(folder):
    for end, name in (("", "images"), ("_labels", "labels"), ("_nuclei", "nuclei")):
        (folder / name).mkdir()
        for path in [p for p in folder.iterdir() if p.stem in (f"a{end}", f"b{end}")]:
            path.rename(folder / name / path.name.replace(end, ""))
    (folder / "a_cells.csv").rename(folder / "labels" / "a_cells.csv")
    first, empty = read(folder)
    assert first.names == ("monocyte", "wbc", "none")
    assert first.masks.nucleus == folder / "nuclei" / "a.tif"
    assert empty.names == ()


def test_what_nobody_reviewed_is_ignored(folder):
    left = np.arange(60) < np.full((40, 1), 5)
    tifffile.imwrite(folder / "a_ignore.tif", left.astype(np.uint8) * 255)
    sample = read(folder)[0]
    drawn = read_mask_arrays(sample.masks, SHAPE)
    np.testing.assert_array_equal(drawn.cell, labels())
    np.testing.assert_array_equal(drawn.ignored, left)


def test_an_export_is_read_again_but_for_what_it_kept_for_a_test(tmp_path):
    pixels = np.full((*SHAPE, 3), 200, np.uint8)
    cells = pd.DataFrame({"label": [3, 70], "class": ["monocyte", "rbc"]})
    whole = item("one", labels(), cells, pixels)
    part = keep_reviewed(item("two", labels(), cells, pixels), np.arange(60) < np.full((40, 1), 25))
    items = [replace(whole, split="train"), replace(part, split="train")]
    write([*items, replace(whole, name="three", split="test")], (), tmp_path / "e")
    first, second = read(tmp_path / "e")
    assert (first.names, first.source) == (("monocyte", "wbc", "none"), "e")
    assert second.names == ("monocyte",)
    drawn = read_mask_arrays(second.masks, SHAPE)
    np.testing.assert_array_equal(drawn.cell, np.where(labels() == 3, 3, 0))
    np.testing.assert_array_equal(drawn.ignored, part.ignore)


def test_fragments_do_not_decide_how_large_a_cell_is():
    assert typical_diameter([2] * 20 + [400, 420]) == pytest.approx(np.sqrt(400 * 4 / np.pi))
    assert typical_diameter([]) == 0


def test_a_picture_filled_by_its_cell_has_no_outside():
    sample = sample_from_masks(folder, Masks(np.full((9, 8), 4), ()), {4: "basophil"}, (9, 8))
    assert (sample.boxes.tolist(), sample.names) == ([[0, 0, 9, 8]], ("basophil",))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a_labels.tif", np.zeros((30, 60), np.uint8), r"is \(30, 60\) pixels and its picture"),
        ("a_labels.tif", np.full(SHAPE, 0.5, np.float32), "holds float32; expected integers"),
        ("a_labels.tif", np.full(SHAPE, -1, np.int16), "a_labels.tif has labels below 0"),
        ("a_labels.tif", None, "a_labels.tif cannot be read as labels"),
        ("a_cells.csv", "label,class\n-1,wbc\n", "line 2: label is '-1'; expected an integer"),
        ("a_cells.csv", "name,class\n1,wbc\n", "no column label"),
    ],
)
def test_what_cannot_be_used_is_named(folder, file, content, message):
    if isinstance(content, np.ndarray):
        tifffile.imwrite(folder / file, content)
    else:
        (folder / file).write_text(content or "nothing")
    with pytest.raises(LabelError, match=message):
        for sample in read(folder):
            read_mask_arrays(sample.masks, SHAPE)


def test_a_picture_without_labels_is_named(folder):
    (folder / "b_labels.tif").unlink()
    with pytest.raises(LabelError, match=r"b\.png has no label image; expected b_labels\.tif"):
        read(folder)


def test_nuclei_have_the_numbers_of_their_cells_in_exports_and_lessons(tmp_path):
    pixels = np.full((*SHAPE, 3), 200, np.uint8)
    cells = pd.DataFrame({"label": [3, 70, 5], "class": ["monocyte", "wbc", "platelet"]})
    inner = np.zeros(SHAPE, np.uint16)
    inner[7:12, 12:18], inner[24:30, 35:60] = 70, 9  # by other numbers, and beyond its cell
    one = replace(item("one", labels(), cells, pixels), nucleus=inner)
    expected = np.where(inner > 0, labels(), 0)
    np.testing.assert_array_equal(training_sample(one).masks.nucleus, expected)
    write([one], (), tmp_path / "e")
    (sample,) = read(tmp_path / "e")
    np.testing.assert_array_equal(read_mask_arrays(sample.masks, SHAPE).nucleus, expected)
    (back,) = read_items(tmp_path / "e")
    np.testing.assert_array_equal(back.nucleus, expected)


def test_nuclei_teach_nothing_where_a_cell_was_drawn_without(tmp_path):
    pixels = np.full((*SHAPE, 3), 200, np.uint8)
    cells = pd.DataFrame({"label": [3, 70, 5], "class": ["monocyte", "wbc", "platelet"]})
    inner = np.where(labels() == 3, 3, 0)
    one = replace(item("one", labels(), cells, pixels), nucleus=inner)
    assert training_sample(one).masks.nucleus is None
    write([one], (), tmp_path / "e")
    assert not (tmp_path / "e" / "nuclei").exists()


@pytest.fixture
def stained(tmp_path):
    y, x = np.mgrid[:60, :90]
    nuclei = sum(np.hypot(y - cy, x - cx) <= 6 for cy, cx in ((15, 20), (40, 66)))
    Picture.fromarray(BRIGHT).save(tmp_path / "a.png")
    Picture.fromarray((nuclei * 200).astype(np.uint8)).save(tmp_path / "a_stain.png")
    return tmp_path


def test_stained_nuclei_are_centroids(stained):
    (sample,) = read(stained)
    assert sample.path.name == "a.png"
    assert sample.kinds == ("cell", "cell")
    assert sample.boxes[:, :2] == pytest.approx(np.asarray([[15, 20], [40, 66]]), abs=1)
    assert (sample.boxes[:, :2] == sample.boxes[:, 2:]).all()


def test_a_channel_of_another_size_is_refused(stained):
    Picture.fromarray(np.zeros((60, 80), np.uint8)).save(stained / "a_stain.png")
    with pytest.raises(LabelError, match=r"a_stain.png has \(60, 80\) .* a.png has \(60, 90\)"):
        read(stained)


def test_a_picture_without_its_channel_is_refused(stained):
    Picture.fromarray(BRIGHT).save(stained / "b.png")
    with pytest.raises(
        LabelError, match=r"b.png has no stained channel beside it; expected b_stai"
    ):
        read(stained)
