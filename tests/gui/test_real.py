"""The real workflow behind the button."""

from __future__ import annotations

import dask.array as da
import numpy as np
import planted
import pytest
from checkpoints import checkpoint

from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.images import sample_path
from napari_wbc_nca.io.weights import save
from napari_wbc_nca.widgets.planes import OURS
from napari_wbc_nca.workflow.segment import segment

BUNDLED, DETECTOR, MIXER = "wbc-smear", "smear-cells", "smear-mix"


@pytest.fixture
def real(viewer):
    """The widget over a bundled smear, with nothing replaced."""
    viewer.open_sample("napari-wbc-nca", "smear-1")
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Segment WBCs")
    return docked


def test_click_gives_the_labels_that_python_gives(viewer, real, click, finish, notes, tmp_path):
    path = tmp_path / "random.safetensors"
    save(checkpoint(), path)
    points = [(150.0, 200.0), (300.0, 420.0)]
    viewer.add_points(points, name="points")
    real.form.model.open(str(path))
    real.form.params.widgets["locate"].value = "points"
    real.form.scale.set_diameter(90)
    click(real.button)
    finish(real)
    assert not notes
    expected = segment(
        sample_path("smear-1"), path, locate="points", points=np.array(points), diameter=90
    )
    cells = viewer.layers["smear-1 cells"]
    np.testing.assert_array_equal(cells.data, expected.labels["cell"])
    assert list(cells.features["class"]) == list(expected.cells["class"])
    assert cells.metadata[OURS]["provenance"][0]["complete"]


def test_plain_masks_are_a_layer_beside_the_cells(viewer, click, finish, notes, monkeypatch, qtbot):
    monkeypatch.setattr(model_store, "names", lambda: ("planted",))
    monkeypatch.setattr(model_store, "resolve", lambda name: planted.checkpoint())
    viewer.add_image(planted.smear((24, 30), (80, 70)), name="smear")
    viewer.add_points([(80, 70), (24, 30)], name="points")
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Segment WBCs")
    qtbot.waitUntil(docked.isVisible)
    docked.form.params.widgets["locate"].value = "points"
    docked.form.scale.set_diameter(24)
    click(docked.form.outputs["pca"])
    click(docked.button)
    finish(docked)
    assert not notes
    plain = viewer.layers["smear PCA-Otsu"]
    assert set(np.unique(plain.data)) == {0, 1, 2}
    assert list(plain.features["class"]) == list(viewer.layers["smear cells"].features["class"])


def test_points_on_empty_background_give_no_cell_and_a_note(
    viewer, click, finish, notes, monkeypatch, qtbot
):
    monkeypatch.setattr(model_store, "names", lambda: ("planted",))
    monkeypatch.setattr(model_store, "resolve", lambda name: planted.checkpoint())
    viewer.add_image(planted.smear((24, 30), (80, 70)), name="smear")
    viewer.add_points([(80, 70), (100, 145), (24, 30)], name="points")
    _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Segment WBCs")
    qtbot.waitUntil(docked.isVisible)
    docked.form.params.widgets["locate"].value = "points"
    docked.form.scale.set_diameter(24)
    click(docked.button)
    finish(docked)
    assert not notes
    assert "1 of 3 points gave no cell: they lie on empty background" in docked.status.text()
    cells = viewer.layers["smear cells"]
    assert len(cells.features) == 2
    assert not cells.data[90:, 130:].any()


def test_missing_device_is_a_notification(viewer, real, click, finish, notes, tmp_path):
    path = tmp_path / "random.safetensors"
    save(checkpoint(), path)
    real.form.model.open(str(path))
    import torch

    missing = "mps" if not torch.mps.is_available() else "cuda"
    real.form.params.widgets["device"].value = missing
    click(real.button)
    finish(real)
    assert "is not there" in notes[-1]


@pytest.mark.skipif(BUNDLED not in model_store.names(), reason=f"{BUNDLED} is not bundled")
def test_bundled_model_finds_the_cell_of_the_sample(viewer, real, click, finish, notes):
    click(real.button)
    finish(real)
    assert not notes
    assert list(viewer.layers["smear-1 cells"].features["class"]) == ["neutrophil"]
    real.form.params.widgets["projection"].value = "pca"
    finish(real)
    assert [layer.name for layer in viewer.layers] == ["smear-1", "smear-1 cells"]


@pytest.mark.skipif(DETECTOR not in model_store.names(), reason=f"{DETECTOR} is not bundled")
def test_bundled_detector_finds_cells_and_follows_a_removed_centroid(
    viewer, real, click, finish, notes, qtbot
):
    real.form.model.names.setCurrentText(DETECTOR)
    real.form.params.widgets["device"].value = "cpu"
    real.form.scale.set_diameter(155)
    click(real.button)
    finish(real)
    assert not notes
    cells, points = viewer.layers["smear-1 cells"], viewer.layers["smear-1 centroids"]
    table = cells.features.set_index("index")
    assert list(table["class"]).count("wbc") == 1
    assert list(table["class"]).count("rbc") > 20
    before, (wbc,) = cells.data.copy(), table.index[table["class"] == "wbc"]
    points.selected_data = {list(points.features["index"]).index(wbc)}
    points.remove_selected()
    qtbot.waitUntil(lambda: not real.tools.current.busy, timeout=90_000)
    assert not notes
    assert wbc not in cells.data
    assert wbc not in list(cells.features["index"])
    far = np.ones(before.shape, bool)
    rows, columns = (np.flatnonzero((before == wbc).any(axis)) for axis in (1, 0))
    reach = 155
    far[
        max(0, rows[0] - reach) : rows[-1] + reach, max(0, columns[0] - reach) : columns[-1] + reach
    ] = False
    assert far.any()
    np.testing.assert_array_equal(cells.data[far], before[far])


@pytest.mark.skipif(MIXER not in model_store.names(), reason=f"{MIXER} is not bundled")
def test_bundled_mixer_gives_each_pixel_a_class(viewer, real, click, finish, notes):
    real.form.model.names.setCurrentText(MIXER)
    real.form.params.widgets["device"].value = "cpu"
    real.form.scale.set_diameter(155)
    for name in ("class", "maps"):
        real.form.outputs[name].setChecked(True)
    click(real.button)
    finish(real)
    assert not notes
    cells, classes = viewer.layers["smear-1 cells"], viewer.layers["smear-1 classes"]
    expected = segment(sample_path("smear-1"), MIXER, diameter=155, maps=True, device="cpu")
    np.testing.assert_array_equal(cells.data, expected.labels["cell"])
    np.testing.assert_array_equal(classes.data, expected.labels["class"])
    assert list(classes.features["class"]) == ["wbc", "rbc"]
    maps = {name: viewer.layers[f"smear-1 {name}"].data for name in expected.maps}
    assert list(maps) == ["probability background", "probability wbc", "probability rbc"]
    np.testing.assert_allclose(sum(maps.values()), 1, atol=1e-5)
    # The nucleus is the darkest there is, and most of what is stained are red cells.
    green = viewer.layers["smear-1"].data[..., 1]
    nucleus = green < np.percentile(green, 1)
    assert (classes.data[nucleus] == 1).mean() > 0.9
    assert maps["probability wbc"][nucleus].mean() > 0.8
    kinds = cells.features.set_index("index")["class"]
    assert set(kinds[np.unique(cells.data[nucleus & (cells.data > 0)])]) == {"wbc"}
    assert list(kinds).count("rbc") > 5
    assert (classes.data == 2).sum() > (classes.data == 1).sum()


def test_labels_of_a_lazy_image_can_be_edited(viewer, real, click, finish, notes, tmp_path):
    path = tmp_path / "random.safetensors"
    save(checkpoint(), path)
    pixels = da.from_array(viewer.layers["smear-1"].data, chunks=(200, 200, 3))
    viewer.add_image(pixels, rgb=True, name="lazy")
    real.form.model.open(str(path))
    real.form.params.widgets["locate"].value = "whole"
    real.form.scale.set_diameter(90)
    click(real.button)
    finish(real)
    assert not notes
    cells = viewer.layers["lazy cells"]
    assert not isinstance(cells.data, np.ndarray)
    cells.selected_label = 9
    cells.paint((400, 500), 9)
    assert cells.data[400, 500] == 9
    cells.undo()
    assert cells.data[400, 500] == 0
