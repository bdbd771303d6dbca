from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from napari_wbc_nca.ops.metrics import iou
from napari_wbc_nca.ops.regions import nucleus_region, region_in_box

SIDE = 72
BACKGROUND, RED_CELL = (0.0, 0.0, 0.0), (0.05, 0.35, 0.45)
CYTOPLASM, NUCLEUS = (0.25, 0.45, 0.15), (0.9, 1.0, 0.35)


def disc(centre, radius, side=SIDE):
    y, x = np.ogrid[:side, :side]
    return np.hypot(y - centre[0], x - centre[1]) < radius


def window(radius=18, nucleus=9, centre=(35.5, 35.5), noise=0.03):
    """Densities of a cell between red cells, with its mask and its nucleus's."""
    density = np.zeros((SIDE, SIDE, 3)) + BACKGROUND
    for red in ((10, 10), (60, 14), (12, 62), (62, 58)):
        density[disc(red, 9)] = RED_CELL
    cell, inner = disc(centre, radius), disc((centre[0] + 3, centre[1] - 2), nucleus)
    density[cell], density[inner] = CYTOPLASM, NUCLEUS
    density += np.random.default_rng(0).normal(0, noise, density.shape)
    return density.astype(np.float32), cell, inner


SEEN = np.ones((SIDE, SIDE), bool)


@pytest.mark.parametrize("radius", [16, 18, 22])
def test_a_box_becomes_the_cell(radius):
    density, cell, _ = window(radius)
    half = radius / 0.94  # boxes are drawn a little wider than their cells
    assert iou(region_in_box(density, (half, half), SEEN), cell) > 0.9


def test_a_loose_box_does_not_take_its_corners():
    density, cell, _ = window(17)
    assert iou(region_in_box(density, (20, 20), SEEN), cell) > 0.9


def test_a_cell_cut_by_the_border_is_found_in_what_is_seen():
    density, cell, _ = window()
    seen = SEEN.copy()
    seen[:28] = False  # the image begins within the cell
    density[~seen] = 0
    region = region_in_box(density, (18, 18), seen) & seen
    assert iou(region, cell & seen) > 0.9


def test_colours_that_say_nothing_leave_the_ellipse():
    flat = np.zeros((SIDE, SIDE, 3), np.float32)
    region = region_in_box(flat, (20, 12), SEEN)
    y, x = (np.arange(SIDE) - 35.5) / 20, (np.arange(SIDE) - 35.5) / 12
    assert iou(region, np.hypot(y[:, None], x[None]) < 0.95) > 0.95


def test_a_window_without_surroundings_leaves_the_ellipse():
    density, _, _ = window()
    seen = disc((35.5, 35.5), 10)
    region = region_in_box(density, (18, 18), seen)
    assert iou(region, disc((35.5, 35.5), 0.95 * 18)) > 0.95


def test_a_region_is_one_piece_without_holes():
    density, cell, _ = window()
    density[disc((46, 36), 4)] = BACKGROUND  # a vacuole
    density[4:10, 40:46] = CYTOPLASM  # a fleck of the same colour
    region = region_in_box(density, (18, 18), SEEN)
    assert region[disc((46, 36), 4)].all()
    assert not region[4:10, 40:46].any()
    assert iou(region, cell) > 0.9


def test_nucleus_is_the_dark_part_of_the_cell():
    density, cell, inner = window()
    found = nucleus_region(density, cell)
    assert not (found & ~cell).any()
    assert iou(found, inner) > 0.85


def test_nucleus_may_be_in_pieces():
    density, cell, inner = window(nucleus=0)
    pieces = disc((30, 30), 5) | disc((42, 42), 5)
    density[pieces] = NUCLEUS
    assert not inner.any()
    assert iou(nucleus_region(density, cell), pieces) > 0.75


def test_granules_that_absorb_blue_are_no_nucleus():
    density, cell, _ = window(nucleus=0)
    lobe, granules = disc((28, 35), 6), disc((43, 36), 7)
    density[lobe], density[granules] = NUCLEUS, (0.5, 0.9, 1.0)
    assert iou(nucleus_region(density, cell), lobe) > 0.75


def test_no_cell_and_no_contrast_have_no_nucleus():
    density, cell, _ = window()
    assert not nucleus_region(density, np.zeros_like(cell)).any()
    assert not nucleus_region(np.zeros_like(density), cell).any()


@st.composite
def boxes(draw):
    """Density of a box's window with a cell and random blots, half axes, and what is seen."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.tuples(st.integers(30, 60), st.integers(30, 60)))
    half = draw(st.tuples(st.floats(6, height / 3), st.floats(6, width / 3)))
    y, x = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    cell = np.hypot(y[:, None] / half[0], x[None] / half[1]) < 0.9
    blots = ndi.gaussian_filter(random.normal(size=(height, width)), 3) > 0.08
    density = random.normal(0, 0.03, (height, width, 3))
    density[blots] += random.uniform(0, 0.6, 3)
    density[cell] += random.uniform(0.2, 1, 3)
    seen = np.ones((height, width), bool)
    seen[: draw(st.integers(0, height // 3))] = False
    return density, half, seen


@settings(max_examples=30)
@given(boxes())
def test_a_region_is_one_piece_of_its_window_and_holds_its_nucleus(box):
    density, _, seen = box
    region = region_in_box(*box)
    assert (region.shape, region.dtype) == (seen.shape, np.dtype(bool))
    assert ndi.label(region)[1] == 1
    np.testing.assert_array_equal(ndi.binary_fill_holes(region), region)
    assert not (nucleus_region(density, region) & ~region).any()


@settings(max_examples=30)
@given(boxes(), st.sampled_from([0, 1, (0, 1)]))
def test_regions_turn_over_with_their_window(box, axes):
    density, half, seen = box
    region, over = region_in_box(*box), np.flip(density, axes)
    turned = region_in_box(over, half, np.flip(seen, axes))
    np.testing.assert_array_equal(turned, np.flip(region, axes))
    np.testing.assert_array_equal(
        nucleus_region(over, turned), np.flip(nucleus_region(density, region), axes)
    )
