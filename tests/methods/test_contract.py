"""What every method in the registry promises."""

from __future__ import annotations

import dataclasses

import numpy as np
import planted
import pytest

from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.params import SegmentParams
from napari_wbc_nca.params import fields as fields_of
from napari_wbc_nca.types import Checkpoint, Image, Progress, Segmentation

SMALL = {
    **{"channels": 6, "hidden": 6, "steps": 2, "window": 24, "diameter": 12.0, "device": "cpu"},
    **{"epochs": 1, "samples_per_epoch": 8, "batch": 4, "validation": 0.0},
}
COLUMNS = [
    *("label", "class", "class_probability", "confidence", "centroid_y", "centroid_x"),
    *("box_y0", "box_x0", "box_y1", "box_x1", "area_px", "nucleus_area_px", "area_um2"),
]


@pytest.fixture(params=registry.METHODS.values(), ids=lambda method: method.name)
def any_method(request):
    return request.param


@pytest.fixture(
    params=[m for m in registry.METHODS.values() if m.predict_params is SegmentParams],
    ids=lambda method: method.name,
)
def method(request):
    """An automaton, whose results have a nucleus and a type."""
    return request.param


@pytest.fixture
def trained(method, fields):
    steps = registry.load(method.train)(fields, method.train_params(**SMALL))
    return planted.run(steps)


def test_the_registry_knows_it_by_its_name(any_method):
    assert registry.get(any_method.name) is any_method
    assert any_method.title


def test_params_are_frozen_and_every_field_is_described(any_method):
    for params in (any_method.predict_params, any_method.train_params):
        assert params.__dataclass_params__.frozen
        described = list(fields_of(params))
        assert [item.name for item in described] == [f.name for f in dataclasses.fields(params)]
        assert all(item.bounds.help for item in described)
        for item in described:
            kind = type(item.default)
            assert kind in (bool, int, float, str)
            assert item.choices or item.type is kind
            assert not item.choices or item.default in item.choices


def test_two_steps_of_training_give_a_checkpoint(method, trained):
    yielded, checkpoint = trained
    assert all(isinstance(progress, Progress) for progress in yielded)
    assert sum(progress.message.startswith("Training, batch") for progress in yielded) == 2
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.method == method.name
    assert checkpoint.classes == ("neutrophil", "lymphocyte", "none")
    for array in checkpoint.weights.values():
        assert array.dtype == np.float32
        assert np.isfinite(array).all()


def test_a_trained_checkpoint_segments(method, trained):
    image = Image(planted.smear((40, 50), (80, 110)))
    params = method.predict_params(locate="points", diameter=24, device="cpu")
    points = np.asarray([[40, 50], [80, 110]])
    yielded, found = planted.run(
        registry.load(method.predict)(image, trained[1], params, points=points)
    )
    assert yielded
    assert all(isinstance(p, Progress) and 0 <= p.done <= p.total for p in yielded)
    assert isinstance(found, Segmentation)
    assert list(found.cells.columns[: len(COLUMNS)]) == COLUMNS
    assert list(found.cells.columns[len(COLUMNS) :]) == [f"p_{n}" for n in trained[1].classes]
    cell, nucleus = found.labels["cell"], found.labels["nucleus"]
    assert cell.shape == nucleus.shape == image.shape
    assert cell.dtype == nucleus.dtype == np.uint32
    assert (nucleus[nucleus > 0] == cell[nucleus > 0]).all()
    assert set(np.unique(cell)) == {0, *found.cells["label"]}


def test_a_method_types_and_finds_what_was_planted(method):
    image = Image(planted.smear((40, 50), (80, 110), red=((20, 120),)))
    params = method.predict_params(diameter=24, device="cpu")
    checkpoint = planted.checkpoint(method.name)
    _, found = planted.run(registry.load(method.predict)(image, checkpoint, params))
    assert found.cells["class"].tolist() == ["neutrophil"] * 2


def test_prediction_can_be_cancelled_at_any_step(method):
    image = Image(planted.smear((40, 50), (80, 110)))
    params = method.predict_params(device="cpu")
    checkpoint = planted.checkpoint(method.name)
    steps = registry.load(method.predict)(image, checkpoint, params)
    next(steps)
    steps.close()
    assert list(steps) == []
