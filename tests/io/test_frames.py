from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_wbc_nca.datasets.readers import read
from napari_wbc_nca.datasets.samples import LabelError


@pytest.fixture
def table(tmp_path):
    """Frames 3 and 12 of a movie, with three centroids."""
    for name in ("t0003.png", "t0012.png", "overview.png"):
        Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / name)
    path = tmp_path / "points.csv"
    path.write_text("frame,x,y\n12,35,4.5\n3,1,2\n12,7,8\n")
    return path


def test_frames_are_found_by_the_number_in_their_names(table):
    for data in (table, table.parent):
        samples = read(data)
        assert [sample.path.name for sample in samples] == ["t0003.png", "t0012.png"]
        assert [s.boxes[:, :2].tolist() for s in samples] == [[[2, 1]], [[4.5, 35], [8, 7]]]
        assert [s.kinds for s in samples] == [("cell",), ("cell", "cell")]


def test_frames_may_name_their_cells(table):
    table.write_text("Frame, X, Y, Class\n3, 1, 2, RBC\n3, 5, 6,\n")
    (sample,) = read(table)
    assert sample.kinds == ("rbc", "cell")
    assert sample.names == ("none", "cell")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame,x,y\n4,1,2\n", "lists frame 4, but no picture .* such as t0012.tif"),
        ("frame,x,y\nlast,1,2\n", "line 2: frame is 'last'; expected the number"),
        ("frame,x,y\n3,one,2\n", "line 2: y is '2' and x is 'one'"),
        ("frame,x,y\n3,41,2\n", "lies outside its"),
    ],
)
def test_bad_frames_are_named_with_file_and_line(table, text, message):
    table.write_text(text)
    with pytest.raises(LabelError, match=message):
        read(table)
