"""Rows that are brought up to date one by one, and what all of them are when rated again."""

from __future__ import annotations

import numpy as np
import pandas as pd

from napari_wbc_nca.cell_types import AUTO
from napari_wbc_nca.ops.doubt import doubt

HANGS_ON_ALL = set(doubt(pd.DataFrame({"area_px": [1.0]}))) - {
    "doubtful", "unsure", "touches_border"
}  # fmt: skip
"""Columns that hang on medians of all cells, which an edit of one leaves."""


def test_decided_cells_are_rated_one_by_one_as_all_are(dock, layer):
    model, changed = dock.model, []
    model.accept([3])  # which adds the columns of a review
    model.cells_changed.connect(changed.append)

    def paint(label, y, x):
        place = np.arange(y, y + 3), np.arange(x, x + 3)
        layer.data_setitem(place, label)

    deeds = (
        lambda: model.classify([2], "lymphocyte"),
        lambda: paint(2, 0, 0),
        lambda: model.classify([1, 2, 4], "unsure"),
        lambda: model.reject([1]),
        lambda: paint(1, 62, 62),  # which takes pixels of the third
    )
    for number, deed in enumerate(deeds, start=1):
        deed()
        model.refresh()
        assert len(changed) >= number  # without rating all
        expected = model._rated()
        for name in set(expected) - HANGS_ON_ALL:
            pd.testing.assert_series_equal(
                model.table[name], expected[name], check_dtype=False, obj=name
            )
        reviewed = expected[expected["status"] != AUTO].index
        np.testing.assert_allclose(
            layer.get_color(int(reviewed[0]))[3], 1
        )  # no cell that was decided on is hidden
    layer.undo()
    model.refresh()
    pd.testing.assert_frame_equal(model.table, model._rated())
