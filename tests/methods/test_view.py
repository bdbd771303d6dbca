from __future__ import annotations

import numpy as np
import planted
import pytest

from napari_wbc_nca.methods.view import View

DENSITY = {"name": "density"}
FIELD = planted.smear((40, 60))


def test_a_part_is_read_as_in_the_whole():
    view = View(FIELD, 1.7, DENSITY)
    assert view.shape == (71, 95)
    whole = view.read((range(71), range(95)))
    part = view.read((range(20, 50), range(31, 60)))
    np.testing.assert_array_equal(part, whole[:, 20:50, 31:60])
    assert whole.shape == (3, 71, 95)


def test_cells_are_dense_and_the_background_is_not():
    view = View(FIELD, 2.0, DENSITY)
    red = view.read((range(60), range(80)))[0].numpy()
    assert red[20, 30] == pytest.approx(np.log(236 / 81), abs=0.1)
    assert abs(red[50, 70]) < 0.1


@pytest.mark.parametrize(
    ("centre", "rows", "columns"),
    [
        ((30, 40), (18, 42), (28, 52)),
        ((2, 79), (0, 24), (56, 80)),
        ((59, 0), (36, 60), (0, 24)),
    ],
)
def test_windows_stay_inside_the_field(centre, rows, columns):
    view = View(FIELD, 2.0, DENSITY)
    assert view.window(centre, 24) == (range(*rows), range(*columns))


def test_a_window_of_a_small_field_is_the_field():
    assert View(FIELD, 10.0, DENSITY).window((3, 3), 24) == (range(12), range(16))


def test_the_smallest_field_has_two_pixels():
    view = View(np.zeros((1, 3, 3), np.uint8), 4.0, DENSITY)
    assert view.read((range(2), range(2))).shape == (3, 2, 2)


def test_positions_are_those_of_pixel_centres():
    view = View(FIELD, 4.0, DENSITY)
    assert view.to_image((0, 0)) == (1.5, 1.5)
    assert view.box((range(2, 5), range(0, 1))) == (slice(8, 20), slice(0, 4))


def test_an_enlarged_map_keeps_its_place():
    view = View(FIELD, 2.0, DENSITY)
    part = (range(10, 30), range(20, 40))
    rows = np.repeat(np.arange(10.0, 30)[:, None], 20, 1)
    fine = view.enlarge(rows, part)
    expected = (np.arange(20, 60) + 0.5) / 2 - 0.5
    assert fine.shape == (40, 40)
    np.testing.assert_allclose(fine[1:-1, 7], expected[1:-1])


def test_density_is_that_of_the_image_whatever_the_network_sees():
    box = (slice(30, 50), slice(50, 70))
    standard = View(FIELD, 2.0, {"name": "standard"}).density(box)
    np.testing.assert_array_equal(standard, View(FIELD, 3.0, DENSITY).density(box))
