import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc_nca.ops.tiling import tiles

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
