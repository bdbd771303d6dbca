from __future__ import annotations

import numpy as np
import planted
import pytest

from napari_wbc_nca.methods.field import Field
from napari_wbc_nca.methods.prompts import (
    box_centres,
    check_boxes,
    check_points,
    on_background,
    prompt_centres,
)

SHAPE = (120, 160)


def test_a_half_open_box_has_its_centre_between_its_pixels():
    boxes = np.asarray([[0, 0, 10, 10], [4, 7, 5, 8]])
    np.testing.assert_array_equal(box_centres(boxes), [[4.5, 4.5], [4, 7]])


def test_a_box_around_a_disc_has_the_discs_centre():
    rows, columns = np.nonzero(planted.disc(SHAPE, (50, 70), 12))
    box = [[rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]]
    centres = prompt_centres("boxes", None, box, SHAPE)
    np.testing.assert_allclose(centres, [[rows.mean(), columns.mean()]])


def test_points_stay_as_they_are():
    points = [[0, 0], [119.4, 159.4], [-0.5, 3]]
    np.testing.assert_array_equal(prompt_centres("points", points, None, SHAPE), points)


@pytest.mark.parametrize("locate", ["evidence", "detector", "whole"])
def test_there_are_no_centres_where_cells_are_found_without_prompts(locate):
    assert prompt_centres(locate, [[500, 500]], None, SHAPE) is None


@pytest.mark.parametrize("locate", ["evidence", "boxes"])
@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([40, 10, 10, 60], "a box has no height or width"),
        ([10, 60, 40, 10], "a box has no height or width"),
        ([10, 10, 10, 60], "a box has no height or width"),
        ([10, 10, np.nan, 60], "1 of 1 boxes lie outside the image"),
        ([10, 200, 40, 240], "1 of 1 boxes lie outside the image"),
        ([10, 20, 30], r"boxes have shape \(1, 3\); expected \(N, 4\), y0, x0, y1, x1"),
    ],
)
def test_boxes_that_mark_nothing_are_refused(locate, box, message):
    with pytest.raises(ValueError, match=message):
        prompt_centres(locate, None, [box], SHAPE)


def test_no_prompts_are_a_table_without_rows():
    assert check_points([], SHAPE).shape == (0, 2)
    assert check_boxes(np.empty((0, 4)), SHAPE).shape == (0, 4)


def test_background_is_where_no_stained_matter_is():
    pixels = planted.smear((40, 50), red=((90, 120),))
    view = Field(pixels, 2.0, {"name": "absorptance"})
    places = [(40, 50), (90, 120), (20, 140), (100, 30), (0, 0), (119, 159)]
    centres = np.asarray([view.from_image(place) for place in places])
    assert on_background(view, centres, 2.0).tolist() == [False, False, True, True, True, True]
