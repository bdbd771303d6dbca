from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_wbc_nca.io._files import file_sha256
from napari_wbc_nca.project.journal import Correction
from napari_wbc_nca.project.project import Project, default_folder
from napari_wbc_nca.workflow.count import ALL_IMAGES, count_cells


def table(*classes, **columns):
    lines = [",".join(["label", "class", "p_neutrophil", "p_monocyte", *columns])]
    for number, name in enumerate(classes):
        p = 0.9 if name == "neutrophil" else 0.2
        values = [number + 1, name, p, 1 - p, *(column[number] for column in columns.values())]
        lines.append(",".join(map(str, values)))
    return "\n".join(lines)


def test_images_are_counted_each_and_together(tmp_path):
    (tmp_path / "day1").mkdir()
    (tmp_path / "day1" / "a_cells.csv").write_text(table("neutrophil", "neutrophil", "rbc"))
    (tmp_path / "b_cells.csv").write_text(
        table("monocyte", box_y0=[0], box_x0=[3], box_y1=[9], box_x1=[9])
    )
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "b_labels.tif")
    counted = count_cells(tmp_path)
    rows = counted.differentials
    assert list(dict.fromkeys(rows["image"])) == ["b", "day1/a", ALL_IMAGES]
    n = rows.set_index(["image", "class"])["n"]
    assert (n["day1/a", "neutrophil"], n["b", "monocyte"]) == (2, 1)
    assert n[ALL_IMAGES, "all white cells"] == 3
    assert rows.set_index(["image", "class"])["border"]["b", "monocyte"] == 1
    assert counted.cells["image"].tolist() == ["b"] + ["day1/a"] * 3
    assert counted.failed == {}


def test_tables_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "a_cells.csv").write_text(table("monocyte"))
    (tmp_path / "b_cells.csv").write_text("")
    (tmp_path / "c_cells.csv").write_text("label,kind\n1,monocyte")
    counted = count_cells(tmp_path)
    assert set(counted.failed) == {"b", "c"}
    assert "has no column 'class', only label, kind" in counted.failed["c"]
    assert counted.differentials["n"].max() == 1


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no table of cells .*or the folder of an annot"):
        count_cells(tmp_path)


def test_corrected_cells_of_a_project_are_counted(tmp_path):
    image = tmp_path / "smear.png"
    image.write_bytes(b"any")
    rows = {1: {"class": "neutrophil"}, 2: {"class": "neutrophil"}}
    with Project(tmp_path / "p", create=True) as project:
        journal = project.add_layer(
            project.add_image(image), "cells", np.zeros((8, 8), np.uint32), rows
        )
        changed = {"class": "monocyte", "status": "edited"}
        journal.record(Correction("classify", rows={2: (rows[2], changed)}))
    counts = count_cells(tmp_path / "p").differentials.set_index("class")
    assert counts["n"][["neutrophil", "monocyte"]].tolist() == [1, 1]
    assert counts["reviewed"]["all white cells"] == 1


def corrected(folder, image, name="monocyte"):
    """Make a project in which the only cell of an image got a class."""
    rows = {1: {"class": "neutrophil"}}
    with Project(folder, create=True) as project:
        labels = np.ones((20, 30), np.uint32)
        journal = project.add_layer(project.add_image(image), "cells", labels, rows)
        journal.record(Correction("classify", rows={1: (rows[1], {"class": name})}))


def results(folder, image):
    """Write what `segment` writes of an image."""
    folder.mkdir()
    (folder / f"{image.stem}_cells.csv").write_text(table("neutrophil"))
    found = {"source": str(image), "sha256": file_sha256(image)}
    (folder / f"{image.stem}.json").write_text(json.dumps({"program": "x", "input": found}))


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((20, 30), number, np.uint8)).save(path)
    return paths


def test_cells_that_were_corrected_are_counted_as_they_are_now(tmp_path, images):
    results(tmp_path / "results", images[0])
    corrected(default_folder(images[0]), images[0])
    for place in (tmp_path, tmp_path / "results"):
        counted = count_cells(place)
        assert counted.cells["class"].tolist() == ["monocyte"], place
        assert counted.failed == {}


def test_results_whose_corrections_cannot_be_read_are_named_and_not_counted(tmp_path, images):
    results(tmp_path / "results", images[0])
    corrected(default_folder(images[0]), images[0])
    with Project(default_folder(images[0])) as project:
        failed = count_cells(tmp_path / "results").failed
        opened = count_cells(tmp_path / "results", {project.folder.resolve(): project})
    assert "is open in another napari" in failed["a"]
    assert opened.cells["class"].tolist() == ["monocyte"]


def test_images_of_one_name_are_counted_each(tmp_path, images):
    corrected(tmp_path / "p", images[0])
    (tmp_path / "q").mkdir()
    images[1].rename(tmp_path / "q" / "a.png")
    corrected(tmp_path / "r", tmp_path / "q" / "a.png", "eosinophil")
    counted = count_cells(tmp_path).cells.set_index("image")["class"]
    assert counted.to_dict() == {"a": "monocyte", "a (2)": "eosinophil"}


def test_unsure_cells_are_a_class_of_their_own(tmp_path):
    (tmp_path / "a_cells.csv").write_text(
        "label,class,p_neutrophil,p_monocyte,p_basophil\n1,neutrophil,0.4,0.3,0.3"
    )
    rows = count_cells(tmp_path).differentials.set_index("class")["n"]
    assert (rows["unsure"], rows["neutrophil"]) == (1, 0)
