"""Projects that cannot be used, were moved or deleted, and unusual images, with real strokes."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hands import Hands
from napari.utils.notifications import notification_manager
from person import SEEN, corrections, folder_of, write_smear
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog
from reviewing import CORNERS, open_dock, press, settle
from squares import smear

from napari_wbc_nca.project.database import FILE
from napari_wbc_nca.project.project import Project
from napari_wbc_nca.project.settings import load_settings
from napari_wbc_nca.widgets.correct import CorrectWidget
from napari_wbc_nca.widgets.review.layer_journal import journal_of
from napari_wbc_nca.widgets.review.open_projects import close_all

pytestmark = pytest.mark.usefixtures("small")


def damage(file: Path) -> None:
    file.write_bytes(b"no database" * 100)


def make_newer(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(damage, "is damaged"), (make_newer, "install the newest napari-wbc-nca")],
)
def test_strokes_stay_in_the_layer_where_the_project_cannot_be_read(
    person, image, notes, spoil, message
):
    folder = folder_of(image)
    Project(folder, create=True).close()
    spoil(folder / FILE)
    before = (folder / FILE).read_bytes()
    layer = person.open(image)
    person.paint(layer, 0)
    person.hears(notes, message)
    person.paint(layer, 1)
    person.undo_and_redo_all(layer)
    assert sum(message in note for note in notes) == 1
    assert (folder / FILE).read_bytes() == before


def test_strokes_stay_in_the_layer_where_the_project_is_read_only(
    person, disk: Callable[[int], Path], notes, monkeypatch
):
    place = disk(4096)
    image = write_smear(place / "smear.tif")
    layer = person.open(image)
    person.paint(layer, 0)
    journal_of(layer).flush()
    person.put_away()
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    layer = person.open(image)
    person.paint(layer, 0)
    person.hears(notes, "cannot be written")
    person.paint(layer, 1)
    person.undo_and_redo_all(layer)
    subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
    person.paint(layer, 2)
    journal_of(layer).flush()
    np.testing.assert_array_equal(person.reopen(image).data, person.states[-1])


def test_a_journal_begins_once_there_is_room(person, disk: Callable[[int], Path], notes):
    image = write_smear(disk(1024) / "smear.tif")
    filler = image.with_name("filler")
    filler.write_bytes(bytes(shutil.disk_usage(image.parent).free))
    layer = person.open(image)
    person.paint(layer, 0)
    person.hears(notes, "make room")
    person.paint(layer, 1)
    filler.unlink()
    person.paint(layer, 2)
    person.undo_and_redo_all(layer)
    journal_of(layer).flush()
    np.testing.assert_array_equal(person.reopen(image).data, person.states[-1])


def test_a_project_that_is_deleted_while_it_is_open_is_missed(person, image, notes):
    layer = person.open(image)
    person.paint(layer, 0)
    journal_of(layer).flush()
    shutil.rmtree(folder_of(image))
    person.paint(layer, 1)
    person.hears(notes, "was deleted, or moved to another disk")
    person.paint(layer, 2)
    person.undo_and_redo_all(layer)
    assert sum("was deleted" in note for note in notes) == 1


@pytest.fixture
def actions():
    """Buttons of the notifications that napari shows: text to what they do."""
    found = {}

    def keep(notification):
        found.update(notification.actions)

    notification_manager.notification_ready.connect(keep)
    yield found
    notification_manager.notification_ready.disconnect(keep)


def test_a_project_that_was_moved_is_asked_for(
    person, viewer, image, notes, actions, monkeypatch, qtbot
):
    layer = person.open(image)
    person.paint(layer, 0)
    journal_of(layer).flush()
    person.put_away()
    moved = image.parents[1] / "elsewhere.wbcproject"
    folder_of(image).rename(moved)
    viewer.open(str(image), plugin="napari")
    person.hears(notes, "is not there any more")
    chosen = iter([str(image.parent), str(moved)])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: next(chosen))
    actions["Open moved project…"](None)
    person.hears(notes, "holds no annotation project")
    number = len(viewer.layers)
    actions["Open moved project…"](None)
    qtbot.waitUntil(lambda: "Restore" in actions, timeout=20_000)
    actions["Restore"](None)
    qtbot.waitUntil(lambda: len(viewer.layers) > number, timeout=20_000)
    restored = viewer.layers[-1]
    np.testing.assert_array_equal(restored.data, person.states[-1])
    person.paint(restored, 1)
    journal_of(restored).flush()
    close_all()
    assert corrections(moved) == ["paint", "paint"]
    assert not folder_of(image).exists()


def test_classes_that_no_cell_has_are_restored(person, viewer, image):
    layer = person.open(image)
    correct = CorrectWidget(viewer)
    viewer.window.add_dock_widget(correct)
    QTest.keyClicks(correct.new_class, "smudge cell\r")
    person.paint(layer, 0)
    QTest.keyClicks(correct.new_class, "blast\r")
    dock = open_dock(viewer)
    assert dock.model.classes[-3:] == ["smudge cell", "blast", "unsure"]
    viewer.window.remove_dock_widget(correct)
    viewer.window.remove_dock_widget(dock)
    person.reopen(image)
    dock = open_dock(viewer)
    assert dock.model.classes[-3:] == ["smudge cell", "blast", "unsure"]
    dock.model.select([1])
    press(dock.gallery, str(len(dock.model.classes) - 1))
    assert dock.model.cell(1)["class"] == "blast"
    viewer.window.remove_dock_widget(dock)


def test_the_settings_of_the_journal_are_chosen_by_the_mouse(person, viewer, image):
    layer = person.open(image)
    dock = open_dock(viewer)
    dock.ensureWidgetVisible(dock.journal)
    QTest.mouseClick(dock.journal.headline, Qt.MouseButton.LeftButton)
    settle()
    form = dock.journal.content
    at = QPoint(8, form.keep.height() // 2)
    QTest.mouseClick(form.keep, Qt.MouseButton.LeftButton, pos=at)
    assert not load_settings().keep
    person.paint(layer, 0)
    assert not folder_of(image).exists()
    form.place.setFocus()
    QTest.keyClick(form.place, Qt.Key.Key_Down)
    assert not load_settings().beside
    QTest.mouseClick(form.keep, Qt.MouseButton.LeftButton, pos=at)
    assert load_settings().keep
    viewer.window.remove_dock_widget(dock)


def test_strokes_on_a_plane_of_a_stack_are_restored(person, viewer, tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.stack([smear(*CORNERS)] * 3), photometric="rgb")
    layer = person.open(path)
    assert layer.ndim == 3
    for plane in (1, 2):
        viewer.dims.set_point(0, plane)
        person.paint(layer, plane)
    assert np.any(person.states[1] != person.states[0], axis=(1, 2)).tolist() == [0, 1, 0]
    person.undo_and_redo_all(layer)
    np.testing.assert_array_equal(person.reopen(path).data, person.states[-1])


def test_strokes_on_an_image_of_8192_pixels_are_restored(person, viewer, tmp_path):
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, np.zeros((8192, 8192), np.uint8), compression="zlib")
    layer = person.open(path, visible=False)
    layer.contour = 0  # outlines of so many pixels take napari long
    camera = getattr(viewer, "scene", viewer).camera
    camera.center, camera.zoom = (50, 60), 2
    layer.visible = True
    settle()
    for number in range(3):
        person.paint(layer, number)
    hands = Hands(viewer)
    hands.leave()
    hands.key("Control-Z")
    journal_of(layer).flush()
    person.put_away()
    with Project(folder_of(path)) as project:
        restored, _ = project.journal(1).restore()
    np.testing.assert_array_equal(restored[:SEEN, :SEEN], person.states[-2])
    assert np.count_nonzero(restored) == np.count_nonzero(person.states[-2])
