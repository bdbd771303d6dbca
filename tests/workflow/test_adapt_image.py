"""What a model that was adapted to some cells of an image changes in the others."""

from __future__ import annotations

import numpy as np
import pytest

import napari_wbc_nca as wbc
from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.images import read, sample_path
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.workflow.adapt_image import OpenImage, adapt_image


@pytest.fixture(scope="module")
def image():
    return read(sample_path("smear-2"))


@pytest.fixture(scope="module")
def labels(image):
    """The white cell of the sample, and three copies of its outline elsewhere."""
    found = wbc.segment(image, "wbc-smear", tta_rotations=1)
    plane = np.asarray(found.labels["cell"]).copy()
    y, x = np.nonzero(plane == 1)
    height, width = y.max() - y.min() + 1, x.max() - x.min() + 1
    mask = np.zeros((height, width), bool)
    mask[y - y.min(), x - x.min()] = True
    for label, corner in ((7, (0, 0)), (8, (0, 575 - width)), (9, (575 - height, 0))):
        part = plane[corner[0] : corner[0] + height, corner[1] : corner[1] + width]
        part[mask & (part == 0)] = label
    return plane


@pytest.fixture
def opened(image):
    return OpenImage(image, model_store.resolve("wbc-fine"), NcaParams(), 170.0)


def test_cells_that_look_like_a_corrected_one_change_and_features_are_kept(opened, labels):
    found = run_to_end(adapt_image(opened, labels, {7: "smudge", 8: "smudge"}, [9, 1]))
    assert found.unreviewed == 2
    assert 9 in found.types
    assert max(found.types[9], key=found.types[9].__getitem__) == "smudge"
    assert 1 not in found.types
    assert found.text() == "1 of 2 types changes, 0 outlines move"
    assert not found.outlines  # two cells are too few
    kept = dict(opened.known)
    assert len(kept) == 4
    again = run_to_end(adapt_image(opened, labels, {7: "smudge", 8: "smudge"}, [9, 1]))
    assert all(opened.known[key] is one for key, one in kept.items())
    assert again.types.keys() == found.types.keys()


def test_without_a_corrected_cell_a_message_says_what_to_do(opened, labels):
    with pytest.raises(ValueError, match="no cell is corrected or confirmed"):
        run_to_end(adapt_image(opened, labels, {}, [1]))
