"""The Images dock: the images of a folder one by one, segmented, corrected and saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from squares import smear

from napari_wbc_nca.project.project import Project
from napari_wbc_nca.widgets.images.dock import ImagesWidget
from napari_wbc_nca.widgets.review.open_projects import close_all
from napari_wbc_nca.workflow.count import count_cells

CORNERS = ((10, 10), (10, 60))


@pytest.fixture
def folder(tmp_path: Any) -> Any:
    place = tmp_path / "day1"
    place.mkdir()
    for number, name in enumerate(("a", "b", "c")):
        pixels = smear(*CORNERS)
        pixels[80:, 80:] = 200 + number  # an image is known by its hash
        Image.fromarray(pixels).save(place / f"{name}.png")
    (place / "broken.png").write_bytes(b"no picture")
    return place


@pytest.fixture
def dock(viewer: Any, workflow: Any) -> ImagesWidget:
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Images of a folder")
    assert isinstance(docked, ImagesWidget)
    QApplication.processEvents()
    return docked


def state(dock: Any, path: Any) -> str:
    found = dock.images.images.states.get(path)
    return "" if found is None else found.text


def cells(viewer: Any) -> Any:
    layers = [layer for layer in viewer.layers if type(layer).__name__ == "Labels"]
    return layers[-1] if layers else None


def test_a_folder_is_segmented_corrected_and_stepped_through(
    viewer, dock, folder, qtbot, click, finish, notes
):
    a, b = folder / "a.png", folder / "b.png"
    dock.open_folder(folder)
    qtbot.waitUntil(lambda: state(dock, a) == "not segmented", timeout=20_000)
    click(dock.button)
    finish(dock)
    assert dock.status.text().startswith("1 failed, the others are segmented.\nbroken.png: ")
    assert state(dock, folder / "broken.png").startswith("failed: ")
    assert (folder / "results" / "a_labels.tif").exists()
    assert state(dock, a) == "0 of 2 reviewed"

    click(dock.next)  # opens the first
    qtbot.waitUntil(lambda: cells(viewer) is not None, timeout=20_000)
    assert [layer.name for layer in viewer.layers] == ["a", "a_labels"]
    viewer.add_points(np.array([[1, 1]]), name="mine")
    layer = cells(viewer)
    layer.selected_label = 1
    layer.fill((5, 5), 9)  # a correction by napari's own tool
    QTest.qWait(100)

    viewer.window._qt_window.activateWindow()
    QTest.qWaitForWindowActive(viewer.window._qt_window)
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    QTest.keyClick(canvas, Qt.Key.Key_PageDown, Qt.KeyboardModifier.AltModifier)
    assert dock.opener.path == b
    qtbot.waitUntil(lambda: cells(viewer) is not None, timeout=20_000)
    assert {layer.name for layer in viewer.layers} == {"mine", "b", "b_labels"}

    del layer
    click(dock.previous)
    qtbot.waitUntil(lambda: cells(viewer) is not None, timeout=20_000)
    assert cells(viewer).data.max() == 9
    assert notes == []  # what was corrected is there, without an offer to restore it

    click(dock.done)
    qtbot.waitUntil(lambda: state(dock, a).startswith("done"), timeout=20_000)
    viewer.window.remove_dock_widget(dock)
    close_all()
    counted = count_cells(folder)
    assert sorted(set(counted.cells["image"])) == ["a", "results/b", "results/c"]
    with Project(folder / "day1.wbcproject") as project:
        assert [image.path.name for image in project.images()] == ["a.png"]


def test_cells_that_were_segmented_by_hand_are_saved_on_leaving(
    viewer, dock, folder, qtbot, click, finish
):
    dock.open_folder(folder)
    click(dock.next)
    tab, segment = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Segment WBCs")
    tab.show()
    tab.raise_()
    QApplication.processEvents()
    click(segment.button)
    finish(segment)
    assert cells(viewer) is not None
    assert not (folder / "results").exists()
    click(dock.next)
    qtbot.waitUntil(lambda: "reviewed" in state(dock, folder / "a.png"), timeout=20_000)
    assert (folder / "results" / "a_cells.csv").exists()
    assert [layer.name for layer in viewer.layers] == ["b"]


def test_a_project_whose_image_was_moved_is_opened_and_the_image_located(
    viewer, dock, folder, qtbot, notes
):
    from napari_wbc_nca.project.journal import Correction

    a, b = folder / "a.png", folder / "b.png"
    Image.fromarray(255 - smear(*CORNERS)).save(b)  # another image than a
    rows = {1: {"class": "neutrophil", "index": 1, "label": 1}}
    labels = np.zeros(smear(*CORNERS).shape[:2], np.uint32)
    labels[10:30, 10:30] = 1
    with Project(folder / "p.wbcproject", create=True) as project:
        journal = project.add_layer(project.add_image(a), "cells", labels, rows)
        changed = rows[1] | {"class": "monocyte"}
        journal.record(Correction("classify", rows={1: (rows[1], changed)}))
    moved = folder / "moved.png"
    a.rename(moved)
    dock.open_folder(folder / "p.wbcproject")
    qtbot.waitUntil(lambda: state(dock, a) == "file is missing", timeout=20_000)
    dock.step(1)
    assert "is missing" in notes[-1]
    assert dock.locate_button.isVisible()
    dock.move_image(a, b)
    qtbot.waitUntil(lambda: "is another image than a.png" in notes[-1], timeout=20_000)
    dock.move_image(a, moved)
    qtbot.waitUntil(lambda: list(dock.folder.files) == [moved], timeout=20_000)
    dock.step(1)
    qtbot.waitUntil(lambda: cells(viewer) is not None, timeout=20_000)
    assert cells(viewer).features["class"].tolist() == ["monocyte"]


def test_two_hundred_images_are_listed_at_once_and_drawn_where_they_are_seen(dock, tmp_path, qtbot):
    place = tmp_path / "many"
    place.mkdir()
    picture = Image.fromarray(smear((10, 10)))
    for number in range(200):
        picture.save(place / f"{number:03}.png")
    dock.open_folder(place)
    model = dock.images.images
    assert model.rowCount() == 200
    QApplication.processEvents()
    qtbot.waitUntil(lambda: len(model.thumbnails._pixmaps) > 2, timeout=20_000)
    qtbot.waitUntil(lambda: len(model.states) == 200, timeout=60_000)
    assert len(model.thumbnails._asked) < 60
    assert dock.summary.text() == "200 images, 0 done, 200 not segmented"


def test_what_is_no_folder_of_images_is_said(dock, tmp_path):
    with pytest.raises(ValueError, match="there is no image in this folder"):
        dock.open_folder(tmp_path)
    with pytest.raises(ValueError, match="is no annotation project"):
        dock.open_project(tmp_path)
