import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from napari_wbc_nca.ops.growth import (
    colour_evidence,
    convex_pieces,
    divide_at_necks,
    grow_region,
    open_components,
    response_seed,
    stained_mask,
)

SIZE = 96


def disc(y, x, radius):
    rows, columns = np.ogrid[:SIZE, :SIZE]
    return np.hypot(rows - y, columns - x) <= radius


def smear(red=()):
    """Density of a cell with a nucleus in the middle and red cells, and a response to nuclei."""
    density = np.random.default_rng(0).normal(0, 0.01, (SIZE, SIZE, 3))
    cell, nucleus = disc(48, 48, 26), disc(48, 48, 13)
    for y, x in red:
        density[disc(y, x, 14)] += (0.1, 0.4, 0.3)
    density[cell] = (0.25, 0.3, 0.05)
    density[nucleus] = (1.0, 1.2, 0.6)
    return density, nucleus * 0.9 + 0.02, cell


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_a_nucleus_grows_to_its_cell():
    density, response, cell = smear()
    assert iou(grow_region(response, density), cell) > 0.93


@pytest.mark.parametrize("red", [[(14, 14)], [(12, 48), (80, 80)], [(48, 88), (9, 40)]])
def test_red_cells_stay_outside(red):
    density, response, cell = smear(red)
    assert iou(grow_region(response, density), cell) > 0.85


def test_nothing_marked_grows_to_nothing():
    density, response, _ = smear([(14, 14)])
    assert not grow_region(np.zeros_like(response), density).any()


def test_what_leaks_into_a_neighbour_does_not_take_it_in():
    density, response, cell = smear([(48, 86)])
    response[44:52, 60:76] = 0.8
    assert iou(grow_region(response, density), cell) > 0.8


def test_empty_background_is_not_stained():
    density, _, cell = smear()
    assert iou(stained_mask(density), cell) > 0.93


def test_what_hangs_on_by_a_neck_is_cut_off():
    cell, neighbour = disc(48, 30, 18), disc(48, 56, 7)
    neck = np.zeros_like(cell)
    neck[46:51, 45:52] = True
    kept = open_components(cell | neck | neighbour)
    assert not kept[:, 58:].any()
    assert (kept & cell).sum() > 0.97 * cell.sum()


def test_rounding_keeps_discs_of_any_size_and_at_the_border():
    cells = disc(0, 25, 15) | disc(70, 70, 6)
    kept = open_components(cells)
    assert not (kept & ~cells).any()
    assert kept.sum() > 0.95 * cells.sum()
    assert kept[0, 20:30].all()


def test_rounding_nothing_leaves_nothing():
    assert not open_components(np.zeros((5, 6), bool)).any()


@st.composite
def blots(draw):
    """Density of random blots, and a response to some of them."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.tuples(st.integers(24, 64), st.integers(24, 64)))
    noise = ndi.gaussian_filter(random.normal(size=(2, *shape)), (0, 4, 4)) * 10
    strength = random.uniform(0.1, 0.6, 3)
    density = (noise[0] > 0.3)[..., None] * strength + random.normal(0, 0.02, (*shape, 3))
    return density, np.clip(noise[1], 0, 1) * (noise[0] > 0)


@settings(max_examples=30)
@given(blots())
def test_what_grows_is_stained_or_marked(blots):
    density, response = blots
    grown = grow_region(response, density)
    assert (grown.shape, grown.dtype) == (response.shape, np.dtype(bool))
    assert not (grown & ~(stained_mask(density) | response_seed(response))).any()


@settings(max_examples=30)
@given(blots(), st.sampled_from([0, 1, (0, 1)]))
def test_matter_and_marks_turn_over_with_the_picture(blots, axes):
    density, response = blots
    turned = stained_mask(np.flip(density, axes))
    np.testing.assert_array_equal(turned, np.flip(stained_mask(density), axes))
    np.testing.assert_array_equal(
        response_seed(np.flip(response, axes)), np.flip(response_seed(response), axes)
    )


@settings(max_examples=30)
@given(blots())
def test_pieces_share_out_the_matter_and_rounding_adds_nothing(blots):
    stained = stained_mask(blots[0])
    found, kept = convex_pieces(stained), open_components(stained)
    assert (found[~stained] == 0).all()
    assert all(ndi.label(found == piece)[1] == 1 for piece in range(1, found.max() + 1))
    assert not (kept & ~stained).any()
    components, count = ndi.label(stained)
    assert set(np.unique(components[kept])) == set(range(1, count + 1))


SHAPE = (40, 60)


def spot(centre, radius):
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot(y - centre[0], x - centre[1]) <= radius


def test_touching_discs_are_divided_at_their_neck():
    left, right = spot((20, 20), 11), spot((20, 41), 11)
    parts = divide_at_necks(left | right, spot((20, 17), 2), spot((20, 44), 2), 1)
    assert set(np.unique(parts)) == {-1, 0, 1}
    assert ((parts != 0) == (left | right)).all()
    assert (parts[:, :29] >= 0).all() and (parts[:, 33:] <= 0).all()


def test_marks_count_as_matter_and_the_own_ones_win():
    own, other = spot((20, 10), 3), spot((20, 12), 3)
    parts = divide_at_necks(np.zeros(SHAPE, bool), own, other, 0)
    assert (parts[own] == 1).all() and (parts[other & ~own] == -1).all()
    assert not parts[~(own | other)].any()


def test_matter_that_no_mark_reaches_is_nobodys():
    alone = spot((20, 45), 6)
    parts = divide_at_necks(alone, spot((20, 10), 3), np.zeros(SHAPE, bool), 1)
    assert not parts[alone].any()


@pytest.mark.parametrize("strength", [0.35, 1.0])
def test_colours_tell_the_cell_in_faint_pictures_too(strength):
    own, other = spot((20, 15), 10), spot((20, 42), 10)
    density = np.zeros((*SHAPE, 3))
    density[own], density[other] = (1.2, 0.9, 0.3), (0.1, 0.8, 1.1)
    evidence = colour_evidence(strength * density, spot((20, 15), 4), spot((20, 42), 4), 0)
    assert evidence[own].min() > 2 and evidence[other].max() < -2
    assert np.abs(evidence).max() <= 3


def test_a_few_pixels_tell_no_colours():
    density = np.random.default_rng(0).random((*SHAPE, 3))
    own, other = spot((20, 15), 5), spot((20, 42), 1)
    assert not colour_evidence(density, own, other, 1).any()
