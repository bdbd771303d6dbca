from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_wbc_nca.ops.labels import cell_table
from napari_wbc_nca.ops.overlaps import resolve_overlaps
from napari_wbc_nca.types import Cell

SHAPE = (24, 28)


def disc(y, x, radius, level=0.9, confidence=0.5, origin=None, size=15):
    """Cell whose mask is a disc and whose nucleus a disc of half its radius."""
    origin = (round(y) - size // 2, round(x) - size // 2) if origin is None else origin
    rows, columns = np.ogrid[:size, :size]
    distance = np.hypot(rows + origin[0] - y, columns + origin[1] - x)
    return Cell(
        centre=(y, x),
        origin=origin,
        mask=distance <= radius,
        nucleus=distance <= radius / 2,
        response=np.full((size, size), level, np.float32),
        label_class="b",
        probabilities={"a": 1 - confidence, "b": confidence},
        confidence=confidence,
    )


@st.composite
def random_cells(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cells = []
    for _ in range(draw(st.integers(0, 7))):
        size = int(rng.integers(3, 12))
        origin = (int(rng.integers(-5, SHAPE[0])), int(rng.integers(-5, SHAPE[1])))
        mask = rng.random((size, size)) < rng.choice([0.3, 0.9])
        centre = origin[0] + rng.random() * size, origin[1] + rng.random() * size
        cells.append(
            Cell(
                centre=centre,
                origin=origin,
                mask=mask,
                nucleus=mask & (rng.random((size, size)) < 0.5),
                # Few levels, so that ties happen.
                response=rng.choice([0.25, 0.5], (size, size)).astype(np.float32),
                label_class="a",
                probabilities={"a": 1.0},
                confidence=float(rng.choice([0.5, 1.0])),
            )
        )
    return cells


def resolve(cells, shape):
    """Label images of cells and of nuclei."""
    images = np.zeros((2, *shape), np.uint32)
    for number, cell in enumerate(resolve_overlaps(cells, shape), start=1):
        for image, mask in zip(images, (cell.mask, cell.nucleus), strict=True):
            image[tuple(np.argwhere(mask).T + np.reshape(cell.origin, (2, 1)))] = number
    return images


def canvas(cell):
    """A cell's mask, nucleus and response over the whole image, pixel by pixel."""
    images = np.zeros((3, *SHAPE))
    for row, column in np.ndindex(cell.mask.shape):
        y, x = row + cell.origin[0], column + cell.origin[1]
        if 0 <= y < SHAPE[0] and 0 <= x < SHAPE[1]:
            images[:, y, x] = [
                array[row, column] for array in (cell.mask, cell.nucleus, cell.response)
            ]
    return images[0] > 0, images[1] > 0, images[2]


@given(random_cells(), st.randoms(use_true_random=False))
def test_order_of_the_cells_does_not_matter(cells, random):
    shuffled = random.sample(cells, len(cells))
    for first, second in zip(resolve(cells, SHAPE), resolve(shuffled, SHAPE), strict=True):
        np.testing.assert_array_equal(first, second)


@given(random_cells())
def test_labels_lie_in_their_masks_and_nuclei_in_their_cells(cells):
    settled = resolve_overlaps(cells, SHAPE)
    label, nucleus = resolve(cells, SHAPE)
    assert label.dtype == nucleus.dtype == np.uint32
    first = {cell.centre: cell for cell in cells}
    assert set(np.unique(label)) - {0} == set(range(1, len(settled) + 1))
    assert all(a.centre < b.centre for a, b in pairwise(settled))
    assert (label[nucleus > 0] == nucleus[nucleus > 0]).all()
    for number, cell in enumerate(settled, start=1):
        mask, its_nucleus, _ = canvas(first[cell.centre])
        assert mask[label == number].all()
        np.testing.assert_array_equal(nucleus == number, its_nucleus & (label == number))
        assert ndimage.label(label == number)[1] == 1


@given(random_cells())
def test_each_shared_pixel_goes_to_the_best_claim(cells):
    # No cell is a duplicate at 1: a mask cannot share more than all of itself.
    settled = resolve_overlaps(cells, SHAPE, duplicate=1)
    y, x = np.indices(SHAPE)
    claims = {cell.centre: canvas(cell) for cell in cells}
    for cell in settled:
        owned, _, _ = canvas(cell)
        for centre, (mask, _, response) in claims.items():
            mine, contested = claims[cell.centre][2], owned & mask
            far = (y - cell.centre[0]) ** 2 + (x - cell.centre[1]) ** 2
            near = (y - centre[0]) ** 2 + (x - centre[1]) ** 2
            for pixel in zip(*np.nonzero(contested), strict=True):
                own_rank = -mine[pixel], far[pixel], cell.centre
                assert own_rank <= (-response[pixel], near[pixel], centre)
    total = sum((canvas(cell)[0].astype(int) for cell in settled), np.zeros(SHAPE, int))
    assert total.max() <= 1


def test_equal_responses_divide_two_discs_half_way():
    left, right = disc(12, 9, 6), disc(12, 17, 6)
    label, nucleus = resolve([right, left], SHAPE)
    assert label[12, 12] == 1
    assert label[12, 13] == 1  # as far from both centres: the first in raster order
    assert label[12, 14] == 2
    assert (nucleus[12, 9], nucleus[12, 17]) == (1, 2)


def test_the_larger_response_takes_the_overlap():
    left, right = disc(12, 9, 6, level=0.2), disc(12, 17, 6, level=0.8)
    label, _ = resolve([left, right], SHAPE)
    np.testing.assert_array_equal(label == 2, canvas(right)[0])


def test_of_two_duplicates_the_confident_one_stays():
    doubtful, sure = disc(12, 12, 6, confidence=0.6), disc(12, 13, 6, confidence=0.9)
    other = disc(12, 22, 3, confidence=0.1)
    settled = resolve_overlaps([doubtful, other, sure], SHAPE)
    assert [cell.centre for cell in settled] == [(12, 13), (12, 22)]


def test_a_chain_of_duplicates_keeps_both_ends():
    ends = [disc(12, 9, 5, confidence=0.9), disc(12, 13, 5, confidence=0.8)]
    middle = disc(12, 11, 5, confidence=0.85)
    settled = resolve_overlaps([*ends, middle], SHAPE, duplicate=0.6)
    assert [cell.centre for cell in settled] == [cell.centre for cell in ends]


def test_pieces_cut_off_by_a_neighbour_are_left_out():
    bar = replace(disc(12, 6, 3), origin=(0, 0), mask=np.zeros(SHAPE, bool), confidence=0.9)
    bar.mask[11:14, 2:26] = True
    bar = replace(bar, nucleus=bar.mask, response=np.full(SHAPE, 0.1, np.float32))
    label, nucleus = resolve([bar, disc(12, 14, 4)], SHAPE)
    assert label[12, 3] == 1
    assert label[12, 14] == 2
    assert label[12, 24] == nucleus[12, 24] == 0


def test_cells_beyond_the_border_are_cut_and_those_outside_dropped():
    cells = [disc(0, 0, 5), disc(23, 27, 5), disc(60, 60, 5), disc(-40, 5, 5)]
    label, _ = resolve(cells, SHAPE)
    np.testing.assert_array_equal(label == 1, canvas(cells[0])[0])
    np.testing.assert_array_equal(label == 2, canvas(cells[1])[0])
    assert label.max() == 2


def test_thousands_of_cells_are_found_by_their_neighbours(monkeypatch):
    grid = [disc(10 + 12 * i, 10 + 12 * j, 7) for i in range(20) for j in range(20)]
    compared = []
    monkeypatch.setattr(
        "napari_wbc_nca.ops.overlaps._shared", lambda a, b: compared.append((a, b)) or 0
    )
    assert len(resolve_overlaps(grid, (260, 260))) == 400
    # Right, below, and the two diagonals below.
    assert len(compared) == 2 * 20 * 19 + 2 * 19 * 19


def test_table_measures_what_was_painted():
    cells = [disc(8, 9, 6, confidence=0.7), disc(14, 17, 6)]
    settled = resolve_overlaps(cells, SHAPE)
    label, nucleus = resolve(cells, SHAPE)
    rows = cell_table(settled, ("a", "b"), pixel_size=0.5).set_index("label")
    assert list(rows.index) == [1, 2]
    for number, row in rows.iterrows():
        y, x = np.nonzero(label == number)
        assert (row.centroid_y, row.centroid_x) == pytest.approx((y.mean(), x.mean()))
        box = row[["box_y0", "box_x0", "box_y1", "box_x1"]].tolist()
        assert box == [y.min(), x.min(), y.max() + 1, x.max() + 1]
        assert row.area_px == y.size
        assert row.area_um2 == pytest.approx(y.size / 4)
        assert row.nucleus_area_px == (nucleus == number).sum()
    assert rows.loc[1, ["class", "class_probability", "confidence"]].tolist() == ["b", 0.7, 0.7]
    assert rows.loc[1, ["p_a", "p_b"]].tolist() == pytest.approx([0.3, 0.7])


def test_an_empty_table_has_every_column():
    filled, empty = (
        cell_table(cells, ("a", "b")) for cells in (resolve_overlaps([disc(9, 9, 4)], SHAPE), [])
    )
    assert empty.empty
    assert empty.dtypes.to_dict() == filled.dtypes.to_dict()
    assert filled.area_um2.isna().all()
