from __future__ import annotations

from dataclasses import replace

import discs
import numpy as np
import planted
import pytest
import torch

from napari_wbc_nca.io.weights import WeightsError, load, save
from napari_wbc_nca.methods.propagation.params import PropagationParams, PropagationTrainParams
from napari_wbc_nca.methods.propagation.samples import prepare, targets
from napari_wbc_nca.methods.propagation.train import f_measures, squared_error, train
from napari_wbc_nca.types import Image
from napari_wbc_nca.workflow.segment import estimate_diameter

TINY = PropagationTrainParams(
    widths="6-8-12",
    diameter=24,
    sigma=4,
    patch_size=64,
    epochs=1,
    samples_per_epoch=8,
    batch_size=4,
    learning_rate=1e-2,
    validation_share=0.0,
    device="cpu",
)


def run(samples, params=TINY, **more):
    return planted.run(train(samples, params, **more))


def same(first, second):
    return all(np.array_equal(first.weights[name], second.weights[name]) for name in first.weights)


@pytest.fixture(scope="module")
def learnt():
    params = replace(
        TINY,
        epochs=4,
        samples_per_epoch=240,
        batch_size=8,
        validation_share=0.25,
        learning_rate_decay=0.985,
    )
    return run(discs.samples(16), params)


def test_a_few_epochs_find_every_cell_held_out(learnt):
    yielded, checkpoint = learnt
    values = [progress.values for progress in yielded if progress.values]
    assert len(values) == 4
    assert values[-1]["f_measure"] > 0.95
    assert values[-1]["loss"] < values[0]["loss"]
    assert checkpoint.card["validation"]["f_measure"] == max(v["f_measure"] for v in values)


def test_the_checkpoint_says_how_it_was_made(learnt, tmp_path):
    checkpoint = learnt[1]
    assert checkpoint.classes == ("wbc", "rbc")
    assert checkpoint.method == "propagation"
    assert checkpoint.card["sigma"] == 4
    assert checkpoint.card["scale"] == "cells"
    assert checkpoint.card["data"] == {"made": 16}
    assert all(0.2 <= least <= 0.7 for least in checkpoint.card["least"].values())
    save(checkpoint, tmp_path / "kept.safetensors")
    assert same(load(tmp_path / "kept.safetensors"), checkpoint)


@pytest.mark.parametrize("scale", [0.7, 1.0, 2.2, 4.0])
def test_what_was_learnt_tells_the_scale(learnt, scale):
    (sample,) = discs.samples(1, seed=9, scale=scale)
    params = PropagationParams(device="cpu")
    _, diameter = planted.run(estimate_diameter(Image(sample.pixels), learnt[1], params))
    truth = 2 * discs.RED * scale * 0.92 / 0.49
    assert diameter == pytest.approx(truth, rel=0.25)


def test_a_given_scale_is_taken(learnt):
    image = Image(discs.samples(1)[0].pixels, pixel_size=0.135)
    given = PropagationParams(device="cpu", diameter=31)
    assert planted.run(estimate_diameter(image, learnt[1], given))[1] == 31
    sized = replace(given, diameter=0.0)
    assert planted.run(estimate_diameter(image, learnt[1], sized))[1] == 48  # 24 px of 0.27 µm


def test_points_alone_keep_the_pictures_scale():
    sample = discs.samples(1)[0]
    middle = (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2
    dots = replace(sample, boxes=np.hstack([middle, middle]))
    _, checkpoint = run([dots])
    assert checkpoint.card["scale"] == "pixels"
    assert checkpoint.card["least"] == {"wbc": 125 / 255, "rbc": 125 / 255}
    found = planted.run(
        estimate_diameter(Image(sample.pixels), checkpoint, PropagationParams(device="cpu"))
    )
    assert found[1] == checkpoint.diameter


def test_grey_pictures_of_one_kind():
    made = [replace(s, kinds=("cell",) * 6) for s in discs.samples(2)]
    params = replace(TINY, colour="grey", normalisation="maximum")
    _, checkpoint = run(made, params)
    assert checkpoint.classes == ("cell",)
    assert checkpoint.architecture["channels_in"] == 1


def test_resumed_training_ends_where_an_unbroken_one_does(tmp_path):
    made, state = discs.samples(4), tmp_path / "run.state"
    params = replace(TINY, epochs=2, samples_per_epoch=4)
    _, unbroken = run(made, params)
    steps = train(made, params, state_file=state)
    while not next(steps).values:
        pass
    steps.close()
    assert state.exists()
    _, resumed = run(made, params, state_file=state)
    assert same(resumed, unbroken)
    assert state.exists()  # until the model is kept


def test_full_disk_keeps_the_last_epoch_that_was_written(disk):
    place = disk(1024)
    made, state = discs.samples(2), place / "run.state"
    steps = train(made, replace(TINY, epochs=2), state_file=state)
    while not next(steps).values:
        pass
    kept = state.read_bytes()
    (place / "mine").write_bytes(bytes(1024 * 1024 - len(kept) - 16384))
    with pytest.raises(WeightsError, match=r"run.state cannot be written: .*make room there"):
        list(steps)
    assert state.read_bytes() == kept
    assert {path.name for path in place.iterdir()} == {"mine", "run.state"}


def test_a_state_of_other_parameters_is_refused(tmp_path):
    made, state = discs.samples(2), tmp_path / "run.state"
    steps = train(made, replace(TINY, epochs=2), state_file=state)
    while not next(steps).values:
        pass
    steps.close()
    with pytest.raises(ValueError, match="other values of sigma"):
        run(made, replace(TINY, sigma=5), state_file=state)


def test_training_goes_on_from_a_detector(learnt):
    _, further = run(discs.samples(4), replace(TINY, sigma=9, learning_rate=0), init=learnt[1])
    assert further.card["sigma"] == 4
    assert further.card["parent"]["name"] == learnt[1].name
    weight = "encoder.0.0.weight"
    np.testing.assert_array_equal(further.weights[weight], learnt[1].weights[weight])


def test_what_cannot_be_started_from_is_refused(learnt):
    made = [replace(s, kinds=("hela",) * 6) for s in discs.samples(2)]
    with pytest.raises(ValueError, match="does not know: hela; it knows wbc, rbc"):
        run(made, init=learnt[1])
    with pytest.raises(ValueError, match="is a model of nca_wss"):
        run(discs.samples(2), init=planted.checkpoint())


def test_widths_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="'8,16' is no list of numbers"):
        run(discs.samples(2), replace(TINY, widths="8,16"))


def test_only_what_is_taught_counts_in_the_loss():
    target = torch.rand(2, 2, 4, 4)
    found = torch.rand(2, 2, 4, 4)
    labelled = torch.tensor([[True, False], [True, True]])
    squares = ((found - target) ** 2).mean((2, 3))
    expected = (squares[0, 0] * 2 + squares[1, 0] * 2 + squares[1, 1] * 5) / 3
    loss = squared_error(found, target, labelled, torch.tensor([2.0, 5.0]))
    torch.testing.assert_close(loss, expected)


def test_the_f_measure_of_maps():
    names = ("wbc", "rbc")
    fields = [prepare(sample, names, names, TINY) for sample in discs.samples(3)]
    maps = [targets(field.shape, field.centres, 4).numpy() for field in fields]
    assert f_measures(maps, fields, TINY, 0.5) == [1, 1]
    maps[0][0] = 0
    assert f_measures(maps, fields, TINY, 0.5) == [pytest.approx(2 * 2 / 5), 1]
    partly = [replace(field, labelled=np.asarray([True, False])) for field in fields]
    assert f_measures(maps, partly, TINY, 0.5)[1] is None
