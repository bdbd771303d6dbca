from __future__ import annotations

from collections import Counter
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_wbc_nca.cell_types import canonical
from napari_wbc_nca.datasets.readers import read, read_masks
from napari_wbc_nca.datasets.samples import LabelError, read_rgb

HEIGHT, WIDTH = 40, 80


def picture(path, height=HEIGHT, width=WIDTH, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (width, height), 100).save(path)
    return path


@pytest.fixture
def fields(tmp_path):
    """Three YOLO fields of two slides; b_2 has no cells."""
    rows = {
        "a_1": "0 0.5 0.5 0.25 0.5\n1 0.25 0.25 0.125 0.25\n",
        "b_1": "0 0.5 0.5 0.25 0.5\n\n",
        "b_2": "",
    }
    for name, text in rows.items():
        picture(tmp_path / "fields" / f"{name}.png")
        (tmp_path / "fields" / f"{name}.txt").write_text(text)
    (tmp_path / "fields" / "classes.txt").write_text("WBC # leukocytes\nRBC\n\n")
    return tmp_path / "fields"


def toml(folder, text):
    path = folder / "data.toml"
    path.write_text(text)
    return path


def test_yolo_boxes_become_pixels(fields):
    first, second, empty = read(fields)
    assert first.boxes.dtype == np.float32
    np.testing.assert_allclose(first.boxes, [[10, 30, 30, 50], [5, 15, 15, 25]])
    assert first.names == ("wbc", "none")
    assert second.names == ("wbc",)
    assert empty.boxes.shape == (0, 4) and empty.names == ()
    assert (first.source, first.group, first.weight) == ("fields", "a_1", 1.0)


def test_classes_given_go_before_those_listed(fields):
    assert read(fields, ["Neutrophil", "platelet"])[0].names == ("neutrophil", "none")


def test_boxes_are_cut_at_the_border_and_slips_left_out(fields):
    (fields / "a_1.txt").write_text("0 0 0 0.25 0.5\n0 0.5 0.5 0 0\n0 0.5 0.5 0.025 0.5\n")
    sample = read(fields)[0]
    np.testing.assert_allclose(sample.boxes, [[0, 0, 10, 10]])
    assert sample.names == ("wbc",)


def test_outlines_of_an_export_teach_their_boxes(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    picture(tmp_path / "images" / "x.png")
    (tmp_path / "labels" / "x.txt").write_text("1 0.25 0.25 0.75 0.25 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("names: [rbc, wbc]\n")
    (sample,) = read(tmp_path)
    expected = np.array([[0.25, 0.25, 0.5, 0.75]]) * [HEIGHT, WIDTH, HEIGHT, WIDTH]
    np.testing.assert_allclose(sample.boxes, expected)
    assert sample.kinds == ("wbc",)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.lists(
        st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(4, 10)] * 2), min_size=0, max_size=5
    )
)
def test_any_boxes_come_back(tmp_path_factory, corners):
    folder = tmp_path_factory.mktemp("round")
    picture(folder / "x.png")
    boxes = np.array([[y, x, y + h, x + w] for y, x, h, w in corners], np.float32).reshape(-1, 4)
    rows = [
        f"0 {(x0 + x1) / 2 / WIDTH!r} {(y0 + y1) / 2 / HEIGHT!r} "
        f"{(x1 - x0) / WIDTH!r} {(y1 - y0) / HEIGHT!r}\n"
        for y0, x0, y1, x1 in boxes.tolist()
    ]
    (folder / "x.txt").write_text("".join(rows))
    np.testing.assert_allclose(read(folder, ["wbc"])[0].boxes, boxes, atol=1e-4)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", r"class index 2, but there are 2 classes \(WBC, RBC\)"),
        ("-1 0.5 0.5 0.1 0.1", r"class index -1"),
        ("0 0.5 0.5 0.1", r"'0 0.5 0.5 0.1'; expected 'class cx cy w h'"),
        ("wbc 0.5 0.5 0.1 0.1", r"expected 'class cx cy w h'"),
        ("0 0.5 nan 0.1 0.1", r"expected 'class cx cy w h'"),
        ("0 320 240 50 50", r"relative to the picture's size"),
    ],
)
def test_bad_yolo_rows_are_named_with_file_and_line(fields, row, message):
    (fields / "a_1.txt").write_text(f"0 0.5 0.5 0.25 0.5\n{row}\n")
    with pytest.raises(LabelError, match=rf"a_1.txt, line 2: .*{message}"):
        read(fields)


def test_a_label_file_that_is_no_text_is_named(fields):
    (fields / "a_1.txt").write_bytes(b"\xff\xfe\x00\x81\xff")
    with pytest.raises(LabelError, match=r"a_1.txt is not a text file"):
        read(fields)


def test_a_missing_label_file_is_no_empty_field(fields):
    (fields / "b_2.txt").unlink()
    with pytest.raises(LabelError, match=r"b_2.png has no label file; expected b_2.txt or b_2.xml"):
        read(fields)


def test_missing_class_names_are_asked_for(fields):
    (fields / "classes.txt").unlink()
    with pytest.raises(LabelError, match=r"no class names; write them into classes.txt"):
        read(fields)


def test_a_picture_that_is_none_is_named(fields):
    (fields / "a_1.png").write_text("no picture")
    with pytest.raises(LabelError, match=r"a_1.png: it is no image that can be read"):
        read(fields)


def test_labels_may_stand_in_a_folder_of_their_own(tmp_path):
    picture(tmp_path / "set" / "images" / "val" / "x.png")
    (tmp_path / "set" / "labels" / "val").mkdir(parents=True)
    (tmp_path / "set" / "labels" / "val" / "x.txt").write_text("0 0.5 0.5 0.5 0.5")
    assert read(tmp_path / "set" / "images" / "val", ["wbc"])[0].names == ("wbc",)


VOC = """<annotation><object><name>{name}</name><bndbox><xmin>30</xmin><ymin>10</ymin>
<xmax>50</xmax>{last}</bndbox></object></annotation>"""


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("JPEGImages/x.PNG", "Annotations/x.xml"),
        ("images/x.png", "annotations/X.XML"),
        ("Images/x.JPG", "Annotations/x.xml"),
        ("images/train/x.png", "annotations/train/x.xml"),
        (normalize("NFD", "zelle_ü.png"), normalize("NFC", "zelle_ü.xml")),
        ("x.ome.tif", "x.xml"),
        ("x.ome.tif", "x.ome.xml"),
    ],
)
def test_label_files_are_found_in_every_layout_and_case(tmp_path, image, label):
    picture(tmp_path / image)
    (tmp_path / label).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / label).write_text(VOC.format(name="Monocyte", last="<ymax>30</ymax>"))
    (sample,) = read(tmp_path)
    assert sample.names == ("monocyte",)


def test_a_picture_with_two_names_in_a_table_is_named(tmp_path):
    picture(tmp_path / "x.png")
    rows = "image,y,x,class\nx.png,1,1,wbc\nx,9,9,wbc\n"
    (tmp_path / "points.csv").write_text(rows)
    with pytest.raises(LabelError, match=r"points.csv lists x.png under two names, such as x"):
        read(tmp_path)


def test_voc_boxes_are_read(tmp_path):
    picture(tmp_path / "x.png")
    (tmp_path / "x.xml").write_text(VOC.format(name="Monocyte", last="<ymax>30</ymax>"))
    (sample,) = read(tmp_path)
    np.testing.assert_allclose(sample.boxes, [[10, 30, 30, 50]])
    assert sample.names == ("monocyte",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (VOC.format(name="WBC", last=""), r"x.xml, object 1: expected a name and a bndbox"),
        (VOC.format(name="WBC", last="<ymax>low</ymax>"), r"x.xml, object 1"),
        (VOC.format(name="WBC", last="<ymax>nan</ymax>"), r"x.xml, object 1: .*ymin < ymax"),
        (VOC.format(name="WBC", last="<ymax>-9</ymax>"), r"x.xml, object 1: .*ymin < ymax"),
        ("<annotation>", r"x.xml is no readable XML"),
    ],
)
def test_bad_voc_files_are_named(tmp_path, text, message):
    picture(tmp_path / "x.png")
    (tmp_path / "x.xml").write_text(text)
    with pytest.raises(LabelError, match=message):
        read(tmp_path)


def test_folders_of_crops_are_one_cell_each(tmp_path):
    for name in ("Neutrophil/1", "Neutrophil/2", "RBC/1"):
        picture(tmp_path / "crops" / f"{name}.png")
    samples = read(tmp_path / "crops")
    assert [s.names for s in samples] == [("neutrophil",), ("neutrophil",), ("none",)]
    assert all(s.boxes is None for s in samples)


def test_folders_of_fields_are_not_taken_for_classes(fields):
    with pytest.raises(LabelError, match=r"holds fields and not crops of one class; give .*fields"):
        read(fields.parent)


def test_classes_in_a_table_are_read(tmp_path):
    for name in ("1", "2", "3"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / "classes.csv").write_text("class,image\nEosinophil,1\n,2\nbasophil,3.png\n")
    for data in (tmp_path, tmp_path / "classes.csv"):
        named = {s.path.stem: s.names for s in read(data)}
        assert named == {"1": ("eosinophil",), "3": ("basophil",)}
    (tmp_path / "classes.csv").write_text("class,image\nEosinophil,1\nEosinophil,9\n")
    with pytest.raises(LabelError, match=r"classes.csv lists 9, which is not in"):
        read(tmp_path)


@pytest.fixture
def points(tmp_path):
    picture(tmp_path / "x.png")
    picture(tmp_path / "y.png")
    path = tmp_path / "points.csv"
    path.write_text("image, class, x, y\nx.png, WBC, 79.5, 3\nx.png, RBC, 8, 7\ny.png,,,\n")
    return path


def test_points_are_boxes_without_extent(points):
    for data in (points, points.parent):
        first, empty = read(data)
        np.testing.assert_allclose(first.boxes, [[3, 79.5, 3, 79.5], [7, 8, 7, 8]])
        assert first.names == ("wbc", "none")
        assert empty.names == () and empty.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image, class", "file, class", r"points.csv: no column image; found file, class, x, y"),
        ("79.5", "far", r"points.csv, line 2: y is '3' and x is 'far'; expected two numbers"),
        ("79.5", "", r"points.csv, line 2: y is '3' and x is ''"),
        ("8, 7", "8", r"points.csv, line 3: 3 values for 4 columns"),
        ("79.5", "80.5", r"a point of x.png lies outside its \(40, 80\)"),
        ("79.5", "nan", r"points.csv, line 2: .*expected two numbers"),
        ("y.png", "z.png", r"points.csv lists z.png, which is not in"),
        ("x.png, RBC", ", RBC", r"points.csv, line 3: no image is named"),
        ("x.png, RBC", "x.png, ", r"points.csv, line 3: no class is named"),
    ],
)
def test_bad_points_are_named_with_file_and_line(points, old, new, message):
    points.write_text(points.read_text().replace(old, new))
    with pytest.raises(LabelError, match=message):
        read(points)


def test_several_sources_are_read_together(fields, tmp_path, monkeypatch):
    monkeypatch.setenv("PICTURES", str(tmp_path))
    picture(tmp_path / "crops" / "monocyte" / "m.png")
    (tmp_path / "left-out.txt").write_text("a_1.png\tcopy of another\n# all others stay\n")
    path = toml(
        tmp_path,
        """
        [[source]]
        path = "fields"
        name = "ours"
        classes = ["lymphocyte", "rbc"]
        group = "^([a-z])_"
        exclude = ["left-out.txt", "*_2"]
        weight = 2
        [[source]]
        path = "${PICTURES}/crops"
        kind = "folders"
        include = ["m*"]
        """,
    )
    samples = read(path)
    assert [s.path.stem for s in samples] == ["b_1", "m"]
    assert [s.group for s in samples] == ["b", "m"]
    assert [s.source for s in samples] == ["ours", "crops"]
    assert [s.weight for s in samples] == [2, 1]
    assert samples[0].names == ("lymphocyte",)


@pytest.mark.parametrize("beside", ["pictures", "toml"])
def test_types_replace_the_only_wbc(fields, tmp_path, beside):
    table = {"pictures": fields, "toml": tmp_path}[beside] / "types.csv"
    table.write_text("image,class\na_1,Eosinophil\nb_1,\n")
    source = '[[source]]\npath = "fields"\ntypes = "types.csv"'
    assert [s.names for s in read(toml(tmp_path, source))[:2]] == [("eosinophil", "none"), ("wbc",)]
    (fields / "a_1.txt").write_text("0 0.5 0.5 0.25 0.5\n0 0.25 0.25 0.125 0.25\n")
    assert read(toml(tmp_path, source))[0].names == ("wbc", "wbc")


def test_types_beside_the_toml_come_first(fields, tmp_path):
    (fields / "types.csv").write_text("image,class\na_1,Eosinophil\n")
    (tmp_path / "types.csv").write_text("image,class\na_1,Basophil\n")
    source = '[[source]]\npath = "fields"\ntypes = "types.csv"'
    assert read(toml(tmp_path, source))[0].names == ("basophil", "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no \[\[source\]\] table"),
        ("source = 1", r"no \[\[source\]\] table"),
        ("source = [1]", r"source 1: 1; expected a table"),
        ("[[source", r"cannot be read as TOML"),
        ("[[source]]\nkind = 'boxes'", r"data.toml, source 1: no path"),
        (
            "[[source]]\npath = 'fields'\nclases = []",
            r"unknown field 'clases'; known are path, kind",
        ),
        (
            "[[source]]\npath = 'fields'\nkind = 'box'",
            r"kind is 'box'; expected one of auto, boxes",
        ),
        ("[[source]]\npath = 'fields'\nweight = 0", r"weight is 0; expected a number above 0"),
        ("[[source]]\npath = 'fields'\nclasses = 'wbc'", r"classes is 'wbc'; expected a list"),
        ("[[source]]\npath = 'fields'\nexclude = 'no.txt'", r"no.txt does not exist"),
        ("[[source]]\npath = 'fields'\nexclude = ['c_*']", r"'c_\*', which matches none"),
        ("[[source]]\npath = 'fields'\nexclude = ['*']", r"no picture is left"),
        ("[[source]]\npath = 'fields'\ngroup = 'a_'", r"has 0 pairs of parentheses; expected one"),
        ("[[source]]\npath = 'fields'\ngroup = '(a'", r"is no regular expression"),
        (
            "[[source]]\npath = 'fields'\ngroup = '^(a)'",
            r"b_1.png: the group '\^\(a\)' finds nothing",
        ),
        ("[[source]]\npath = 'fields'\ntypes = 'no.csv'", r"no.csv cannot be read: No such file"),
        ("[[source]]\npath = 'gone'", r"gone does not exist; expected a folder"),
        (
            "[[source]]\npath = 'data.toml'\nkind = 'boxes'",
            r"is a file; boxes are read from a folder",
        ),
    ],
)
def test_bad_lists_of_sources_are_explained(fields, tmp_path, text, message):
    with pytest.raises(LabelError, match=message):
        read(toml(tmp_path, text))


def test_an_empty_folder_is_explained(tmp_path):
    with pytest.raises(LabelError, match=r"no pictures; expected a sub-folder of crops"):
        read(tmp_path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_pixels_are_rgb(tmp_path, mode):
    Image.new(mode, (WIDTH, HEIGHT), (100, 0, 0, 255) if mode == "RGBA" else 100).save(
        tmp_path / "x.png"
    )
    pixels = read_rgb(tmp_path / "x.png")
    assert pixels.shape == (HEIGHT, WIDTH, 3) and pixels.dtype == np.uint8


def test_deeper_pixels_are_not_cut_to_eight_bits(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.uint16([[0, 1365, 4095]])).save(path)
    assert read_rgb(path)[0, :, 0].tolist() == [0, 85, 255]


def test_masks_find_their_pictures(fields):
    for name in ("a_1", "b_1"):
        picture(fields / f"{name}_mask.png", mode="L")
    (fields / "classes.csv").write_text("image,class\na_1,neutrophil\nb_1,\n")
    (fields / "a_1.txt").rename(fields / "A_1.TXT")
    first, second = read_masks(fields)
    assert (first.path.name, first.mask.name) == ("a_1.png", "a_1_mask.png")
    assert (first.label_class, second.label_class) == ("neutrophil", None)
    np.testing.assert_allclose(first.boxes, [[10, 30, 30, 50]])
    assert len(read(fields)) == 3  # masks are no pictures


def test_masks_without_a_picture_or_folder_are_named(tmp_path):
    with pytest.raises(LabelError, match=r"no NAME_mask.png"):
        read_masks(tmp_path)
    with pytest.raises(LabelError, match=r"is no folder"):
        read_masks(tmp_path / "gone")
    picture(tmp_path / "x_mask.png", mode="L")
    with pytest.raises(LabelError, match=r"x_mask.png has no picture beside it"):
        read_masks(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (" Platelets", "none"),
        ("Leukocyte", "wbc"),
        ("Smudge Cell", "smudge cell"),
        ("NONE", "none"),
    ],
)
def test_names_have_one_form(name, expected):
    assert canonical(name) == expected


def test_real_data_are_read_whole(real_data):
    typed = read(
        real_data / "typed", ["neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte"]
    )
    counts = Counter(name for sample in typed for name in sample.names)
    expected = {
        "neutrophil": 81,
        "eosinophil": 71,
        "basophil": 70,
        "lymphocyte": 74,
        "monocyte": 63,
    }
    assert counts == expected  # one lymphocyte's box is a slip 1 px high
    assert len(read_masks(real_data / "masks" / "tecom")) == 150
    assert sum(m.label_class == "neutrophil" for m in read_masks(real_data / "fields")) == 106


def test_tables_of_spreadsheets_made_on_windows_are_read(points):
    rows = 'Image;Class;X;Y\r\n"C:\\pictures\\x.PNG";Éosinophile;7,5;3\r\ny;;;\r\n'
    points.write_bytes(rows.encode("cp1252"))
    first, empty = read(points)
    np.testing.assert_allclose(first.boxes, [[3, 7.5, 3, 7.5]])
    assert first.names == ("éosinophile",)
    assert empty.path.name == "y.png" and empty.names == ()
