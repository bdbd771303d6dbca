"""What can be looked at before a run or a training, in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog
from squares import CHECKPOINT, smear

from napari_wbc_nca.datasets.synthetic import write_populations
from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams
from napari_wbc_nca.methods.cellmixer.preview import preview_foreground
from napari_wbc_nca.methods.cellmixer.samples import read_foreground
from napari_wbc_nca.methods.propagation import detect
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.widgets.segment import SegmentWidget


@pytest.fixture
def opened(viewer, monkeypatch):
    """Open the widget with a model of some method; the model itself is never run."""

    def open_with(**fields):
        model = type(CHECKPOINT)(**{**vars(CHECKPOINT), **fields})
        monkeypatch.setattr(model_store, "names", lambda: ["model"])
        monkeypatch.setattr(model_store, "resolve", lambda name: model)
        _, docked = viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Segment WBCs")
        assert isinstance(docked, SegmentWidget)
        return docked

    return open_with


@pytest.fixture
def settle(qtbot):
    def wait(controls):
        qtbot.waitUntil(lambda: not controls.busy, timeout=120_000)

    return wait


@pytest.fixture
def detector(opened, monkeypatch):
    """The widget with a detector that answers two peaks, one fainter than the other."""
    values = np.zeros((2, 45, 60), np.float32)
    values[0, 10, 10], values[0, 30, 40], values[1, 20, 20] = 0.9, 0.5, 0.8
    card = {"sigma": 5.0, "least": {"wbc": 0.4, "rbc": 0.4}, "scale": "cells"}
    docked = opened(method="propagation", classes=("wbc", "rbc"), card=card)

    def map_likelihood(image, checkpoint, params):
        yield Progress(0, 1, "Finding cells")
        return detect.LikelihoodMap(values, 2.0, 20.0, checkpoint)

    monkeypatch.setattr(detect, "map_likelihood", map_likelihood)
    return docked


def test_centroids_follow_the_threshold_and_go_with_the_preview(viewer, detector, click, settle):
    viewer.add_image(smear((10, 10)), name="smear", scale=(0.5, 0.5))
    controls = detector.preview.current
    click(controls.shown)
    settle(controls)
    layer = viewer.layers["preview of centroids"]
    np.testing.assert_allclose(layer.data, [(20.5, 20.5), (60.5, 80.5), (40.5, 40.5)])
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    assert controls.found.text().replace("\N{NO-BREAK SPACE}", " ") == "3 cells: 2 WBCs, 1 RBC"
    detector.form.params.widgets["min_likelihood"].value = 0.6
    np.testing.assert_allclose(layer.data, [(20.5, 20.5), (40.5, 40.5)])
    click(detector.form.params.widgets["kinds"].boxes["wbc"])
    assert detector.form.params.values()["kinds"] == "rbc"
    assert list(layer.features["class"]) == ["rbc"]
    click(detector.form.params.widgets["kinds"].boxes["rbc"])
    assert "No kind of cell is ticked" in controls.found.text()
    assert detector.form.image.layer == viewer.layers["smear"]
    detector.form.params.widgets["kinds"].value = "all"
    click(controls.shown)
    assert layer not in viewer.layers


def test_preview_looks_again_at_another_plane_and_another_scale(
    viewer, detector, click, settle, monkeypatch
):
    seen = []
    real = detect.map_likelihood
    monkeypatch.setattr(detect, "map_likelihood", lambda *args: seen.append(args) or real(*args))
    viewer.add_image(np.stack([smear(), smear()]), name="stack")
    controls = detector.preview.current
    click(controls.shown)
    settle(controls)
    viewer.dims.set_current_step(0, 1)
    settle(controls)
    detector.form.scale.set_diameter(30)
    settle(controls)
    assert [image.name for image, _, _ in seen][-2:] == ["stack-1", "stack-1"]
    assert seen[-1][2].diameter == 30
    layer = viewer.layers["preview of centroids"]
    source = viewer.layers["stack"]
    np.testing.assert_allclose(layer.data_to_world(layer.data[0])[0], source.translate[0] + 1)
    viewer.window.remove_dock_widget(detector)
    assert layer not in viewer.layers
    viewer.dims.set_current_step(0, 0)


@pytest.fixture
def mixer(opened):
    card = {"diameters": {"wbc": 30.0}}
    return opened(method="cellmixer", classes=("background", "wbc"), card=card)


def test_foreground_follows_its_parameters(viewer, mixer, click, settle):
    viewer.add_image(smear((10, 10), (50, 70)), name="smear", scale=(0.5, 0.5))
    controls = mixer.preview.current
    click(controls.foreground.headline)
    click(controls.shown)
    settle(controls)
    layer = viewer.layers["smear foreground"]
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    inside = np.zeros((90, 120), bool)
    inside[12:28, 12:28] = inside[52:68, 72:88] = True
    assert layer.data[inside].all()
    assert layer.data.mean() < 0.2
    controls.params.widgets["smallest"].value = 60
    settle(controls)
    assert not layer.data.any()
    assert mixer.form.image.layer == viewer.layers["smear"]
    viewer.add_image(np.stack([smear((10, 10)), smear((50, 70))]), name="stack")
    controls.params.widgets["smallest"].value = 8
    settle(controls)
    assert viewer.layers["stack foreground"].data.shape == (1, 90, 120)
    click(controls.shown)
    assert not [name for name in viewer.layers if "foreground" in name.name]


def test_mixtures_of_a_folder_are_shown(viewer, mixer, click, settle, tmp_path, monkeypatch, notes):
    write_populations(tmp_path, 2, (160, 160))
    controls = mixer.preview.current
    click(controls.mixing.headline)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    click(controls.mixtures)
    assert not controls.mixtures.isEnabled()
    settle(controls)
    assert not notes
    assert controls.mixtures.isEnabled()
    images, classes = viewer.layers["mixtures"], viewer.layers["mixtures classes"]
    assert images.data.shape == (*classes.data.shape, 3)
    assert list(classes.features["class"]) == ["granular", "mottled", "rimmed"]
    assert set(np.unique(classes.data)) == {0, 1, 2, 3}
    before = images.data.copy()
    controls.params.widgets["min_lambda"].value = 0.2
    controls.params.widgets["max_lambda"].value = 0.2
    settle(controls)
    assert [layer.name for layer in viewer.layers] == ["mixtures", "mixtures classes"]
    assert (images.data != before).mean() > 0.5
    controls.params.widgets["overlap_label"].value = "both"
    settle(controls)
    assert list(classes.features["class"])[-1] == "several classes"
    assert (classes.data == 4).any()
    np.testing.assert_array_equal(classes.colormap.map(4), (1, 1, 1, 1))
    viewer.layers.remove("mixtures")
    controls.params.widgets["overlap_label"].value = "second"
    assert not controls.busy


def test_folder_without_populations_is_a_notification(viewer, mixer, settle, tmp_path, notes):
    controls = mixer.preview.current
    controls.preview(str(tmp_path))
    settle(controls)
    assert str(tmp_path) in notes[-1]
    assert controls.mixtures.isEnabled()


@pytest.fixture
def taught(opened):
    """The widget with a model that learnt from cells of 20 px, by an unusual foreground."""
    made = {
        "diameter": 20.0,
        "pixel_size": 0.5,
        "response": "contrast",
        "erode": 1,
        "mixed_share": 0.5,
    }
    kept = {"populations": "wbc", "threshold": "otsu_log", "tint": 0.3, "smallest": 4.0}
    card = {"scale": "cells", "diameters": {"wbc": 20.0}, "params": made | kept}
    return opened(method="cellmixer", classes=("background", "wbc"), card=card, diameter=20.0)


def test_preview_starts_from_what_the_model_was_trained_with(viewer, taught, click, settle):
    viewer.add_image(smear((10, 10)), name="smear")
    controls = taught.preview.current
    values = controls.params.values()
    names = ("response", "erode", "threshold", "mixed_share")
    assert [values[name] for name in names] == ["contrast", 1, "otsu_log", 0.5]
    click(controls.foreground.headline)
    click(controls.defaults)
    values, plain = controls.params.values(), CellmixerTrainParams()
    assert values == {name: getattr(plain, name) for name in values}


def test_foreground_is_looked_for_at_the_scale_of_training(viewer, taught, click, settle):
    pixels = smear((10, 10), (50, 70))
    viewer.add_image(pixels, name="smear")
    controls = taught.preview.current
    click(controls.foreground.headline)
    click(controls.shown)
    settle(controls)
    assert "20 px across. Give their diameter" in controls.scale.text()
    assert controls.scale.isVisible()
    taught.form.scale.set_diameter(40)
    settle(controls)
    assert not controls.scale.isVisible()
    params = CellmixerTrainParams(
        response="contrast", erode=1, threshold="otsu_log", smallest=4.0, diameter=20.0
    )
    small = read_foreground(pixels, 2.0, params)[1]
    expected = small.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(viewer.layers["smear foreground"].data, expected)
    assert expected[55:65, 75:85].all()
    by_size = CellmixerTrainParams(**{**vars(params), "pixel_size": 0.5})
    np.testing.assert_array_equal(preview_foreground(pixels, by_size, pixel_size=0.25), expected)
