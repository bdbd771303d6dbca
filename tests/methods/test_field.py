from __future__ import annotations

import numpy as np
import planted
import pytest
import torch

from napari_wbc_nca.methods.field import Field, fine_part

DENSITY = {"name": "density"}
FIELD = planted.smear((40, 60))


def test_a_part_is_read_as_in_the_whole():
    view = Field(FIELD, 1.7, DENSITY)
    assert view.shape == (71, 95)
    whole = view.read((range(71), range(95)))
    part = view.read((range(20, 50), range(31, 60)))
    np.testing.assert_array_equal(part, whole[:, 20:50, 31:60])
    assert whole.shape == (3, 71, 95)


def test_cells_are_dense_and_the_background_is_not():
    view = Field(FIELD, 2.0, DENSITY)
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
    view = Field(FIELD, 2.0, DENSITY)
    assert view.window(centre, 24) == (range(*rows), range(*columns))


def test_a_window_of_a_small_field_is_the_field():
    assert Field(FIELD, 10.0, DENSITY).window((3, 3), 24) == (range(12), range(16))


def test_the_smallest_field_has_two_pixels():
    view = Field(np.zeros((1, 3, 3), np.uint8), 4.0, DENSITY)
    assert view.read((range(2), range(2))).shape == (3, 2, 2)


def test_positions_are_those_of_pixel_centres():
    view = Field(FIELD, 4.0, DENSITY)
    assert view.to_image((0, 0)) == (1.5, 1.5)
    assert view.image_part((range(2, 5), range(0, 1))) == (range(8, 20), range(4))


def test_an_interpolated_map_keeps_its_place():
    view = Field(FIELD, 2.0, DENSITY)
    part = (range(10, 30), range(20, 40))
    rows = np.repeat(np.arange(10.0, 30)[:, None], 20, 1)
    for factor in (1, 0.5):
        wanted = [range(round(r.start * 2 / factor), round(r.stop * 2 / factor)) for r in part]
        fine = view.interpolate(rows, part, factor, tuple(wanted))
        expected = (np.asarray(wanted[0]) + 0.5) * factor / 2 - 0.5
        assert fine.shape == tuple(map(len, wanted))
        inside = (expected > 10) & (expected < 29)
        np.testing.assert_allclose(fine[inside, 7], expected[inside])


def test_a_finer_view_has_the_density_whatever_the_network_sees():
    finer = Field(FIELD, 2.0, {"name": "standard"}).fine_density()
    assert finer.shape == (120, 160)
    part = fine_part((range(10, 20), range(70, 80)), finer.shape)
    assert part == (range(20, 40), range(140, 160))
    np.testing.assert_array_equal(finer.read(part), Field(FIELD, 1.0, DENSITY).read(part))


def test_a_finer_part_stays_inside_the_field():
    assert fine_part((range(3), range(5, 9)), (5, 17)) == (range(5), range(10, 17))


def test_absorptance_is_the_saturated_density():
    part = (range(60), range(80))
    density = Field(FIELD, 2.0, DENSITY).read(part)
    found = Field(FIELD, 2.0, {"name": "absorptance"}).read(part)
    torch.testing.assert_close(found, 1 - torch.exp(-2 * density))


class Counting:
    """A field that counts how often it is read."""

    def __init__(self, pixels):
        self.pixels, self.shape, self.reads = pixels, pixels.shape, 0

    def __getitem__(self, at):
        self.reads += 1
        return self.pixels[at]


def test_the_sample_of_a_field_is_read_once():
    field = Counting(FIELD)
    view = Field(field, 2.0, DENSITY).rescaled(3.0).fine_density()
    assert field.reads == 1
    part = (range(10), range(12))
    np.testing.assert_array_equal(view.read(part), Field(FIELD, 1.5, DENSITY).read(part))


def test_unusual_colours_are_restored_and_growth_sees_dark_ones_as_they_are():
    usual = {**DENSITY, "chroma": (0.0, 0.2), "faint": (0.0, 1.0), "dark": (9.0, 1.0)}
    plain, usual_field = Field(FIELD, 2.0, DENSITY), Field(FIELD, 2.0, usual)
    assert not plain.restored
    assert not usual_field.restored
    part = plain.whole
    np.testing.assert_array_equal(plain.read(part), usual_field.read(part))
    faint = Field(FIELD, 2.0, {**usual, "faint": (9.0, 20.0)})
    dark = Field(FIELD, 2.0, {**usual, "dark": (-1.0, 0.001)})
    for field, again in ((faint, True), (dark, False)):
        assert field.restored
        assert field.fine_density().restored is again
        factor = field.read(part)[:, 20, 30] / plain.read(part)[:, 20, 30]
        assert (factor > 1).all() if again else (factor.abs() < 1).all()
