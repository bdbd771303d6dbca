import numpy as np
import pytest

from napari_wbc_nca.ops.growth import colour_evidence, divide_at_necks

SHAPE = (40, 60)


def disc(centre, radius):
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot(y - centre[0], x - centre[1]) <= radius


def test_touching_discs_are_divided_at_their_neck():
    left, right = disc((20, 20), 11), disc((20, 41), 11)
    parts = divide_at_necks(left | right, disc((20, 17), 2), disc((20, 44), 2), 1)
    assert set(np.unique(parts)) == {-1, 0, 1}
    assert ((parts != 0) == (left | right)).all()
    assert (parts[:, :29] >= 0).all() and (parts[:, 33:] <= 0).all()


def test_marks_count_as_matter_and_the_own_ones_win():
    own, other = disc((20, 10), 3), disc((20, 12), 3)
    parts = divide_at_necks(np.zeros(SHAPE, bool), own, other, 0)
    assert (parts[own] == 1).all() and (parts[other & ~own] == -1).all()
    assert not parts[~(own | other)].any()


def test_matter_that_no_mark_reaches_is_nobodys():
    alone = disc((20, 45), 6)
    parts = divide_at_necks(alone, disc((20, 10), 3), np.zeros(SHAPE, bool), 1)
    assert not parts[alone].any()


@pytest.mark.parametrize("strength", [0.35, 1.0])
def test_colours_tell_the_cell_in_faint_pictures_too(strength):
    own, other = disc((20, 15), 10), disc((20, 42), 10)
    density = np.zeros((*SHAPE, 3))
    density[own], density[other] = (1.2, 0.9, 0.3), (0.1, 0.8, 1.1)
    evidence = colour_evidence(strength * density, disc((20, 15), 4), disc((20, 42), 4), 0)
    assert evidence[own].min() > 2 and evidence[other].max() < -2
    assert np.abs(evidence).max() <= 3


def test_a_few_pixels_tell_no_colours():
    density = np.random.default_rng(0).random((*SHAPE, 3))
    own, other = disc((20, 15), 5), disc((20, 42), 1)
    assert not colour_evidence(density, own, other, 1).any()
