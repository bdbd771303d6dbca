from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage as ndi

from napari_wbc_nca.ops.split import labels_along, line_pixels, split_by_line, split_by_seeds

IMAGES = hnp.arrays(
    np.uint16, st.tuples(st.integers(2, 14), st.integers(2, 14)), elements=st.integers(0, 3)
)
POINTS = st.lists(st.tuples(st.integers(-3, 16), st.integers(-3, 16)), min_size=1, max_size=5)


def pieces_of(labels, label):
    return ndi.label(labels == label)[1]


def check_split(labels, done):
    """What holds for every split, however it was made."""
    after = done.apply(labels)
    assert done.parents
    np.testing.assert_array_equal(after == 0, labels == 0)
    back = after.copy()
    for new, old in done.parents.items():
        assert new > labels.max()
        assert (after == new).any()
        assert (after == old).sum() >= (after == new).sum()
        back[after == new] = old
    np.testing.assert_array_equal(back, labels)
    return after


@given(IMAGES, POINTS)
def test_split_by_any_line_only_divides(labels, points):
    try:
        done = split_by_line(labels, points)
    except ValueError as error:
        assert "the line" in str(error)
        return
    after = check_split(labels, done)
    for new in done.parents:
        assert pieces_of(after, new) == 1


@given(st.integers(4, 20), st.integers(4, 20), st.data())
def test_straight_cut_of_a_rectangle_gives_its_two_sides(height, width, data):
    labels = np.zeros((height + 4, width + 4), np.int32)
    labels[2:-2, 2:-2] = 7
    column = data.draw(st.integers(4, width))
    after = check_split(labels, split_by_line(labels, [(0, column), (height + 3, column)]))
    left, right = after[2, 2], after[2, -3]
    assert {left, right} == {7, 8}
    assert (after[2:-2, 2:column] == left).all()
    assert (after[2:-2, column + 1 : -2] == right).all()


def dumbbell():
    """Two disks of radius 10 and 8, joined by a neck, and a neighbour beside them."""
    labels = np.zeros((40, 70), np.uint32)
    rows, columns = np.indices(labels.shape)
    labels[(rows - 20) ** 2 + (columns - 15) ** 2 <= 100] = 2
    labels[(rows - 20) ** 2 + (columns - 32) ** 2 <= 64] = 2
    labels[10:30, 45:60] = 3
    return labels


def test_larger_piece_keeps_the_label():
    after = check_split(dumbbell(), split_by_line(dumbbell(), [(5, 25), (35, 25)]))
    assert after[20, 15] == 2
    assert after[20, 32] == 4


def test_line_that_ends_inside_is_prolonged_through_the_cell_only():
    labels = dumbbell()
    done = split_by_line(labels, [(19, 25), (21, 25)])
    after = check_split(labels, done)
    assert done.parents == {4: 2}
    assert after[20, 15] == 2
    assert after[20, 32] == 4


def test_line_that_strays_into_a_neighbour_does_not_cut_it():
    labels = dumbbell()
    done = split_by_line(labels, [(5, 32), (35, 32), (28, 46)])
    assert done.parents == {4: 2}


def test_line_over_two_cells_cuts_both():
    done = split_by_line(dumbbell(), [(20, 0), (20, 69)])
    assert sorted(done.parents.values()) == [2, 3]


def test_piece_that_the_line_does_not_meet_stays_with_its_cell():
    labels = np.zeros((20, 60), np.int32)
    labels[5:15, 0:10] = 1
    labels[5:15, 20:50] = 1
    after = check_split(labels, split_by_line(labels, [(0, 40), (19, 40)]))
    assert (after[5:15, 0:10] == 1).all()
    assert after[10, 25] == 1
    assert after[10, 45] == 2


def test_ragged_line_leaves_no_slivers():
    rng = np.random.default_rng(0)
    labels = np.ones((60, 60), np.int32)
    line = [(y, 30 + rng.integers(-2, 3)) for y in range(60)]
    done = split_by_line(labels, line)
    assert len(done.parents) == 1
    after = check_split(labels, done)
    assert pieces_of(after, 1) == pieces_of(after, 2) == 1


def test_closed_line_cuts_out_its_inside():
    labels = np.ones((30, 30), np.int32)
    after = check_split(labels, split_by_line(labels, [(8, 8), (8, 20), (20, 20), (20, 8), (8, 8)]))
    assert after[14, 14] == 2
    assert after[0, 0] == after[29, 29] == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([(0, 0), (0, 5)], "meets no cell"),
        ([(200, 200), (300, 300)], "meets no cell"),
        ([], "meets no cell"),
        ([(20, 15)], "cuts no cell in two"),
    ],
)
def test_lines_that_split_nothing_say_so(line, message):
    with pytest.raises(ValueError, match=message):
        split_by_line(dumbbell(), line)


def test_label_that_does_not_fit_is_refused():
    labels = np.full((4, 4), 255, np.uint8)
    with pytest.raises(ValueError, match="256 does not fit uint8"):
        split_by_line(labels, [(0, 2), (3, 2)])


def test_fresh_labels_start_where_they_are_told():
    assert split_by_line(dumbbell(), [(5, 25), (35, 25)], fresh=90).parents == {90: 2}
    assert split_by_seeds(dumbbell(), [(20, 15), (20, 32)], fresh=90).parents == {90: 2}


@given(IMAGES, POINTS)
def test_split_by_any_seeds_gives_one_piece_a_seed(labels, seeds):
    shape = np.array(labels.shape)
    held = {tuple(seed) for seed in seeds if (np.array(seed) >= 0).all() and (seed < shape).all()}
    by_cell = {}
    for seed in held:
        by_cell.setdefault(int(labels[seed]), []).append(seed)
    wanted = {label: own for label, own in by_cell.items() if label and len(own) > 1}
    if not wanted:
        with pytest.raises(ValueError, match="share a cell"):
            split_by_seeds(labels, seeds)
        return
    done = split_by_seeds(labels, seeds)
    after = done.apply(labels)
    np.testing.assert_array_equal(after == 0, labels == 0)
    for label, own in wanted.items():
        assert len({int(after[seed]) for seed in own}) == len(own)
        assert list(done.parents.values()).count(label) == len(own) - 1
    untouched = ~np.isin(labels, list(wanted))
    np.testing.assert_array_equal(after[untouched], labels[untouched])


def test_seeds_split_at_the_neck():
    after = check_split(dumbbell(), split_by_seeds(dumbbell(), [(20, 14), (21, 33)]))
    small = after[20, 33]
    assert small == 4
    _, columns = np.nonzero(after == small)
    assert columns.min() in range(23, 28)


def test_crossed_labels_come_in_the_order_of_the_line():
    assert labels_along(dumbbell(), [(20, 69), (20, 0)]) == [3, 2]
    assert labels_along(dumbbell(), [(20, 0), (20, 69)]) == [2, 3]
    assert labels_along(dumbbell(), [(0, 0), (0, 69)]) == []


@given(POINTS)
def test_trace_is_connected_and_inside(points):
    path = line_pixels(points, (14, 14))
    assert ((path >= 0) & (path < 14)).all()
    assume(all(0 <= value < 14 for point in points for value in point))
    assert tuple(path[0]) == points[0]
    assert tuple(path[-1]) == points[-1]
    assert (abs(np.diff(path, axis=0)).max(initial=0)) <= 1
