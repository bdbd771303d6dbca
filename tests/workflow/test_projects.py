"""Annotation projects as images, label images and training data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile

from napari_wbc_nca.datasets import readers
from napari_wbc_nca.evaluation.ground_truth import read_ground_truth, read_images
from napari_wbc_nca.evaluation.params import EvaluateParams
from napari_wbc_nca.formats.tiff import find_label_images, read_segmentation
from napari_wbc_nca.project.database import ProjectError
from napari_wbc_nca.project.journal import Correction, RegionChange
from napari_wbc_nca.project.project import Project
from napari_wbc_nca.workflow.batch import find_inputs
from napari_wbc_nca.workflow.projects import image_files, label_files, training_data


def row(label, name, **more):
    return {"index": label, "label": label, "class": name, "origin": "edited", **more}


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "smear.tif"
    tifffile.imwrite(path, np.full((40, 50, 3), 200, np.uint8), photometric="rgb")
    return path


@pytest.fixture
def folder(tmp_path, image):
    """A project whose second cell got a class, whose third was rejected and fourth drawn."""
    labels = np.zeros((40, 50), np.uint32)
    labels[2:12, 2:12], labels[2:12, 20:30], labels[20:30, 2:12] = 1, 2, 3
    rows = {n: row(n, "neutrophil", score=0.5) for n in (1, 2, 3)}
    with Project(tmp_path / "p.wbcproject", create=True) as project:
        journal = project.add_layer(project.add_image(image, 0.2), "cells", labels, rows)
        journal.record(Correction("classify", rows={2: (rows[2], rows[2] | {"class": "monocyte"})}))
        journal.record(Correction("reject", rows={3: (rows[3], rows[3] | {"status": "rejected"})}))
        drawn = np.full((10, 10), 4, np.uint32)
        region = RegionChange((), (20, 30), np.zeros((10, 10), np.uint32), drawn)
        journal.record(Correction("paint", (region,), {4: (None, row(4, "blast"))}))
    return tmp_path / "p.wbcproject"


def test_label_files_are_the_corrected_cells_with_all_columns(folder, image):
    (path,) = find_label_images([label_files(folder)])
    one = read_segmentation(path)
    assert path.name == "smear_labels.tif"
    assert np.unique(one.labels).tolist() == [0, 1, 2, 4]
    assert one.classes() == {1: "neutrophil", 2: "monocyte", 4: "blast"}
    assert one.cells["score"].tolist()[:2] == [0.5, 0.5]
    assert one.pixels.shape == (40, 50, 3)
    assert one.pixel_size == 0.2
    assert one.record["source"] == str(image)


def test_a_project_is_read_as_training_data_and_as_ground_truth(folder):
    (sample,) = readers.read(training_data(folder))
    assert sorted(sample.names) == ["blast", "monocyte", "neutrophil"]
    (one,) = read_images(folder, EvaluateParams())
    assert len(np.unique(read_ground_truth(one).cell)) == 4


def test_the_images_of_a_project_are_segmented(folder, image):
    assert image_files(folder) == [image]
    assert list(find_inputs([str(folder)]).files) == [image]


def test_other_paths_stay_as_they_are(tmp_path):
    assert label_files(tmp_path) == training_data(tmp_path) == tmp_path


def test_what_is_missing_is_named(folder, image, tmp_path):
    with Project(folder):
        failed = find_inputs([str(folder)]).failed[str(folder)]
    assert "is open in another napari or command" in failed
    image.unlink()
    with pytest.raises(ProjectError, match=r"smear\.tif is not found"):
        training_data(folder)
    Project(tmp_path / "empty", create=True).close()
    with pytest.raises(ProjectError, match="holds no image"):
        image_files(tmp_path / "empty")
    with pytest.raises(ProjectError, match="holds no corrected image"):
        label_files(tmp_path / "empty")


def test_labels_of_one_plane_and_of_a_stack_are_written(tmp_path, image):
    labels = np.zeros((3, 20, 30), np.uint32)
    labels[1, 2:8, 2:8] = 1
    rows = {1: row(1, "neutrophil")}
    edit = Correction("classify", rows={1: (rows[1], rows[1] | {"class": "blast"})})
    with Project(tmp_path / "p", create=True) as project:
        record = project.add_image(image)
        stack = {"planes": ["(0,)", "(1,)", "(2,)"]}
        project.add_layer(record, "all", labels, rows, stack).record(edit)
        plane = {"planes": ["(1,)"]}
        project.add_layer(record, "one", labels[1:2], rows, plane).record(edit)
        project.database.flush()
        names = {path.name for path in project.write_snapshots() if path.suffix == ".tif"}
    assert names == {"smear_labels.tif", "smear-1_labels.tif"}
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "p" / "smear_labels.tif"), labels)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "p" / "smear-1_labels.tif"), labels[1])
    assert pd.read_csv(tmp_path / "p" / "smear_cells.csv")["class"].tolist() == ["blast"]
