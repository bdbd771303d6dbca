"""Outlines enclose exactly their pixels, by two rasterisers of which one is another library's."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_wbc_nca.ops.outlines import (
    fill_polygons,
    join_rings,
    outline_contrast,
    rings_without_holes,
    roundness,
    trace_outlines,
)

IMAGES = arrays(
    np.uint32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3)
)


def filled(found, shape):
    polygons = [(polygon, label) for label, some in found.items() for polygon in some]
    return fill_polygons(
        [polygon for polygon, _ in polygons], [label for _, label in polygons], shape
    )


@given(IMAGES)
def test_filled_outlines_are_the_cells(labels):
    found = trace_outlines(labels)
    assert set(found) == set(np.unique(labels)) - {0}
    np.testing.assert_array_equal(filled(found, labels.shape), labels)


@given(IMAGES)
def test_outlines_are_valid_polygons_with_the_area_of_their_cells(labels):
    for label, polygons in trace_outlines(labels).items():
        shapes = [
            shapely.Polygon(outer[:, ::-1], [hole[:, ::-1] for hole in holes])
            for outer, *holes in polygons
        ]
        assert all(shape.is_valid and shape.exterior.is_ccw for shape in shapes)
        assert shapely.MultiPolygon(shapes).is_valid
        assert sum(shape.area for shape in shapes) == np.count_nonzero(labels == label)


@given(IMAGES)
def test_rings_without_holes_fill_the_cell(labels):
    for label in set(np.unique(labels)) - {0}:
        mask = labels == label
        rings = rings_without_holes(mask)
        np.testing.assert_array_equal(
            fill_polygons([[r] for r in rings], [1] * len(rings), mask.shape), mask
        )
        np.testing.assert_array_equal(fill_polygons([[join_rings(rings)]], [1], mask.shape), mask)


@given(
    st.lists(st.tuples(st.floats(-3, 12), st.floats(-3, 12)), min_size=3, max_size=8),
)
def test_any_polygon_is_filled_as_shapely_would(corners):
    ring = np.round(corners, 6)  # tinier edges overflow in shapely
    shape = shapely.Polygon(ring[:, ::-1])
    if not shape.is_valid or shape.area < 1e-6:
        return
    y, x = np.mgrid[:10, :9] + 0.5
    centres = shapely.points(x, y)
    inside = shapely.contains(shape, centres)
    clear = shapely.distance(shape.boundary, centres) > 1e-9  # rounding decides on the line
    np.testing.assert_array_equal(fill_polygons([[ring]], [1], (10, 9))[clear], inside[clear])


def test_cells_that_touch_at_a_corner_are_two_polygons():
    labels = np.array([[5, 0], [0, 5]])
    assert [ring.tolist() for (ring,) in trace_outlines(labels)[5]] == [
        [[0, 0], [0, 1], [1, 1], [1, 0]],
        [[1, 1], [1, 2], [2, 2], [2, 1]],
    ]


def test_hole_runs_the_other_way_round():
    labels = np.ones((3, 3), int)
    labels[1, 1] = 0
    ((outer, hole),) = trace_outlines(labels)[1]
    assert outer.tolist() == [[0, 0], [0, 3], [3, 3], [3, 0]]
    assert hole.tolist() == [[2, 1], [2, 2], [1, 2], [1, 1]]


def test_nothing_has_no_outline():
    assert trace_outlines(np.zeros((4, 5), int)) == {}
    assert trace_outlines(np.zeros((0, 0), int)) == {}
    assert not fill_polygons([], [], (2, 3)).any()


def test_later_polygons_lie_on_top():
    square = np.array([[0, 0], [0, 2], [2, 2], [2, 0]])
    assert (
        fill_polygons([[square], [square + np.array([0, 1])]], [1, 2], (2, 3)).tolist()
        == [[1, 2, 2]] * 2
    )


@pytest.mark.parametrize("shift", [-5, 5])
def test_polygon_outside_of_the_image_leaves_nothing(shift):
    square = np.array([[0, 0], [0, 2], [2, 2], [2, 0]]) + shift
    assert not fill_polygons([[square]], [1], (3, 3)).any()


def test_contrast_falls_with_the_share_of_the_outline_that_nothing_shows():
    y, x = np.ogrid[-24:24, -24:24]
    disk = y**2 + x**2 <= 15**2
    clear = np.where(disk, 0.9, 0.1)
    half = np.where(disk | (x + 0 * y > 0), 0.9, 0.1)
    assert outline_contrast(clear, disk, 3) == pytest.approx(0.8, abs=0.01)
    assert outline_contrast(half, disk, 3) == pytest.approx(0.4, abs=0.05)
    assert outline_contrast(np.full(disk.shape, 0.5), disk, 3) == pytest.approx(0, abs=1e-9)
    assert np.isnan(outline_contrast(clear, np.zeros_like(disk), 3))


def test_a_disk_is_rounder_than_a_square_and_that_than_a_bar():
    y, x = np.ogrid[-24:24, -24:24]
    shapes = (y**2 + x**2 <= 400, (abs(y) < 15) & (abs(x) < 15), (abs(y) < 3) & (abs(x) < 20))
    found = [roundness(shape) for shape in shapes]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.88
    assert found[2] < 0.5
