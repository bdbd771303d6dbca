"""Models adapted to the corrections of a project of real cells."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import napari_wbc_nca as wbc
from napari_wbc_nca.io import weights
from napari_wbc_nca.io.images import sample_path
from napari_wbc_nca.project.database import ProjectError
from napari_wbc_nca.project.journal import Correction
from napari_wbc_nca.project.project import Project
from napari_wbc_nca.workflow.adapt import run as steps_of


@pytest.fixture(scope="module")
def found():
    return wbc.segment(sample_path("smear-2"), "wbc-fine", tta_rotations=1)


def project(folder, found, edits, stack=False):
    """A project of one image, in which `edits` change rows by label."""
    image = folder / "smear.jpg"
    shutil.copy(sample_path("smear-2"), image)
    labels = np.asarray(found.labels["cell"])
    table = found.cells.assign(origin="auto", index=found.cells["label"])
    rows = {int(row["label"]): row for row in table.to_dict("records")}
    labels = np.stack([labels, labels]) if stack else labels
    with Project(folder / "p.wbcproject", create=True) as opened:
        run = {"provenance": dict(found.provenance)}
        journal = opened.add_layer(opened.add_image(image), "cells", labels, rows, run)
        for label, change in edits.items():
            after = {**rows[label], **change}
            journal.record(Correction("classify", rows={label: (rows[label], after)}))
    return folder / "p.wbcproject"


def test_a_class_of_a_person_is_learnt_and_written(found, tmp_path):
    label = int(found.cells["label"].iloc[0])
    folder = project(tmp_path, found, {label: {"class": "smudge", "status": "edited"}})
    done = wbc.adapt("wbc-fine", folder)
    assert done.cells == {"smudge": 1}
    assert not done.gate.judged
    assert done.checkpoint.card["adapted_to"] == {"smudge": 1}
    weights.save(done.checkpoint, tmp_path / "own.safetensors")
    again = wbc.segment(sample_path("smear-2"), tmp_path / "own.safetensors", tta_rotations=1)
    named = dict(zip(again.cells["label"], again.cells["class"], strict=True))
    assert named[label] == "smudge"
    assert "p_smudge" in again.cells
    # The outline was confirmed, so it stays as it was but for some pixels.
    both = [np.asarray(one.labels["cell"]) == label for one in (again, found)]
    assert (both[0] & both[1]).sum() > 0.95 * (both[0] | both[1]).sum()


def test_a_project_without_reviewed_cells_changes_nothing(found, tmp_path):
    label = int(found.cells["label"].iloc[0])
    folder = project(tmp_path, found, {label: {"status": "rejected"}})
    done = wbc.adapt("wbc-fine", folder)
    assert done.cells == {}
    assert done.checkpoint is not None
    assert done.checkpoint.name == "wbc-fine"
    assert "parent" not in done.checkpoint.card


def test_what_cannot_be_learnt_from_is_named(found, tmp_path):
    label = int(found.cells["label"].iloc[0])
    confirmed = {label: {"status": "accepted"}}
    with pytest.raises(ProjectError, match="is no annotation project"):
        wbc.adapt("wbc-fine", tmp_path)
    with pytest.raises(ValueError, match="cannot be adapted"):
        next(steps_of("smear-cells", tmp_path))
    folder = project(tmp_path, found, confirmed, stack=True)
    with pytest.raises(ProjectError, match="only single planes are learnt from"):
        wbc.adapt("wbc-fine", folder)


def test_a_missing_image_is_named(found, tmp_path):
    label = int(found.cells["label"].iloc[0])
    folder = project(tmp_path, found, {label: {"status": "accepted"}})
    (tmp_path / "smear.jpg").unlink()
    with pytest.raises(ProjectError, match=r"smear\.jpg is missing"):
        wbc.adapt("wbc-fine", folder)
