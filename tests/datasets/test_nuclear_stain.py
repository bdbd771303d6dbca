from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_wbc_nca.datasets.nuclear_stain import points_sample
from napari_wbc_nca.datasets.readers import LabelError, read

PIXELS = np.full((60, 90, 3), 200, np.uint8)


@pytest.fixture
def folder(tmp_path):
    y, x = np.mgrid[:60, :90]
    nuclei = sum(np.hypot(y - cy, x - cx) <= 6 for cy, cx in ((15, 20), (40, 66)))
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    Image.fromarray((nuclei * 200).astype(np.uint8)).save(tmp_path / "a_stain.png")
    return tmp_path


def test_stained_nuclei_are_centroids(folder):
    (sample,) = read(folder)
    assert sample.path.name == "a.png"
    assert sample.kinds == ("cell", "cell")
    assert sample.boxes[:, :2] == pytest.approx(np.asarray([[15, 20], [40, 66]]), abs=1)
    assert (sample.boxes[:, :2] == sample.boxes[:, 2:]).all()


def test_a_channel_of_another_size_is_refused(folder):
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(folder / "a_stain.png")
    with pytest.raises(LabelError, match=r"a_stain.png has \(60, 80\) .* a.png has \(60, 90\)"):
        read(folder)


def test_a_picture_without_its_channel_is_refused(folder):
    Image.fromarray(PIXELS).save(folder / "b.png")
    with pytest.raises(
        LabelError, match=r"b.png has no stained channel beside it; expected b_stai"
    ):
        read(folder)


def test_points_of_a_layer_are_a_sample():
    sample = points_sample(PIXELS[..., 0], [[3, 4], [59.4, 0]], ("WBC", "rbc"), diameter=20)
    assert sample.kinds == ("wbc", "rbc")
    assert sample.names == ("wbc", "none")
    assert sample.diameter == 20
    assert sample.pixels.shape == (60, 90, 3)
    assert sample.boxes[0].tolist() == [3, 4, 3, 4]
    assert points_sample(PIXELS, [[1, 1]]).kinds == ("cell",)


@pytest.mark.parametrize(
    ("points", "kinds", "message"),
    [
        ([[70, 3]], (), "1 of 1 points lie outside the picture"),
        ([[np.nan, 3]], (), "1 of 1 points lie outside"),
        ([[1, 1]], ("a", "b"), "2 kinds for 1 points"),
    ],
)
def test_points_that_cannot_be_used_are_refused(points, kinds, message):
    with pytest.raises(LabelError, match=message):
        points_sample(PIXELS, points, kinds)
