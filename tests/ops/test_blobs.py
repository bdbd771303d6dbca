from __future__ import annotations

import numpy as np
import pytest

from napari_wbc_nca.ops.centroids import detect_blobs

PLACES = [(12.0, 15.0), (14.0, 60.0), (40.0, 30.0), (45.0, 70.0)]


def stained(radius=6.0, places=PLACES, noise=3.0):
    y, x = np.mgrid[:60, :90]
    values = np.random.default_rng(0).normal(20, noise, (60, 90))
    for cy, cx in places:
        values[np.hypot(y - cy, x - cx) <= radius] += 150
    return values


@pytest.mark.parametrize("radius", [4.0, 6.0, 9.0])
@pytest.mark.parametrize("known", [False, True])
def test_a_nucleus_is_one_blob_at_its_middle(radius, known):
    found = detect_blobs(stained(radius), 2 * radius if known else 0.0)
    assert found == pytest.approx(np.asarray(PLACES), abs=1.5)


@pytest.mark.parametrize("values", [np.zeros((30, 30)), np.full((30, 30), 7.0), np.zeros((0, 3))])
def test_nothing_is_found_where_nothing_is(values):
    assert detect_blobs(values).shape == (0, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [(np.zeros((3, 4, 5)), "expected one plane"), (np.full((9, 9), np.nan), "NaN or infinity")],
)
def test_bad_input(values, message):
    with pytest.raises(ValueError, match=message):
        detect_blobs(values)
