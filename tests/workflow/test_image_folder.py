"""Images of a folder: their list, their results, and how far each is reviewed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from napari_wbc_nca import types
from napari_wbc_nca.io import model_store, results
from napari_wbc_nca.project.journal import Correction, now
from napari_wbc_nca.project.project import Project, default_folder, folder_project
from napari_wbc_nca.workflow import segment
from napari_wbc_nca.workflow.batch import segment_missing
from napari_wbc_nca.workflow.image_folder import (
    ReviewState,
    open_images,
    open_project_images,
    project_states,
    read_state,
)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "day1"
    place.mkdir()
    for number, name in enumerate(("a", "b", "c")):
        pixels = np.full((20, 30, 3), 10 * number, np.uint8)
        Image.fromarray(pixels).save(place / f"{name}.png")
    return place


def write_table(images, path, *classes):
    images.results.mkdir(exist_ok=True)
    lines = [f"{n},{name}" for n, name in enumerate(classes, start=1)]
    images.table(path).write_text("\n".join(["label,class", *lines]))


def test_images_have_results_beside_them_and_one_project(folder):
    images = open_images(folder)
    assert [path.name for path in images.files] == ["a.png", "b.png", "c.png"]
    assert images.table(folder / "a.png") == folder / "results" / "a_cells.csv"
    assert set(images.projects.values()) == {folder / "day1.wbcproject"}
    with pytest.raises(ValueError, match="there is no image in this folder"):
        open_images(folder.parent)


def test_an_image_with_a_project_of_its_own_keeps_it(folder):
    Project(default_folder(folder / "b.png"), create=True).close()
    assert open_images(folder).projects[folder / "b.png"] == folder / "b.wbcproject"
    Project(folder_project(folder), create=True).close()
    assert default_folder(folder / "a.png") == folder / "day1.wbcproject"
    assert default_folder(folder / "b.png") == folder / "b.wbcproject"


def test_states_are_read_of_results_and_of_a_project(folder):
    images = open_images(folder)
    a, b, c = images.files
    write_table(images, a, "neutrophil", "monocyte", "rbc")
    assert read_state(images, a).text == "0 of 2 reviewed"
    assert read_state(images, b).text == "not segmented"
    rows = {1: {"class": "neutrophil"}, 2: {"class": "monocyte"}}
    with Project(images.projects[a], create=True) as project:
        image = project.add_image(a)
        journal = project.add_layer(image, "cells", np.ones((20, 30), np.uint32), rows)
        changed = {"class": "neutrophil", "status": "accepted"}
        journal.record(Correction("review", rows={1: (rows[1], changed)})).result()
        project.set_reviewed(project.add_image(c), now())
        states = project_states(project, images)
        assert states[a].text == "1 of 2 reviewed"
        assert states[c].done
        assert project_states(project, images, b) == {b: ReviewState(segmented=False)}
        a.unlink()
        assert project_states(project, images)[a].text == "file is missing"
        assert list(open_project_images(project).files) == [a, c]


@dataclass
class Model:
    """Segments by a fake workflow that fails on one image; knows what it was asked for."""

    asked: list[str]

    def run(self, image, checkpoint, params, **prompts):
        self.asked.append(image.name)
        yield from ()
        if image.name == "b":
            raise RuntimeError("no stain was found")
        labels = np.zeros(image.shape, np.uint32)
        table = results_table()
        return types.Segmentation({"cell": labels}, table, {}, {"program": "x"})


def results_table():
    import pandas as pd

    columns = ["label", "class", "box_y0", "box_x0", "box_y1", "box_x1"]
    return pd.DataFrame({name: [] for name in columns}).astype({"label": int, "class": str})


@dataclass
class Params:
    pixel_size: float = 0.0


def test_a_batch_goes_on_where_it_stopped_and_names_what_failed(folder, monkeypatch):
    model = Model([])
    monkeypatch.setattr(segment, "run", model.run)
    monkeypatch.setattr(model_store, "resolve", lambda name: None)
    images = open_images(folder)
    steps = segment_missing(images.files, "m", Params(), images.results)
    first = next(steps)
    assert (first.path.name, first.finished) == ("a.png", True)
    steps.close()  # cancelled
    assert results.existing_files("a", images.results)
    again = list(segment_missing(images.files, "m", Params(), images.results))
    assert model.asked == ["a", "b", "c"]
    assert [step.failure for step in again if step.finished] == ["no stain was found", ""]
    assert not results.existing_files("b", images.results)
