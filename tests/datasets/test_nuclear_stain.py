from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

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
