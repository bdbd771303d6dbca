from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Picture

from napari_wbc_nca.datasets.samples import image_id, read_rgb
from napari_wbc_nca.workflow.train import train

TINY = {
    **{"channels": 6, "hidden": 6, "steps": 2, "window": 16, "diameter": 8.0},
    **{"epochs": 1, "samples_per_epoch": 4, "batch_size": 2, "validation_share": 0.0},
}


@pytest.fixture
def crops(tmp_path):
    """Folder of two crops of a class each, dark squares on white."""
    for name, shade in (("lymphocyte", 40), ("monocyte", 120)):
        (tmp_path / name).mkdir()
        for number in range(2):
            pixels = np.full((24, 24, 3), 240, np.uint8)
            pixels[6:18, 6:18] = shade + number
            Picture.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("method", ["nca_wss", "nca_max"])
def test_a_folder_a_class_trains(method, crops):
    trained = train(method, crops, **TINY)
    assert trained.method == method
    assert trained.classes == ("lymphocyte", "monocyte", "none")
    assert all(np.isfinite(array).all() for array in trained.weights.values())


def test_training_goes_on_from_a_model(crops):
    first = train("nca_wss", crops, **TINY)
    second = train("nca_wss", crops, init=first, **(TINY | {"learning_rate": 1e-2}))
    assert second.architecture == first.architecture
    assert second.card["parent"]["name"] == first.name
    images = {image_id(read_rgb(path)) for path in crops.rglob("*.png")}
    assert second.card["images"] == first.card["images"] == sorted(images)
    assert any((second.weights[name] != first.weights[name]).any() for name in first.weights)


def test_unknown_parameters_are_refused_before_data_is_read(tmp_path):
    with pytest.raises(ValueError, match="unknown parameter 'epoch'"):
        train("nca_wss", tmp_path / "nothing", epoch=3)


def test_unknown_methods_are_refused():
    with pytest.raises(ValueError, match=r"unknown method 'nca'; known are nca_wss, nca_max"):
        train("nca", "crops")
