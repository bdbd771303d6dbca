from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc_nca.ops.tiling import resample, resampled_shape, tiles

sides = st.integers(1, 50)


@given(sides, sides, st.integers(1, 30), st.integers(0, 60))
def test_cores_partition_the_field_and_halos_surround_them(height, width, tile, halo):
    field = np.random.default_rng(0).random((height, width))
    answered = np.zeros(field.shape, int)
    for item in tiles(field.shape, tile, halo):
        answered[item.core] += 1
        np.testing.assert_array_equal(field[item.halo][item.inner], field[item.core])
        for core, around, side in zip(item.core, item.halo, field.shape, strict=True):
            assert core.stop - core.start <= tile
            assert around == slice(max(0, core.start - halo), min(side, core.stop + halo))
    assert (answered == 1).all()


def test_an_empty_field_has_no_tiles():
    assert list(tiles((0, 5), 4, 1)) == []


@pytest.mark.parametrize(("tile", "halo"), [(0, 1), (4, -1)])
def test_bad_sizes_are_refused(tile, halo):
    with pytest.raises(ValueError, match=f"tile is {tile} and halo {halo}"):
        list(tiles((5, 5), tile, halo))


SHAPE = (23, 31)
PIXELS = np.random.default_rng(0).uniform(0, 255, (*SHAPE, 3)).astype(np.float32)
FACTORS = st.floats(0.3, 6)


def read(rows, columns):
    return PIXELS[rows, columns]


def whole(factor):
    height, width = resampled_shape(SHAPE, factor)
    return resample(read, SHAPE, factor, range(height), range(width))


def triangle(distance, factor):
    return np.clip(1 - abs(distance) / max(factor, 1), 0, None)


def brute_force(factor):
    """Every output pixel as one weighted mean over all source pixels."""
    height, width = resampled_shape(SHAPE, factor)
    result = np.zeros((height, width, 3))
    for i in range(height):
        for j in range(width):
            y, x = ((k + 0.5) * factor - 0.5 for k in (i, j))
            weights = triangle(np.arange(23) - y, factor)[:, None]
            weights = weights * triangle(np.arange(31) - x, factor)
            result[i, j] = (weights[..., None] * PIXELS).sum((0, 1)) / weights.sum()
    return result


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.7, 3.0, 7.3])
def test_equals_brute_force(factor):
    np.testing.assert_allclose(whole(factor), brute_force(factor), rtol=1e-5)


@given(factor=FACTORS, data=st.data())
def test_a_part_equals_the_whole_bit_for_bit(factor, data):
    spans = []
    for size in resampled_shape(SHAPE, factor):
        start = data.draw(st.integers(0, size - 1))
        spans.append(range(start, data.draw(st.integers(start + 1, size))))
    rows, columns = spans
    part = resample(read, SHAPE, factor, rows, columns)
    expected = whole(factor)[rows.start : rows.stop, columns.start : columns.stop]
    np.testing.assert_array_equal(part, expected)


@given(factor=FACTORS, value=st.integers(0, 255))
def test_a_constant_stays_itself(factor, value):
    size = resampled_shape(SHAPE, factor)
    flat = np.full((*SHAPE, 1), value, np.uint8)
    result = resample(lambda y, x: flat[y, x], SHAPE, factor, range(size[0]), range(size[1]))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, value, rtol=1e-6)


def test_factor_one_changes_nothing():
    np.testing.assert_array_equal(whole(1.0), PIXELS)


def test_only_what_is_needed_is_read():
    seen = []

    def watched(rows, columns):
        seen.append((rows, columns))
        return PIXELS[rows, columns]

    resample(watched, SHAPE, 2.0, range(4, 6), range(10, 12))
    # Centres at 8.5 and 10.5, 20.5 and 22.5; the kernel reaches 2 pixels to each side.
    assert [(s.start, s.stop) for s in seen[0]] == [(6, 14), (18, 26)]


def test_a_part_with_its_origin_is_interpolated_as_the_whole_is():
    fine = resample(read, SHAPE, 0.5, range(20, 30), range(24, 40))
    part = resample(
        lambda y, x: PIXELS[5:20, 7:25][y, x], (15, 18), 0.5, range(20, 30), range(24, 40), (5, 7)
    )
    np.testing.assert_allclose(part, fine, rtol=1e-6)


@pytest.mark.parametrize(("factor", "shape"), [(1, (23, 31)), (2, (12, 16)), (0.5, (46, 62))])
def test_shape_covers_the_last_pixels(factor, shape):
    assert resampled_shape(SHAPE, factor) == shape
    assert resampled_shape((1, 1), 100) == (1, 1)
