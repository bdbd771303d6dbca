"""The report of what the Review dock counts, and counts over a folder."""

from __future__ import annotations

from typing import Any

from PIL import Image
from reviewing import CORNERS, add_cells, settle
from squares import smear

from napari_wbc_nca.widgets.worker import Job


def written(dock: Any, path: Any, qtbot: Any) -> str:
    dock.write_report(path)
    assert isinstance(dock._job, Job)
    qtbot.waitUntil(lambda: not dock._job.running, timeout=30_000)
    return str(path.read_text(encoding="utf-8"))


def test_the_report_shows_the_cells_as_they_are_now(dock, tmp_path, qtbot):
    dock.reviewer.setText("A. Meyer")
    dock.reviewer.editingFinished.emit()
    dock.model.classify([2], "monocyte")
    page = written(dock, tmp_path / "report.html", qtbot)
    assert "Reviewed by A. Meyer" in page
    assert "1 of 4 white cells were reviewed" in page
    assert page.count("data:image/jpeg;base64,") >= len(CORNERS)
    assert "Report: " in dock.status.text()


def test_the_report_of_open_images_has_each_of_them(viewer, dock, tmp_path, qtbot):
    add_cells(viewer, "second")
    settle()
    dock.differential.scope.setCurrentText("Open images")
    page = written(dock, tmp_path / "report.html", qtbot)
    assert "2 images" in page
    assert "<h2>smear</h2>" in page
    assert "<h2>second</h2>" in page


def test_a_report_that_cannot_be_written_is_said(dock, tmp_path, qtbot):
    (tmp_path / "file").write_text("")
    dock.write_report(tmp_path / "file" / "report.html")
    qtbot.waitUntil(lambda: not dock._job.running, timeout=30_000)
    assert dock.status.text() == ""


def test_cells_of_a_folder_are_counted_with_the_open_ones_as_they_are(
    viewer, dock, tmp_path, qtbot
):
    _, images = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Images of a folder")
    place = tmp_path / "day"
    (place / "results").mkdir(parents=True)
    for name in ("a", "b"):
        Image.fromarray(smear(*CORNERS)).save(place / f"{name}.png")
        cells = "label,class,area_px\n1,neutrophil,400\n2,basophil,400"
        (place / "results" / f"{name}_cells.csv").write_text(cells)
    images.open_folder(place)
    qtbot.waitUntil(lambda: len(images.images.images.states) == 2, timeout=30_000)
    dock.differential.scope.setCurrentText("Folder")
    counted = dock.differential.counts.set_index("class")["n"]
    assert (counted["neutrophil"], counted["basophil"]) == (2, 2)
    assert "2 images" in dock.differential.summary.text()
    page = tmp_path / "report.html"
    assert "day" in written(dock, page, qtbot)
    viewer.window.remove_dock_widget(images)
