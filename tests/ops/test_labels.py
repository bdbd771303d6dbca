from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_wbc_nca.ops.labels import COLUMNS, measure_cells

STACKS = hnp.arrays(
    np.int64,
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=6),
    elements=st.sampled_from([0, 1, 2, 70_000]),
)


@given(STACKS)
def test_every_cell_is_measured_pixel_by_pixel(labels):
    table = measure_cells(labels, origin=(100, 200))
    assert table.index.tolist() == [label for label in np.unique(labels).tolist() if label]
    for label, row in table.iterrows():
        at = np.argwhere(labels == label)
        y, x = at[:, -2] + 100, at[:, -1] + 200
        assert row["area_px"] == len(at)
        np.testing.assert_allclose([row["centroid_y"], row["centroid_x"]], [y.mean(), x.mean()])
        box = [row["box_y0"], row["box_x0"], row["box_y1"], row["box_x1"]]
        assert box == [y.min(), x.min(), y.max() + 1, x.max() + 1]
        for axis in range(labels.ndim - 2):
            assert row[f"axis_{axis}"] == at[:, axis].min()


@given(STACKS, st.sets(st.sampled_from([0, 1, 2, 5, 70_000])))
def test_among_measures_the_same_of_fewer(labels, among):
    every, some = measure_cells(labels), measure_cells(labels, among)
    expected = every[every.index.isin(among)]
    np.testing.assert_array_equal(some.index, expected.index)
    np.testing.assert_array_equal(some.to_numpy(), expected.to_numpy())


def test_areas_and_boxes_are_integers_also_of_nothing():
    for labels in (np.zeros((3, 3), int), np.ones((3, 3), np.uint8)):
        table = measure_cells(labels)
        assert set(table.columns) == set(COLUMNS)
        kinds = {name: table[name].dtype.kind for name in COLUMNS}
        assert {kinds[name] for name in COLUMNS if name.startswith(("box", "area"))} == {"i"}
