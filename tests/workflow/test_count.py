from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_wbc_nca.project.journal import Correction
from napari_wbc_nca.project.project import Project
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
