"""Corrections that are written down, undone, redone and restored."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import edit_scripts
import numpy as np
import pytest

from napari_wbc_nca.project.database import FILE, MIGRATIONS, Database, ProjectError
from napari_wbc_nca.project.journal import (
    Correction,
    RegionChange,
    apply_edit,
    difference,
    pack,
    unpack,
)
from napari_wbc_nca.project.project import Project, default_folder, is_project


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "smear.png"
    path.write_bytes(b"not read")
    return path


def begin(folder, image, labels, rows):
    project = Project(folder, create=True)
    return project, project.add_layer(project.add_image(image), "cells", labels, rows)


def reopened(folder):
    with Project(folder) as project:
        (image,) = project.images()
        (layer,) = project.layers(image)
        return (*project.journal(layer.id).restore(), layer)


@pytest.mark.parametrize("high", [0, 1, 255, 256, 70_000, 2**32 - 1])
def test_labels_are_packed_without_loss(high):
    labels = np.array([[0, high], [high, 0]], np.uint32)
    assert (unpack(pack(labels)).reshape(2, 2) == labels).all()


@pytest.mark.parametrize("seed", range(6))
def test_random_edits_undone_and_redone_are_restored(tmp_path, image, seed):
    script = edit_scripts.Script(seed, (2, 40, 50))
    project, journal = begin(tmp_path / "p", image, script.labels, script.rows)
    with project:
        for _ in range(60):
            script.step(journal)
    labels, rows, layer = reopened(tmp_path / "p")
    assert (labels == script.labels).all()
    assert rows == script.rows
    assert layer.corrections == len(script.done)


def test_undone_edits_are_kept_when_another_follows(tmp_path, image):
    before, after = np.zeros((2, 2), np.uint32), np.ones((2, 2), np.uint32)
    project, journal = begin(tmp_path / "p", image, np.zeros((4, 4), np.uint32), {})
    with project:
        journal.record(Correction("paint", (RegionChange((), (0, 0), before, after),)))
        assert journal.undo().kind == "paint"
        assert journal.undo() is None
        journal.record(Correction("classify", rows={1: (None, {"class": "blast"})}))
        assert journal.redo() is None
        project.database.flush()
        assert project.database.query("SELECT kind FROM edits") == [("paint",), ("classify",)]
    labels, rows, _ = reopened(tmp_path / "p")
    assert not labels.any()
    assert rows == {1: {"class": "blast"}}


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import edit_scripts
from napari_wbc_nca.project.project import Project
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
script = edit_scripts.Script(seed, (64, 64))
project = Project(folder, create=True)
journal = project.add_layer(project.add_image(folder.parent / "smear.png"), "cells",
                            script.labels, script.rows)
print("begun", flush=True)
while True:
    script.step(journal)
"""


@pytest.mark.parametrize("seed", range(3))
def test_what_was_committed_survives_a_kill(tmp_path, image, seed):
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "p"), str(seed), here]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        time.sleep(0.05 * (1 + seed))
        child.kill()
    with Project(tmp_path / "p") as project:
        ((steps,),) = project.database.query("SELECT count(*) FROM transactions")
        labels, rows = project.journal(1).restore()
    replay = edit_scripts.Script(seed, (64, 64))
    while len(replay.transactions) < steps:
        replay.step()
    assert steps > 0
    assert (labels == replay.labels).all()
    assert rows == replay.rows


def test_a_moved_image_is_found_by_its_content(tmp_path, image):
    with Project(tmp_path / "p", create=True) as project:
        first = project.add_image(image)
        moved = image.rename(tmp_path / "elsewhere.png")
        assert project.find_image(moved) == first
        assert project.add_image(moved).id == first.id
        assert [i.path.name for i in project.images()] == ["elsewhere.png"]
        with pytest.raises(ProjectError, match="is missing; put the image back"):
            project.add_image(image)


def test_a_project_moves_with_its_images(tmp_path, image):
    (tmp_path / "here").mkdir()
    image = image.rename(tmp_path / "here" / "smear.png")
    with Project(tmp_path / "here" / "p", create=True) as project:
        project.add_image(image)
    (tmp_path / "here").rename(tmp_path / "there")
    with Project(tmp_path / "there" / "p") as project:
        assert next(project.images()).path == (tmp_path / "there" / "smear.png").resolve()


def test_a_second_layer_of_one_name_is_refused(tmp_path, image):
    project, _ = begin(tmp_path / "p", image, np.zeros((4, 4), np.uint32), {})
    with project, pytest.raises(ProjectError, match="has a layer 'cells' already"):
        project.add_layer(next(project.images()), "cells", np.zeros((4, 4), np.uint32), {})


def test_two_programs_cannot_write_one_project(tmp_path):
    with Project(tmp_path / "p", create=True):
        with pytest.raises(ProjectError, match="is open in another napari or command; close it"):
            Project(tmp_path / "p")
    Project(tmp_path / "p").close()


def test_a_folder_without_a_project_is_named(tmp_path):
    with pytest.raises(ProjectError, match=r"holds no annotation project .*or start a new one"):
        Project(tmp_path)
    assert not is_project(tmp_path)


def test_a_damaged_project_is_never_replaced(tmp_path):
    (tmp_path / FILE).write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(ProjectError, match=r"is damaged .*put back a copy"):
        Project(tmp_path, create=True)
    assert (tmp_path / FILE).read_bytes().startswith(b"nothing")


def test_a_database_of_another_program_is_refused(tmp_path):
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(ProjectError, match="database of another program"):
        Project(tmp_path, create=True)


def test_a_newer_project_is_refused(tmp_path):
    Project(tmp_path, create=True).close()
    newer = sqlite3.connect(tmp_path / FILE)
    newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    newer.close()
    with pytest.raises(ProjectError, match="install the newest napari-wbc-nca"):
        Project(tmp_path)


def test_an_older_project_is_migrated_after_a_copy(tmp_path, monkeypatch):
    Project(tmp_path, create=True).close()
    more = (*MIGRATIONS, "CREATE TABLE added (x);")
    monkeypatch.setattr("napari_wbc_nca.project.database.MIGRATIONS", more)
    with Project(tmp_path) as project:
        assert project.database.query("PRAGMA user_version") == [(len(more),)]
        assert project.database.query("SELECT * FROM added") == []
    assert (tmp_path / f"project-version-{len(MIGRATIONS)}.sqlite").exists()


def test_no_edit_follows_one_that_could_not_be_written(tmp_path, image):
    project, journal = begin(tmp_path / "p", image, np.zeros((4, 4), np.uint32), {})

    def fail(_):
        raise sqlite3.OperationalError("database or disk is full")

    with project:
        with pytest.raises(ProjectError, match="cannot be written: database or disk is full"):
            project.database.submit(fail).result()
        with pytest.raises(ProjectError, match="cannot be written"):
            journal.record(Correction("accept")).result()
        assert isinstance(project.database.failure, ProjectError)
    assert reopened(tmp_path / "p")[2].corrections == 0


def test_closing_twice_does_nothing(tmp_path):
    database = Database(tmp_path, create=True)
    database.close()
    database.close()


def test_a_project_lies_beside_its_image_where_that_can_be_written(image, monkeypatch):
    assert default_folder(image) == image.with_name("smear.wbcproject")
    monkeypatch.setattr("os.access", lambda *_: False)
    assert default_folder(image).parent.name == "projects"


def test_corrections_wait_in_memory_while_the_disk_is_full(tmp_path, image, monkeypatch):
    monkeypatch.setattr("napari_wbc_nca.project.database._RETRY", 0.05)
    connections, connect, failures = [], Database._connect, []

    def connected(database):
        connections.append(connect(database))
        return connections[-1]

    monkeypatch.setattr(Database, "_connect", connected)
    project, journal = begin(tmp_path / "p", image, np.zeros((4, 400), np.uint32), {})
    project.database.on_failure = failures.append
    writer = connections[-1]
    with project:
        writer.execute("PRAGMA max_page_count = 1")  # which becomes the size that there is
        random = np.random.default_rng(0)
        for _ in range(20):
            noise = random.integers(0, 2**32, (4, 400), np.uint32)
            journal.record(
                Correction("paint", (RegionChange((), (0, 0), np.zeros_like(noise), noise),))
            )
        with pytest.raises(ProjectError, match="full; make room on its disk; corrections wait"):
            project.database.flush()
        assert failures
        writer.execute("PRAGMA max_page_count = 100000")
        deadline = time.monotonic() + 20
        while project.database.failure is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        project.database.flush()
    labels, _, layer = reopened(tmp_path / "p")
    assert layer.corrections == 20
    assert (labels == noise).all()


def test_closing_on_a_full_disk_gives_up_what_waits(tmp_path, image, monkeypatch):
    def full(_):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorname = "SQLITE_FULL"
        raise error

    project, _ = begin(tmp_path / "p", image, np.zeros((4, 4), np.uint32), {})
    waiting = project.database.submit(full)
    project.close()
    with pytest.raises(ProjectError, match="disk is full"):
        waiting.result()


def test_a_difference_leads_from_one_state_to_another():
    before, after = np.zeros((2, 6, 6), np.uint32), np.zeros((2, 6, 6), np.uint32)
    after[1, 2:4, 3] = 7
    rows, new = {1: {"class": "blast"}, 2: {"x": np.nan}}, {7: {"class": "blast"}, 2: {"x": None}}
    regions, changes = difference(before, rows, after, new)
    apply_edit(before, rows, Correction("replace", regions, changes))
    assert (before == after).all()
    assert set(rows) == {2, 7}
    assert [(r.plane, r.origin, r.after.shape) for r in regions] == [((1,), (2, 3), (2, 1))]
    with pytest.raises(ValueError, match="add the new labels as a layer"):
        difference(before, rows, after[0], new)


def test_an_image_of_many_files_is_known_by_what_describes_them(tmp_path):
    path = tmp_path / "slide.zarr"
    (path / "0").mkdir(parents=True)
    (path / "zarr.json").write_text("{}")
    (path / "0" / "c0").write_bytes(b"pixels")
    with Project(tmp_path / "p", create=True) as project:
        known = project.add_image(path)
        assert project.find_image(path) == known
        (path / "zarr.json").write_text('{"other": 1}')
        assert project.find_image(path) is None
