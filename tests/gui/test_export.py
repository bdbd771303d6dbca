"""The Export widget: layers out, regions ignored, labels in again, nothing lost."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels
from PIL import Image as Pictures
from qtpy.QtCore import QPoint, Qt
from squares import smear

from napari_wbc_nca.formats import registry
from napari_wbc_nca.widgets.export import ExportWidget
from napari_wbc_nca.widgets.export_items import image_of
from napari_wbc_nca.widgets.planes import OURS
from napari_wbc_nca.workflow.export import import_labels


@pytest.fixture
def export(viewer):
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Export labels")
    assert isinstance(docked, ExportWidget)
    return docked


@pytest.fixture
def labels(viewer):
    """Two cells on a smear of 0.5 µm a pixel; another image lies on top."""
    place = {"scale": (0.5, 0.5), "units": ("um", "um")}
    image = viewer.add_image(smear((10, 10), (50, 70)), name="smear", **place)
    viewer.add_image(np.zeros((20, 20)), name="other")
    data = np.zeros((90, 120), np.uint32)
    data[10:30, 10:30], data[50:70, 70:90] = 1, 5
    features = {"index": [1, 5], "class": ["monocyte", "unknown"], "origin": ["edited", "added"]}
    return viewer.add_labels(
        data,
        name="smear cells",
        features=pd.DataFrame(features),
        metadata={
            OURS: {"source_id": str(image.unique_id), "provenance": [{"model": {"name": "m"}}]}
        },
        **place,
    )


@pytest.fixture
def finished(qtbot):
    def wait(docked):
        qtbot.waitUntil(lambda: not docked.running and docked.button.isEnabled(), timeout=30_000)

    return wait


def tick(export, *names):
    export.form.tick(on=False)
    for name in names:
        export.form.formats[name].setChecked(True)


def test_layers_are_exported_with_classes_and_listed(
    export, labels, tmp_path, qtbot, click, finished, notes
):
    click(export.form.tick_none)
    for name in ("qupath", "crops"):
        click(export.form.formats[name])
    qtbot.keyClicks(export.form.folder.edit, str(tmp_path))
    click(export.button)
    finished(export)
    (found,) = import_labels(tmp_path / "qupath")
    np.testing.assert_array_equal(found.labels, labels.data)
    assert found.cells.to_numpy().tolist() == [[1, "monocyte", "edited"], [5, "wbc", "added"]]
    crop = np.asarray(Pictures.open(tmp_path / "crops/monocyte/smear_cells_1.png"))
    assert crop.shape == (54, 54, 3)
    record = json.loads((tmp_path / "qupath/provenance.json").read_text())["images"][0]
    assert record["segmentation"] == {"model": {"name": "m"}}
    assert len(record["sha256"]) == 64
    assert "6 files written" in export.status.text()
    assert (tmp_path / "crops").as_uri() in export.written.text()
    assert notes == []

    before = sorted(tmp_path.rglob("*"))
    click(export.button)
    finished(export)
    assert "exists; choose another folder, or replace it with --force" in notes[-1]
    assert "Nothing was written" in export.status.text()
    assert sorted(tmp_path.rglob("*")) == before
    box = export.form.params.native("force")
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))
    click(export.button)
    finished(export)
    assert "6 files written" in export.status.text()


def test_all_formats_but_the_one_that_cannot_be_written(
    viewer, export, tmp_path, click, finished, notes
):
    image = viewer.add_image(smear((10, 10)), name="no scale")
    data = np.zeros((90, 120), np.uint32)
    data[10:30, 10:30] = 1
    viewer.add_labels(data, metadata={OURS: {"source_id": str(image.unique_id)}})
    click(export.form.tick_all)
    export.form.folder.edit.setText(str(tmp_path))
    click(export.button)
    finished(export)
    assert notes == []
    assert "crops is not written: " in export.status.text()
    assert "size of its pixels is unknown" in export.status.text()
    written = {path.name for path in tmp_path.iterdir()}
    assert written == set(registry.FORMATS) - {"crops"}
    assert all((tmp_path / name).as_uri() in export.written.text() for name in written)


def test_what_lies_outside_of_the_shapes_is_ignored(
    viewer, export, labels, tmp_path, finished, notes
):
    export.form.reviewed.mode.setCurrentIndex(1)
    export.form.folder.edit.setText(str(tmp_path))
    tick(export, "tiff")
    export.run()
    assert "Reviewed is 'inside shapes', but there are none" in notes[-1]
    # A rectangle around cell 1 in world coordinates, an ellipse far from both, and a line.
    shapes = viewer.add_shapes([[[0, 0], [0, 25], [25, 25], [25, 0]]], shape_type="rectangle")
    shapes.add_ellipses([[40, 5], [40, 15], [44, 15], [44, 5]])
    shapes.add_lines([[0, 59], [44, 59]])
    export.run()
    finished(export)
    (found,) = import_labels(tmp_path / "tiff")
    assert found.cells["label"].tolist() == [1]
    assert not found.ignore[:50, :50].any()
    assert found.ignore[:50, 52:].all()
    ellipse = ~found.ignore[60:]
    assert ellipse.sum() == pytest.approx(np.pi * 10 * 4, rel=0.1)
    assert "1 of 2 cells lie there" in export.status.text()


def test_planes_of_a_stack_are_images_of_their_own(viewer, export, tmp_path, finished):
    pixels = np.stack([smear((10, 10)), smear(), smear((40, 40))])
    viewer.add_image(pixels, name="stack", rgb=True)
    data = np.zeros(pixels.shape[:3], np.uint16)
    data[0, 10:30, 10:30], data[2, 40:60, 40:60] = 1, 2
    viewer.add_labels(data, name="cells")
    export.form.folder.edit.setText(str(tmp_path))
    tick(export, "coco")
    export.run()
    finished(export)
    found = {one.name: one for one in import_labels(tmp_path / "coco")}
    assert set(found) == {"cells-0", "cells-2"}
    np.testing.assert_array_equal(found["cells-2"].labels, data[2])
    np.testing.assert_array_equal(found["cells-2"].pixels, pixels[2])


def test_exports_are_imported_as_layers_in_their_colours(
    viewer, export, labels, tmp_path, finished, notes
):
    export.form.folder.edit.setText(str(tmp_path))
    tick(export, "qupath", "omezarr")
    export.run()
    finished(export)
    export.form.image.setCurrentText("smear")
    export.import_from(tmp_path / "qupath" / "smear_cells.geojson")
    finished(export)
    layer = viewer.layers[-1]
    assert isinstance(layer, Labels)
    np.testing.assert_array_equal(layer.data, labels.data)
    np.testing.assert_array_equal(layer.scale, labels.scale)
    assert list(layer.features["class"]) == ["monocyte", "wbc"]
    assert image_of(layer, viewer.layers).name == "smear"
    assert "2 cells imported" in export.status.text()
    (tmp_path / "bad.geojson").write_text("{")
    export.import_from(tmp_path / "bad.geojson")
    finished(export)
    assert "is no readable JSON" in notes[-1]


def test_what_is_missing_is_said(viewer, export, notes):
    export.run()
    assert "No Labels layer is ticked" in notes[-1]
    viewer.add_labels(np.zeros((9, 9), int), name="cells")
    export.run()
    assert "No folder is chosen" in notes[-1]
    export.form.folder.edit.setText("out")
    tick(export)
    export.run()
    assert "No format is ticked" in notes[-1]
    export.form.layers.item(0).setCheckState(Qt.CheckState.Unchecked)
    viewer.add_labels(np.zeros((9, 9), int), name="more")
    assert [layer.name for layer in export.form.layers.checked()] == ["more"]


def test_cancelled_export_leaves_nothing(
    export, labels, tmp_path, click, finished, qtbot, monkeypatch
):
    import threading

    go, load = threading.Event(), registry.load

    def slow(target):
        def write(*arguments, **options):
            go.wait(20)
            load(target)(*arguments, **options)

        return write

    monkeypatch.setattr(registry, "load", slow)
    export.form.folder.edit.setText(str(tmp_path / "out"))
    tick(export, "tiff")
    click(export.button)
    qtbot.waitUntil(lambda: (tmp_path / "out").exists())
    click(export.progress.cancel)
    finished(export)
    assert export.status.text() == "Cancelled. Nothing was written."
    go.set()
    qtbot.waitUntil(lambda: not (tmp_path / "out").exists(), timeout=10_000)
