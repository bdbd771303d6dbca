from __future__ import annotations

from pathlib import Path

import pytest

from napari_wbc_nca.datasets.label_files import BOXES, POINTS, read_prompts
from napari_wbc_nca.datasets.samples import LabelError

IMAGE, SHAPE = Path("data/a.png"), (20, 30)


@pytest.mark.parametrize(
    "text",
    [
        "y,x\n3,4\n5.5,30\n",
        "x, y\n4, 3\n30, 5.5\n",
        "index,axis-0,axis-1\n0,3,4\n1,5.5,30\n",
        "label,class,centroid_y,centroid_x\n1,a,3,4\n2,b,5.5,30\n",
        "\ufeffimage,y,x\na.png,3,4\nb.png,1,1\na,5.5,30\n",
    ],
)
def test_points_in_every_form(tmp_path, text):
    (tmp_path / "p.csv").write_text(text, encoding="utf-8")
    found = read_prompts(tmp_path / "p.csv", POINTS).of(IMAGE, SHAPE)
    assert found.tolist() == [[3, 4], [5.5, 30]]


@pytest.mark.parametrize(
    "text", ["y0,x0,y1,x1\n1,2,8,9\n", "label,box_y0,box_x0,box_y1,box_x1\n1,1,2,8,9\n"]
)
def test_boxes_in_every_form(tmp_path, text):
    (tmp_path / "b.csv").write_text(text)
    assert read_prompts(tmp_path / "b.csv", BOXES).of(IMAGE, SHAPE).tolist() == [[1, 2, 8, 9]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p.csv is empty; expected a CSV"),
        ("a,b\n1,2\n", "has the columns a,b; expected y,x or axis-0,axis-1"),
        ("axis-0,axis-1,axis-2\n1,2,3\n", "has the columns axis-0,axis-1,axis-2; expected y,x"),
        ("y,x\n1,2\nfour,5\n", r"p.csv, line 3: \['four', '5'\]; expected numbers in pixels"),
        ("y,x\n1,nan\n", "line 2"),
        ("y,x\n1\n", "line 2"),
    ],
)
def test_unusable_points_are_refused(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(LabelError, match=message):
        read_prompts(tmp_path / "p.csv", POINTS)


def test_box_with_swapped_corners_is_refused(tmp_path):
    (tmp_path / "b.csv").write_text("y0,x0,y1,x1\n8,2,1,9\n")
    with pytest.raises(LabelError, match=r"\(8, 2, 1, 9\); expected y0 < y1 and x0 < x1"):
        read_prompts(tmp_path / "b.csv", BOXES)


def test_missing_and_binary_files_are_refused(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\x00\x99\xff")
    for name in ("p.csv is not a text file; expected a CSV", "no.csv cannot be read: No such file"):
        with pytest.raises(LabelError, match=name):
            read_prompts(tmp_path / name.split()[0], POINTS)


@pytest.mark.parametrize("row", ["21,4", "3,31", "-1,4"])
def test_point_outside_the_image_is_refused(tmp_path, row):
    (tmp_path / "p.csv").write_text(f"y,x\n1,1\n{row}\n")
    with pytest.raises(LabelError, match=r"lies outside a.png, which is 20 by 30 pixels"):
        read_prompts(tmp_path / "p.csv", POINTS).of(IMAGE, SHAPE)


def test_prompts_of_a_spreadsheet_made_on_windows_are_read(tmp_path):
    text = "image;y;x\r\nC:\\data\\A.PNG;3,5;4\r\nb.png;1;1\r\n"
    (tmp_path / "p.csv").write_bytes(text.encode("utf-16"))
    found = read_prompts(tmp_path / "p.csv", POINTS).of(IMAGE, SHAPE)
    assert found.tolist() == [[3.5, 4]]


def test_columns_and_images_of_prompts_are_found_in_any_case(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("Image,Y,X\nA.PNG,1,2\nb.png,3,4\n")
    found = read_prompts(path, POINTS)
    assert found.of(tmp_path / "a.png", (9, 9)).tolist() == [[1, 2]]
    assert found.of(tmp_path / "b.png", (9, 9)).tolist() == [[3, 4]]


def test_prompts_of_other_images_are_named(tmp_path):
    (tmp_path / "p.csv").write_text("image,y,x\nother.png,1,2\n")
    prompts = read_prompts(tmp_path / "p.csv", POINTS)
    with pytest.raises(LabelError, match=rf"p.csv has no row for {IMAGE.name}; it lists other.png"):
        prompts.of(IMAGE, SHAPE)
