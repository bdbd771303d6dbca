from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest
import torch
from PIL import Image as Picture

from napari_wbc_nca.cell_types import CELL_TO_BOX, RED_TO_WHITE_DIAMETER
from napari_wbc_nca.datasets.masks import sample_from_masks
from napari_wbc_nca.datasets.samples import Masks, Sample
from napari_wbc_nca.methods.nca.samples import (
    CYTOPLASM,
    DRAWN,
    FINE,
    IGNORED,
    NUCLEUS,
    OUTSIDE,
    prepare,
    sample_diameter,
)
from napari_wbc_nca.ops.metrics import iou

DENSITY = {"name": "density"}
DIAMETER = 24.0  # model pixels; fields are drawn so that a prepared pixel is an image pixel
RADIUS, HALF = 24, 24 / CELL_TO_BOX
SHAPE = (130, 150)


@pytest.fixture
def sample(tmp_path):
    """Write a smear with white cells at `centres` and label it by `boxes`."""

    def make(centres, boxes, names, red=()):
        path = tmp_path / "field.png"
        pixels = planted.smear(*centres, shape=SHAPE, radius=RADIUS, red=red)
        Picture.fromarray(pixels).save(path)
        rows = None if boxes is None else planted.array(boxes)
        return Sample(path, rows, names, "slide", "source", 2.0)

    return make


def test_a_box_marks_the_cell_and_its_nucleus(sample):
    boxes = planted.boxes((60, 70), radius=HALF)
    found = prepare(sample([(60, 70)], boxes, ("monocyte",)), DIAMETER, DENSITY)
    assert found.target.shape == found.pixels.shape[1:] == SHAPE
    assert found.pixels.dtype == torch.float16
    target = found.target.numpy()
    cell = planted.disc(SHAPE, (60, 70), RADIUS)
    assert iou(np.isin(target, (CYTOPLASM, NUCLEUS)), cell) > 0.9
    assert iou(target == NUCLEUS, planted.disc(SHAPE, (60, 70), RADIUS * 0.55)) > 0.8
    assert not (target == IGNORED).any()
    (place,) = found.locations
    assert (place.name, place.centre) == ("monocyte", pytest.approx((60, 70)))
    assert (found.source, found.weight) == ("source", 2.0)


def test_positions_follow_the_scale(sample):
    boxes = planted.boxes((60, 70), radius=HALF)
    found = prepare(sample([(60, 70)], boxes, ("monocyte",)), DIAMETER / 2, DENSITY)
    assert found.target.shape == (65, 75)
    assert found.locations[0].centre == pytest.approx((30, 35))
    cell = planted.disc((65, 75), (30, 35), RADIUS / 2)
    assert iou(found.target.numpy() != OUTSIDE, cell) > 0.85


def test_a_cell_cut_by_the_border_is_marked_where_it_is_seen(sample):
    whole = planted.boxes((8, 70), radius=HALF)[0]
    cut = (0.0, *whole[1:])
    rest = planted.boxes((90, 70), radius=HALF)
    found = prepare(sample([(8, 70), (90, 70)], [cut, *rest], ("wbc",) * 2), DIAMETER, DENSITY)
    target = found.target.numpy()[:50]
    assert iou(target != OUTSIDE, planted.disc(SHAPE, (8, 70), RADIUS)[:50]) > 0.8


def test_none_is_a_place_but_marks_nothing(sample):
    red = (100, 30)
    boxes = planted.boxes((60, 70), radius=HALF) + planted.boxes(red, radius=15)
    made = sample([(60, 70)], boxes, ("wbc", "none"), red=(red,))
    found = prepare(made, DIAMETER, DENSITY)
    assert [place.name for place in found.locations] == ["wbc", "none"]
    assert not found.target.numpy()[planted.disc(SHAPE, red, 14)].any()


def test_a_point_marks_the_middle_and_ignores_the_rim(sample):
    boxes = [*planted.boxes((60, 70), radius=HALF), (30, 120, 30, 120)]
    made = sample([(60, 70), (30, 120)], boxes, ("wbc", "basophil"))
    target = prepare(made, DIAMETER, DENSITY).target.numpy()
    side = DIAMETER * FINE
    pixel = (30.5, 120.5)  # a point is the middle of a pixel
    assert (target[planted.disc(SHAPE, pixel, side * 0.2)] == CYTOPLASM).all()
    rim = planted.disc(SHAPE, pixel, side * 0.65)
    middle = planted.disc(SHAPE, pixel, side * 0.22)
    assert (target[rim & ~middle] == IGNORED).all()
    assert not (target == NUCLEUS)[rim].any()
    assert target[5, 5] == OUTSIDE


def test_a_point_takes_nothing_from_a_boxed_neighbour(sample):
    boxes = [*planted.boxes((60, 60), radius=HALF), (60, 100, 60, 100)]
    made = sample([(60, 60), (60, 100)], boxes, ("wbc", "wbc"))
    target = prepare(made, DIAMETER, DENSITY).target.numpy()
    assert target[60, 60] == NUCLEUS
    assert target[60, 79] == CYTOPLASM  # within the rim of the point


def test_a_box_much_smaller_than_the_others_is_ignored(sample):
    boxes = planted.boxes((60, 60), radius=HALF) + planted.boxes((110, 130), radius=7)
    made = sample([(60, 60), (110, 130)], boxes, ("wbc", "wbc"))
    target = prepare(made, DIAMETER, DENSITY).target.numpy()
    around = planted.disc(SHAPE, (110, 130), 7)
    assert (target[around] == IGNORED).all()
    assert target[60, 60] == NUCLEUS


def test_a_crop_marks_its_middle_alone(sample):
    found = prepare(sample([(65, 75)], None, ("eosinophil",)), DIAMETER, DENSITY)
    target = found.target.numpy()
    height, width = target.shape
    assert target[height // 2, width // 2] == CYTOPLASM
    assert set(np.unique(target)) == {CYTOPLASM, IGNORED}
    assert found.locations[0].centre == pytest.approx((height / 2, width / 2), abs=1)


def test_a_crop_of_none_is_all_outside(sample):
    found = prepare(sample([], None, ("none",), red=((60, 70),)), DIAMETER, DENSITY)
    assert not found.target.any()
    assert [place.name for place in found.locations] == ["none"]


def test_a_field_without_labels_is_all_outside(sample):
    found = prepare(sample([], [], ()), DIAMETER, DENSITY)
    assert not found.target.any()
    assert found.locations == ()


def test_other_normalisations_reach_the_pixels(sample):
    made = sample([(60, 70)], planted.boxes((60, 70), radius=HALF), ("wbc",))
    standard = prepare(made, DIAMETER, {"name": "standard"})
    assert abs(float(standard.pixels.float().mean())) < 0.1
    assert float(standard.pixels.float().std()) > 0.9
    assert torch.equal(standard.target, prepare(made, DIAMETER, DENSITY).target)


@pytest.mark.parametrize(
    ("boxes", "names", "expected"),
    [
        ([(10, 10, 50, 50), (10, 60, 30, 80)], ("wbc", "none"), 40 * CELL_TO_BOX),
        ([(10, 10, 50, 50), (10, 60, 70, 120)], ("wbc", "monocyte"), 60 * CELL_TO_BOX),
        (
            [(0, 10, 20, 50)],
            ("wbc",),
            40 * CELL_TO_BOX,
        ),  # cut by the border: the longer side counts
        (
            [(10, 10, 30, 30), (10, 60, 34, 84), (50, 9, 72, 31)],
            ("none",) * 3,
            22 * CELL_TO_BOX / RED_TO_WHITE_DIAMETER,
        ),
        ([(50, 50, 50, 50)], ("wbc",), 0.55 * 100),
        (None, ("wbc",), 0.55 * 100),
        ([], (), 0.55 * 100),
    ],
)
def test_diameter_of_a_sample(tmp_path, boxes, names, expected):
    rows = None if boxes is None else planted.array(boxes)
    sample = Sample(tmp_path / "a.png", rows, names)
    assert sample_diameter(sample, (100, 140)) == pytest.approx(expected)


def drawn(sample, ignore=None, nucleus=True):
    """The sample with masks as an expert would draw them, a pixel larger than the cells."""
    cell = np.zeros(SHAPE, np.uint16)
    dark = np.zeros(SHAPE, np.uint16)
    for label, centre in ((4, (40, 45)), (9, (90, 110))):
        cell[planted.disc(SHAPE, centre, RADIUS + 1)] = label
        dark[planted.disc(SHAPE, centre, RADIUS * 0.4)] = label
    masks = Masks(cell, (), dark if nucleus else None, ignore)
    return replace(
        sample_from_masks(sample.path, masks, {4: "monocyte", 9: "rbc"}, SHAPE), diameter=2 * RADIUS
    )


def test_masks_are_taken_as_they_were_drawn(sample):
    made = drawn(sample([(40, 45), (90, 110)], [], ()))
    found = prepare(made, DIAMETER, DENSITY)
    expected = np.zeros(SHAPE, np.uint8)
    expected[planted.disc(SHAPE, (40, 45), RADIUS + 1)] = DRAWN
    expected[planted.disc(SHAPE, (40, 45), RADIUS * 0.4)] = NUCLEUS
    np.testing.assert_array_equal(found.target.numpy(), expected)
    assert [p.name for p in found.locations] == ["monocyte", "none"]
    assert found.locations[0].centre == pytest.approx((40, 45))


def test_nuclei_that_were_not_drawn_are_found_in_the_drawn_cells(sample):
    made = drawn(sample([(40, 45), (90, 110)], [], ()), nucleus=False)
    target = prepare(made, DIAMETER, DENSITY).target.numpy()
    assert iou(target == NUCLEUS, planted.disc(SHAPE, (40, 45), RADIUS * 0.55)) > 0.8
    np.testing.assert_array_equal(target > 0, planted.disc(SHAPE, (40, 45), RADIUS + 1))


def test_what_nobody_reviewed_teaches_nothing(sample):
    right = np.arange(150) >= np.full((130, 1), 75)
    made = drawn(sample([(40, 45), (90, 110)], [], ()), ignore=right)
    target = prepare(made, DIAMETER, DENSITY).target.numpy()
    np.testing.assert_array_equal(target == IGNORED, right)


def test_boxes_to_ignore_teach_nothing(sample):
    made = replace(drawn(sample([(40, 45)], [], ())), ignored=planted.array([(10, 5, 30, 40.5)]))
    target = prepare(made, DIAMETER, DENSITY).target.numpy()
    assert (target[10:30, 5:41] == IGNORED).all()
    assert (target == IGNORED).sum() == 20 * 36
