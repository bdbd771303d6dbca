"""Homogeneous crops of fields with boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_wbc_nca.cell_types import CELL_TO_BOX
from napari_wbc_nca.datasets.samples import Sample
from napari_wbc_nca.methods.cellmixer import crops
from napari_wbc_nca.ops.mixing import IGNORED

WHITE, RED, SMALL = (40, 40, 60, 60), (5, 5, 15, 15), (80, 10, 84, 14)
NUMBERS = {"background": 0, "wbc": 1, "rbc": 2}


def sample(*placed):
    rows = np.asarray([box for box, _ in placed], np.float32)
    kinds = tuple(kind for _, kind in placed)
    names = tuple("wbc" if kind == "wbc" else "none" for kind in kinds)
    return Sample(Path("field.png"), rows, names, kinds=kinds)


FIELD = sample(
    (WHITE, "wbc"),
    (RED, "rbc"),
    ((55, 55, 65, 65), "rbc"),
    (SMALL, "platelet"),
    ((5, 80, 15, 90), "rbc"),
)


@pytest.fixture
def cut():
    mask = np.zeros((100, 100), bool)
    for y0, x0, y1, x1 in FIELD.boxes.astype(int):
        mask[y0:y1, x0:x1] = True
    mask[90:95, 90:95] = True  # debris that nobody boxed
    return list(crops.Cropper(FIELD, NUMBERS, "rbc", 1.0, 40).box_crops(mask))


def test_red_cells_are_cut_where_no_white_box_reaches(cut):
    parts = [c for c in cut if c.number == 2]
    assert parts
    for part in parts:
        rows, columns = part.part
        apart = rows.stop <= 40 or rows.start >= 60 or columns.stop <= 40 or columns.start >= 60
        assert apart
        assert set(np.unique(part.labels)) <= {0, 2, IGNORED}


def test_what_is_no_red_cell_is_ignored_there(cut):
    whole = np.zeros((100, 100), np.uint8)
    for part in (c for c in cut if c.number == 2):
        whole[part.part] = np.maximum(whole[part.part], part.labels)
    assert (whole[80:84, 10:14] == IGNORED).all()  # platelet
    assert (whole[90:95, 90:95] == IGNORED).all()  # debris
    assert (whole[5:15, 5:15] == 2).all()


def test_in_a_crop_of_a_white_cell_only_the_inside_of_its_box_is_white(cut):
    (crop,) = (c for c in cut if c.number == 1)
    rows = crop.part[0]
    assert (rows.stop - rows.start) == 60  # room for a crop of 40 anywhere around the cell
    full = np.zeros((100, 100), np.uint8)
    full[crop.part] = crop.labels
    white = full == 1
    assert white[45:52, 45:52].all()
    inside = np.zeros((100, 100), bool)
    inside[40:60, 40:60] = True
    assert not (white & ~inside).any()
    assert full[60:65, 60:65].min() == IGNORED  # the red cell beside it
    assert full[40, 40] == IGNORED  # corner of the box
    assert (full[58:60, 58:60] == IGNORED).all()  # where both boxes overlap


def test_all_boxes_tell_the_scale_each_by_its_kind():
    fields = [FIELD, sample(((0, 0, 40, 40), "wbc"), ((0, 0, 20, 20), "rbc"))]
    sizes = crops.relative_sizes(fields)
    assert sizes["wbc"] == 1
    assert sizes["rbc"] == pytest.approx(0.5)
    alone = sample(((0, 0, 30, 30), "rbc"))
    assert crops.scale_factor(alone, sizes, 40) == pytest.approx(CELL_TO_BOX * 60 / 40)
    assert crops.scale_factor(alone, sizes, 0) == 1


def test_points_have_no_scale():
    with pytest.raises(ValueError, match="points have no size"):
        crops.scale_factor(sample(((5, 5, 5, 5), "wbc")), {}, 40)


def test_the_commonest_class_surrounds_the_others():
    assert crops.most_common_class([FIELD], ("background", "wbc", "rbc")) == "rbc"
    assert crops.most_common_class([FIELD], ("background", "wbc")) == "wbc"
    assert crops.most_common_class([], ("background",)) == ""
