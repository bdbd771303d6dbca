"""The Evaluate widget, with models that take every dark square for a cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from checkpoints import mixer
from squares import CHECKPOINT, smear

from napari_wbc_nca.datasets.samples import image_id
from napari_wbc_nca.datasets.synthetic import write_known
from napari_wbc_nca.io import model_store
from napari_wbc_nca.widgets.evaluate import EvaluateWidget


@pytest.fixture
def widget(viewer, workflow, monkeypatch):
    """The widget over a smear with two squares; the truth of the second is half as large."""
    monkeypatch.setattr(model_store, "resolve", lambda name: replace(CHECKPOINT, name=name))
    viewer.add_image(smear((10, 10), (50, 70)), name="smear")
    cells = np.zeros((90, 120), np.uint32)
    cells[10:30, 10:30], cells[50:60, 70:90] = 1, 2
    classes = ["lymphocyte", "lymphocyte"]
    viewer.add_labels(cells, name="cells", features={"index": [1, 2], "class": classes})
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Evaluate models")
    assert isinstance(docked, EvaluateWidget)
    return docked


def shown(widget):
    return [widget.tabs.tabText(number) for number in range(widget.tabs.count())]


def cell(page, name, column=1):
    rows = {
        page.item(row, 0).text(): page.item(row, column).text() for row in range(page.rowCount())
    }
    return rows[name]


def test_a_model_is_measured_against_corrected_cells(viewer, widget, click, finish, tmp_path):
    click(widget.button)
    finish(widget)
    assert widget.status.text().startswith("2 cells: F1 1.000, cell IoU 0.750, PQ 0.500, AJI 0.75")
    assert shown(widget) == ["Figures", "Classes", "Images", "Confusion", "Scores", "Worst"]
    figures = widget.tabs.widget(0)
    assert (cell(figures, "cell_iou"), cell(figures, "f1_at_0.75")) == ("0.750", "0.500")
    widget.form.output.edit.setText(str(tmp_path / "report"))
    click(widget.save)
    written = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"summary.csv", "cells.csv", "scores.png", "scores.svg", "summary.md"} <= written


def test_cells_that_the_model_was_trained_on_are_named(viewer, widget, click, finish, monkeypatch):
    card = {"images": [image_id(viewer.layers["smear"].data)]}
    monkeypatch.setattr(model_store, "resolve", lambda name: replace(CHECKPOINT, card=card))
    click(widget.button)
    finish(widget)
    assert "squares was trained on 1 of these 1 images" in widget.status.text()
    assert "measure other images" in widget.status.text()


def test_what_nobody_reviewed_counts_for_nothing(viewer, widget, click, finish):
    viewer.add_shapes([[(0, 0), (0, 60), (45, 60), (45, 0)]], name="reviewed")
    widget.form.reviewed.mode.setCurrentIndex(1)
    click(widget.button)
    finish(widget)
    figures = widget.tabs.widget(0)
    # The model finds the square that lies outside, too.
    assert [cell(figures, name) for name in ("cells", "predicted", "cell_iou")] == [
        "1",
        "1",
        "1.000",
    ]


def test_two_models_stand_side_by_side(viewer, widget, click, finish):
    click(widget.form.both)
    widget.form.other.names.setCurrentIndex(1)
    click(widget.button)
    finish(widget)
    assert shown(widget) == [
        "Side by side",
        "Cells",
        "Classes",
        "Images",
        "Confusion",
        "Disagreements",
    ]
    page = widget.tabs.widget(0)
    heads = [page.horizontalHeaderItem(n).text() for n in range(page.columnCount())]
    assert heads == ["figure", "wbc-smear", "wbc-types", "difference"]
    assert cell(page, "cell_iou", 3) == "0.000"
    assert cell(page, "cells") == "2"
    classes = widget.tabs.widget(2)
    assert cell(classes, "wbc-types", 2) == cell(classes, "wbc-smear", 2) == "lymphocyte"


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda form: form.both.setChecked(True), "Both models are the same"),
        (lambda form: form.data.setCurrentIndex(1), "No folder is chosen"),
    ],
)
def test_what_is_missing_is_told(widget, click, notes, prepare, words):
    prepare(widget.form)
    click(widget.button)
    assert words in notes[-1]
    assert widget.button.isEnabled()


def test_class_maps_are_measured_pixel_by_pixel(
    viewer, click, finish, notes, monkeypatch, tmp_path, qtbot
):
    monkeypatch.setattr(model_store, "names", lambda: ("one", "other"))
    known = {"one": mixer(0, name="one"), "other": mixer(1, name="other")}
    monkeypatch.setattr(model_store, "resolve", known.__getitem__)
    write_known(tmp_path / "known", 1, (96, 96))
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Evaluate models")
    qtbot.waitUntil(docked.isVisible)
    docked.form.data.setCurrentIndex(1)
    docked.form.folder.edit.setText(str(tmp_path / "known"))
    docked.form.output.edit.setText(str(tmp_path / "report"))
    click(docked.form.both)
    docked.form.other.names.setCurrentIndex(1)
    click(docked.button)
    finish(docked)
    assert not notes
    assert shown(docked) == ["Classes"]
    page = docked.tabs.widget(0)
    heads = [page.horizontalHeaderItem(n).text() for n in range(page.columnCount())]
    assert heads == ["model", "data", "class", "accuracy", "iou", "pixels"]
    assert {page.item(row, 1).text() for row in range(page.rowCount())} == {
        *("mixed", "unmixed", "artificial")
    }
    written = {path.name for path in (tmp_path / "report").iterdir()}
    assert written == {"classes.csv", "classes.md", "evaluation.json"}
