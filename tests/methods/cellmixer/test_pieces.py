from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from napari_wbc_nca.methods.cellmixer.connected_cells import connect_pixels, paint_tile
from napari_wbc_nca.methods.cellmixer.params import CellmixerParams

NAMES = ("background", "large", "small")
FACTOR = 5


def painted(classes, sure=0.9, plain=None):
    """Classes and cells of a class map, five times as large."""
    plain = np.zeros(classes.shape, bool) if plain is None else plain
    maps = [np.where(classes == n, sure, (1 - sure) / 2).astype(np.float32) for n in range(3)]
    pieces = connect_pixels(
        classes, plain, NAMES, {"large": 20.0, "small": 14.0}, CellmixerParams()
    )
    tile = tuple(slice(0, size * FACTOR) for size in classes.shape)
    found, cells, _ = paint_tile(maps, pieces, FACTOR, tile)
    return found, cells


def test_a_cell_has_no_specks_where_a_few_of_its_pixels_were_taken_for_others():
    y, x = np.ogrid[:40, :40]
    classes = np.where(np.hypot(y - 20, x - 20) < 9, 2, 0).astype(np.uint8)
    classes[20, 18] = 0
    classes[17, 21] = 1
    classes[23:25, 22] = 0
    found, cells = painted(classes)
    np.testing.assert_array_equal(cells > 0, ndi.binary_fill_holes(cells > 0))
    assert set(np.unique(found)) == {0, 2}
    assert set(np.unique(cells)) == {0, 1}


def test_a_gap_between_cells_is_no_pale_centre():
    y, x = np.ogrid[:40, :40]
    middle = np.hypot(y - 20, x - 20)
    classes = np.where((middle < 12) & (middle >= 4), 2, 0).astype(np.uint8)
    _, cells = painted(classes, plain=middle < 2)
    assert cells[100, 100] == 1
    _, cells = painted(classes, plain=middle < 3.5)
    assert cells[100, 100] == 0


def test_cells_that_touch_keep_their_classes():
    classes = np.zeros((20, 40), np.uint8)
    classes[4:16, 4:20], classes[4:16, 20:36] = 1, 2
    found, cells = painted(classes)
    assert set(np.unique(found[22:78, 22:98])) == {1}
    assert set(np.unique(found[22:78, 102:178])) == {2}
    np.testing.assert_array_equal(cells > 0, found > 0)
