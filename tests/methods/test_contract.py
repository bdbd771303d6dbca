"""What every method in the registry promises."""

from __future__ import annotations

import dataclasses

import numpy as np
import planted
import pytest

from napari_wbc_nca.methods import registry
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.params import fields as fields_of
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Checkpoint, Image, Segmentation

SMALL = {
    **{"channels": 6, "hidden": 6, "steps": 2, "window": 24, "diameter": 12.0, "device": "cpu"},
    **{"epochs": 1, "samples_per_epoch": 8, "batch_size": 4, "validation_share": 0.0},
}
OWN = {
    "cellmixer": {"network": "unet", "widths": "4-8", "crop_size": 24},
    "propagation": {"widths": "4-4-8", "patch_size": 32},
}
"""Method to what else makes its network small."""
COLUMNS = [
    *("label", "class", "class_probability", "confidence", "centroid_y", "centroid_x"),
    *("box_y0", "box_x0", "box_y1", "box_x1", "area_px", "nucleus_area_px", "area_um2"),
]


@pytest.fixture(params=registry.METHODS.values(), ids=lambda method: method.name)
def any_method(request):
    return request.param


@pytest.fixture(
    params=[m for m in registry.METHODS.values() if m.predict_params is NcaParams],
    ids=lambda method: method.name,
)
def method(request):
    """An automaton, whose results have a nucleus and a type."""
    return request.param


def train(method, samples):
    """What a small training of a method yields, and its checkpoint."""
    known = {field.name for field in fields_of(method.train_params)}
    values = SMALL | OWN.get(method.name, {})
    params = method.train_params(**{k: v for k, v in values.items() if k in known})
    return planted.run(registry.load(method.train)(samples, params))


@pytest.fixture
def trained(method, fields):
    return train(method, fields)


@pytest.fixture
def any_trained(any_method, fields):
    return train(any_method, fields)


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


def test_two_steps_of_training_give_a_checkpoint(any_method, any_trained):
    yielded, checkpoint = any_trained
    assert all(isinstance(progress, Progress) for progress in yielded)
    assert all(0 <= progress.done <= progress.total for progress in yielded)
    assert sum(progress.message.startswith("Training, batch") for progress in yielded) == 2
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.method == any_method.name
    assert {"data", "params", "epochs", "parent"} <= checkpoint.card.keys()
    for array in checkpoint.weights.values():
        assert np.isfinite(array).all()


def test_an_automaton_learns_types_and_none(trained):
    assert trained[1].classes == ("neutrophil", "lymphocyte", "none")
    assert {array.dtype for array in trained[1].weights.values()} == {np.dtype(np.float32)}


def test_cells_of_any_trained_checkpoint_are_those_of_its_table(any_method, any_trained):
    image, model = Image(planted.smear((40, 50), (80, 110))), any_trained[1]
    params = any_method.predict_params(diameter=24, device="cpu")
    yielded, found = planted.run(registry.load(any_method.predict)(image, model, params))
    assert yielded
    assert all(isinstance(p, Progress) and 0 <= p.done <= p.total for p in yielded)
    assert isinstance(found, Segmentation)
    assert list(found.cells.columns[: len(COLUMNS)]) == COLUMNS
    for labels in found.labels.values():
        assert labels.shape == image.shape
        assert labels.dtype == np.uint32
    assert set(np.unique(found.labels["cell"])) - {0} == set(found.cells["label"])
    assert set(found.cells["class"]) <= set(model.classes)


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
    rest = [f"p_{n}" for n in trained[1].classes]
    rest += ["contrast", "roundness", "relative_diameter", "cell_likelihood", "surroundings"]
    rest += ["nucleus_likelihood", "outline_agreement", "centre_offset", "rotation_agreement"]
    assert list(found.cells.columns[len(COLUMNS) :]) == rest
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


def test_a_cancelled_prediction_keeps_its_cells_and_leaves_the_next_run_alone(
    any_method, any_trained
):
    image = Image(planted.smear((40, 50), (80, 110)))
    params = any_method.predict_params(diameter=24, device="cpu")
    predict = registry.load(any_method.predict)
    whole, found = planted.run(predict(image, any_trained[1], params))
    for count in range(1, len(whole)):
        steps = predict(image, any_trained[1], params)
        yielded = [next(steps) for _ in range(count)]
        steps.close()  # raises where a method goes on after it was cancelled
        assert [(p.done, p.total, p.message, kept(p)) for p in yielded] == [
            (p.done, p.total, p.message, kept(p)) for p in whole[:count]
        ]
    _, again = planted.run(predict(image, any_trained[1], params))
    for name, labels in found.labels.items():
        np.testing.assert_array_equal(again.labels[name], labels)


def kept(progress):
    """Cells that a cancelled run keeps."""
    return [(cell.centre, cell.label_class, int(cell.mask.sum())) for cell in progress.cells]


def test_training_can_be_cancelled_and_goes_on(any_method, fields, tmp_path):
    state = tmp_path / "state"
    known = {field.name for field in fields_of(any_method.train_params)}
    values = SMALL | OWN.get(any_method.name, {}) | {"epochs": 2}
    params = any_method.train_params(**{k: v for k, v in values.items() if k in known})
    work = registry.load(any_method.train)
    steps = work(fields, params, state_file=state)
    while not next(steps).values:
        pass
    steps.close()
    yielded, made = planted.run(work(fields, params, state_file=state))
    assert sum(bool(progress.values) for progress in yielded) == 1  # the second epoch
    assert made.card["epochs"] == 2
