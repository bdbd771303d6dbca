from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage as ndi

from napari_wbc_nca.ops import edit

IMAGES = hnp.arrays(
    np.uint16, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 4)
)
SHAPES = [edit.fill_holes, edit.smooth, edit.dilate, edit.erode, edit.keep_largest]


def ids_of(labels):
    return [int(label) for label in np.unique(labels) if label]


@st.composite
def image_and_label(draw):
    labels = draw(IMAGES.filter(lambda image: image.any()))
    return labels, draw(st.sampled_from(ids_of(labels)))


def box_of(labels, label):
    """A box that holds the cell, and a pixel more where the image has one."""
    rows, columns = np.nonzero(labels == label)
    return (
        slice(max(0, rows.min() - 1), rows.max() + 2),
        slice(max(0, columns.min() - 1), columns.max() + 2),
    )


@given(IMAGES.filter(lambda image: image.any()), st.data())
def test_merged_cells_share_the_first_label_and_nothing_else_changes(labels, data):
    ids = data.draw(st.lists(st.sampled_from(ids_of(labels)), min_size=1, unique=True))
    if len(ids) < 2:
        with pytest.raises(ValueError, match="1 cell to merge"):
            edit.merge(labels, ids)
        return
    expected = np.where(np.isin(labels, ids), ids[0], labels)
    np.testing.assert_array_equal(edit.merge(labels, ids).apply(labels), expected)


@given(image_and_label())
def test_deleted_cell_is_background(drawn):
    labels, label = drawn
    expected = np.where(labels == label, 0, labels)
    np.testing.assert_array_equal(edit.delete(labels, label).apply(labels), expected)


@given(image_and_label(), st.sampled_from(SHAPES))
def test_reshaping_leaves_other_cells_alone(drawn, operation):
    labels, label = drawn
    try:
        after = operation(labels, label).apply(labels)
    except ValueError as error:
        assert operation in (edit.erode, edit.smooth)
        assert "delete it instead" in str(error)
        return
    others = (labels != 0) & (labels != label)
    np.testing.assert_array_equal(after[others], labels[others])
    assert set(np.unique(after[~others])) <= {0, label}
    assert after.dtype == labels.dtype
    assert (after == label).any()


@given(image_and_label(), st.sampled_from([*SHAPES, edit.delete]))
def test_known_box_changes_nothing(drawn, operation):
    labels, label = drawn
    try:
        expected = operation(labels, label).apply(labels)
    except ValueError:
        return
    found = operation(labels, label, boxes={label: box_of(labels, label)}).apply(labels)
    np.testing.assert_array_equal(found, expected)


@given(image_and_label())
def test_holes_are_background_that_cannot_reach_the_edge(drawn):
    labels, label = drawn
    padded = np.pad(labels, 1)
    reach, _ = ndi.label(padded != label)
    enclosed = (reach != reach[0, 0])[1:-1, 1:-1]
    expected = np.where(enclosed & (labels == 0), label, labels)
    np.testing.assert_array_equal(edit.fill_holes(labels, label).apply(labels), expected)


@given(image_and_label(), st.integers(1, 3))
def test_grown_cell_takes_the_background_within_its_reach(drawn, pixels):
    labels, label = drawn
    rows, columns = np.indices(labels.shape)
    far = np.full(labels.shape, np.inf)
    for y, x in np.argwhere(labels == label):
        far = np.minimum(far, abs(rows - y) + abs(columns - x))
    expected = np.where((far <= pixels) & (labels == 0), label, labels)
    np.testing.assert_array_equal(edit.dilate(labels, label, pixels).apply(labels), expected)


@given(image_and_label(), st.integers(1, 3))
def test_shrunken_cell_loses_what_is_near_anything_else(drawn, pixels):
    labels, label = drawn
    rows, columns = np.indices(labels.shape)
    far = np.full(labels.shape, np.inf)
    for y, x in np.argwhere(labels != label):
        far = np.minimum(far, abs(rows - y) + abs(columns - x))
    left = (labels == label) & (far > pixels)
    if not left.any():
        with pytest.raises(ValueError, match="nothing would be left of cell"):
            edit.erode(labels, label, pixels)
        return
    expected = np.where((labels == label) & ~left, 0, labels)
    np.testing.assert_array_equal(edit.erode(labels, label, pixels).apply(labels), expected)


def test_grow_undoes_shrink_of_a_diamond():
    rows, columns = np.indices((15, 15))
    diamond = (abs(rows - 7) + abs(columns - 7) <= 5).astype(np.int32) * 6
    small = edit.erode(diamond, 6, 2).apply(diamond)
    assert (small == 6).sum() < (diamond == 6).sum()
    np.testing.assert_array_equal(edit.dilate(small, 6, 2).apply(small), diamond)


def test_smooth_takes_spikes_off_and_keeps_the_place():
    labels = np.zeros((60, 60), np.int32)
    rows, columns = np.indices(labels.shape)
    disk = (rows - 30) ** 2 + (columns - 30) ** 2 <= 15**2
    labels[disk] = 5
    labels[30, 45:55] = 5
    after = edit.smooth(labels, 5, 2.0).apply(labels) == 5
    assert not after[30, 48:].any()
    assert np.count_nonzero(after ^ disk) < 0.03 * disk.sum()


def test_smooth_treats_the_image_edge_as_no_outline():
    labels = np.zeros((40, 40), np.int32)
    labels[:20] = 5
    np.testing.assert_array_equal(edit.smooth(labels, 5).apply(labels), labels)


def test_largest_piece_is_kept_and_corners_do_not_join():
    labels = np.array([[3, 3, 0, 0], [3, 0, 0, 0], [0, 3, 0, 3], [0, 0, 3, 4]])
    expected = np.array([[3, 3, 0, 0], [3, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 4]])
    np.testing.assert_array_equal(edit.keep_largest(labels, 3).apply(labels), expected)


@given(
    hnp.arrays(np.uint32, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(0, 2**32 - 1))
)
def test_relabelled_stack_has_the_same_cells_numbered_in_order(labels):
    done = edit.relabel(labels)
    after = done.apply(labels)
    assert done.moved
    assert ids_of(after) == list(range(1, len(ids_of(labels)) + 1))
    for number, label in done.parents.items():
        np.testing.assert_array_equal(after == number, labels == label)
    assert list(done.parents.values()) == ids_of(labels)
    np.testing.assert_array_equal(after == 0, labels == 0)


@pytest.mark.parametrize("operation", [*SHAPES, edit.delete])
def test_background_and_missing_cells_are_refused(operation):
    labels = np.array([[0, 2]])
    with pytest.raises(ValueError, match="0 is the background"):
        operation(labels, 0)
    with pytest.raises(ValueError, match="no cell 9"):
        operation(labels, 9)


def test_widths_are_checked():
    labels = np.ones((3, 3), int)
    for operation in (edit.dilate, edit.erode):
        with pytest.raises(ValueError, match="at least 1"):
            operation(labels, 1, 0)
    with pytest.raises(ValueError, match="above 0"):
        edit.smooth(labels, 1, 0.0)


def test_only_the_box_is_read():
    class Watched:
        shape, dtype = (100, 100), np.dtype(np.int32)

        def __init__(self):
            self.data = np.zeros(self.shape, self.dtype)
            self.data[40:50, 40:50] = 1
            self.read = 0

        def __getitem__(self, part):
            self.read += self.data[part].size
            return self.data[part]

    watched = Watched()
    edit.dilate(watched, 1, 2, boxes={1: (slice(40, 50), slice(40, 50))})
    assert watched.read == 14 * 14
