"""What goes wrong around a journal in a real window, and that no correction is lost by it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hands import Hands
from person import Person, corrections, folder_of, write_smear
from reviewing import open_dock, press, settle
from squares import smear

from napari_wbc_nca.project import database
from napari_wbc_nca.widgets.review.layer_journal import journal_of
from napari_wbc_nca.widgets.review.open_projects import close_all

pytestmark = pytest.mark.usefixtures("small")


def test_two_open_images_are_corrected_in_turn(person, viewer, image):
    other = image.with_name("other.tif")
    tifffile.imwrite(other, smear((20, 20)), photometric="rgb")
    first, second = person.open(image), person.open(other)
    dock = open_dock(viewer)
    person.paint(first, 0)
    person.paint(second, 1)
    viewer.layers.selection.active = first
    settle()
    assert dock.model.layer is first
    dock.model.select([2])
    press(dock.gallery, "2")
    viewer.layers.selection.active = second
    Hands(viewer).key("Control-Z")
    viewer.window.remove_dock_widget(dock)
    assert not (second.data[79:82, 10:40] == 1).any()
    expected = first.data.copy()
    restored = person.reopen(image)
    np.testing.assert_array_equal(restored.data, expected)
    assert restored.features.set_index("index").loc[2, "class"] == "lymphocyte"
    close_all()
    assert corrections(folder_of(image)) == ["paint", "classify"]
    assert corrections(folder_of(other)) == ["paint"]


def test_a_renamed_layer_goes_on_in_its_journal(person, image):
    layer = person.open(image)
    person.paint(layer, 0)
    layer.name = "by another name"
    person.paint(layer, 1)
    person.undo_and_redo_all(layer)
    np.testing.assert_array_equal(person.reopen(image).data, person.states[-1])
    close_all()
    assert corrections(folder_of(image)) == ["paint", "paint"]


def test_a_deleted_layer_comes_back_with_its_corrections(person, viewer, image):
    layer = person.open(image)
    person.paint(layer, 0)
    person.paint(layer, 1)
    dock = open_dock(viewer)
    viewer.layers.selection.active = layer
    viewer.layers.remove_selected()
    settle()
    assert dock.model is None
    press(dock.gallery, "n 1ud")  # keys of a review without cells do nothing
    viewer.window.remove_dock_widget(dock)
    del layer
    restored = person.reopen(image)
    np.testing.assert_array_equal(restored.data, person.states[-1])
    person.undo_and_redo_all(restored)


def test_a_project_that_is_moved_while_it_is_open_keeps_all_corrections(person, image, notes):
    layer = person.open(image)
    person.paint(layer, 0)
    journal_of(layer).flush()
    moved = image.parent / "elsewhere" / "smear.wbcproject"
    moved.parent.mkdir()
    folder_of(image).rename(moved)
    person.paint(layer, 1)
    person.hears(notes, "was moved")
    person.paint(layer, 2)
    person.undo_and_redo_all(layer)
    assert sum("was moved" in note for note in notes) == 1
    journal_of(layer).flush()
    person.put_away()
    assert not folder_of(image).exists()  # no other one in its place
    moved.rename(folder_of(image))
    np.testing.assert_array_equal(person.reopen(image).data, person.states[-1])


def test_a_missing_image_is_named_and_its_corrections_are_written_when_it_is_back(
    person, image, notes
):
    layer = person.open(image)
    hidden = image.rename(image.with_name("hidden.tif"))
    person.paint(layer, 0)
    person.hears(notes, "is missing; put the image back")
    hidden.rename(image)
    person.paint(layer, 1)
    journal_of(layer).flush()
    image.rename(hidden)  # from now on its project needs it no more
    person.paint(layer, 2)
    journal_of(layer).flush()
    assert len(notes) == 1
    person.undo_and_redo_all(layer)
    journal_of(layer).flush()
    hidden.rename(image)
    np.testing.assert_array_equal(person.reopen(image).data, person.states[-1])


def test_corrections_on_a_full_disk_wait_until_there_is_room(
    person, disk: Callable[[int], Path], notes, monkeypatch
):
    monkeypatch.setattr(database, "_RETRY", 0.05)
    image = write_smear(disk(1024) / "smear.tif")
    layer = person.open(image)
    person.paint(layer, 0)
    journal_of(layer).flush()
    filler = fill(image.parent)
    number = 1
    while not notes and number < 20:
        person.paint(layer, number % 3, label=number)
        number += 1
    person.hears(notes, "make room on its disk; corrections wait in memory")
    person.paint(layer, 2, label=number)
    person.undo_and_redo_all(layer)
    filler.unlink()
    wait_written(person, layer)
    np.testing.assert_array_equal(person.reopen(image).data, person.states[-1])


def fill(place: Path, leave: int = 0) -> Path:
    """Fill a disk but for some KiB."""
    found = os.statvfs(place)
    filler = place / "filler"
    filler.write_bytes(bytes(max(0, found.f_bavail * found.f_frsize - leave * 1024)))
    return filler


def wait_written(person: Person, layer: Any) -> None:
    def written() -> bool:
        try:
            journal_of(layer).flush()
        except ValueError:
            return False
        return True

    person.qtbot.waitUntil(written, timeout=20_000)


HOLDER = """
import sys
from napari_wbc_nca.project.project import Project
with Project(sys.argv[1], create=True):
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def second_napari() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Start a process that has a project open until its input is closed."""
    started = []

    def start(folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(folder)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        assert started[-1].stdout.readline() == "open\n"
        return started[-1]

    yield start
    for process in started:
        process.communicate(timeout=20)


def test_a_project_that_a_second_napari_holds_is_used_when_it_is_closed_there(
    person, image, notes, second_napari
):
    layer = person.open(image)
    person.paint(layer, 0)
    journal_of(layer).flush()
    person.put_away()
    other = second_napari(folder_of(image))
    layer = person.open(image)
    person.hears(notes, "is open in another napari or command; close it there")
    person.paint(layer, 1)
    person.paint(layer, 2)
    person.undo_and_redo_all(layer)
    assert sum("another napari" in note for note in notes) == 1
    other.communicate(timeout=20)
    person.paint(layer, 0, label=3)
    journal_of(layer).flush()
    np.testing.assert_array_equal(person.reopen(image).data, person.states[-1])
