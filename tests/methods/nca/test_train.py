from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import planted
import pytest
import torch

from napari_wbc_nca.methods.nca.params import NcaMaxTrainParams, NcaParams, NcaTrainParams
from napari_wbc_nca.methods.nca.predict import predict
from napari_wbc_nca.methods.nca.train import classes_of, train_max, train_wss
from napari_wbc_nca.types import Image

SIZE = {"channels": 6, "hidden": 8, "steps": 2, "window": 24, "diameter": 12.0, "device": "cpu"}
TINY = NcaTrainParams(
    **SIZE, epochs=1, samples_per_epoch=8, batch_size=4, validation_share=0.0, learning_rate=1e-2
)


def train(samples, params=TINY, **more):
    return planted.run(train_wss(samples, params, **more))


def same(first, second):
    return all(np.array_equal(first.weights[name], second.weights[name]) for name in first.weights)


def epochs_of(yielded):
    return [progress for progress in yielded if progress.values]


@pytest.fixture(scope="module")
def learnt(fields):
    params = replace(TINY, epochs=2, samples_per_epoch=512, batch_size=16, validation_share=0.3)
    return train(fields, params)


def test_two_epochs_learn_what_a_white_blood_cell_is(learnt):
    yielded, checkpoint = learnt
    values = epochs_of(yielded)[-1].values
    assert values["validation_wbc_accuracy"] > 0.9
    assert checkpoint.card["validation"]["validation_loss"] == min(
        epoch.values["validation_loss"] for epoch in epochs_of(yielded)
    )


def test_what_was_learnt_segments_another_field(learnt):
    image = Image(planted.smear((40, 44), (84, 110), shape=(120, 150), red=((90, 40),)))
    params = NcaParams(diameter=24, device="cpu", locate="points")
    points = np.asarray([[40, 44], [84, 110]])
    _, found = planted.run(predict(image, learnt[1], params, points))
    assert found.cells[["centroid_y", "centroid_x"]].round(-1).to_numpy().tolist() == [
        [40, 40],
        [80, 110],
    ]


def test_progress_tells_of_samples_batches_and_epochs(learnt):
    yielded, _ = learnt
    messages = [progress.message for progress in yielded]
    assert messages[:8] == ["Preparing samples"] * 8
    assert messages[8:11] == [f"Training, batch {n}" for n in (1, 2, 3)]
    assert [progress.done for progress in epochs_of(yielded)] == [1, 2]
    assert set(epochs_of(yielded)[0].values) >= {"loss", "class_loss", "readout_loss"}


def test_the_checkpoint_says_how_it_was_made(learnt):
    _, checkpoint = learnt
    assert checkpoint.classes == ("neutrophil", "lymphocyte", "none")
    assert (checkpoint.diameter, checkpoint.window, checkpoint.method) == (12, 24, "nca_wss")
    card = checkpoint.card
    assert card["data"] == {"made": 8}
    assert card["epochs"] == 2
    assert card["params"]["seed"] == 0
    assert card["projection"] == TINY.projection
    assert card["parent"] is None


def test_one_seed_gives_one_network(fields):
    assert same(train(fields)[1], train(fields)[1])
    assert not same(train(fields)[1], train(fields, replace(TINY, seed=1))[1])


def test_cells_of_unknown_type_train(fields):
    untyped = [
        replace(s, names=tuple("wbc" if n != "none" else n for n in s.names)) for s in fields[2:]
    ]
    _, mixed = train([*fields[:2], *untyped])
    assert mixed.classes == ("neutrophil", "lymphocyte", "none")
    with pytest.raises(ValueError, match="no cell has a type, only 'wbc' and 'none' were found"):
        train(untyped)


def test_points_train(fields):
    middles = [(s.boxes[:, :2] + s.boxes[:, 2:]) / 2 for s in fields]
    points = [replace(s, boxes=np.hstack([m, m])) for s, m in zip(fields, middles, strict=True)]
    yielded, _ = train(points)
    assert np.isfinite(epochs_of(yielded)[-1].values["loss"])


def test_crops_known_by_their_class_alone_train(fields):
    crops = [replace(s, boxes=None, names=s.names[:1]) for s in fields]
    yielded, trained = train(crops)
    assert trained.classes == ("neutrophil", "lymphocyte", "none")
    assert np.isfinite(epochs_of(yielded)[-1].values["loss"])


def test_a_resumed_training_ends_as_one_that_was_not_interrupted(fields, tmp_path):
    params = replace(TINY, epochs=3, validation_share=0.3, learning_rate_decay=0.8)
    state = tmp_path / "state"
    steps = train_wss(fields, params, state_file=state)
    while not next(steps).values:
        pass
    steps.close()
    assert state.exists()
    yielded, resumed = train(fields, params, state_file=state)
    assert [progress.done for progress in epochs_of(yielded)] == [2, 3]
    _, whole = train(fields, params)
    assert same(resumed, whole)
    assert resumed.card == whole.card
    assert list(tmp_path.iterdir()) == [state]  # until the model is kept


def test_a_state_of_other_parameters_is_refused(fields, tmp_path):
    state = tmp_path / "state"
    steps = train_wss(fields, replace(TINY, epochs=2), state_file=state)
    while not next(steps).values:
        pass
    steps.close()
    with pytest.raises(
        ValueError, match=r"state was written with other values of seed, focal_gamma"
    ):
        train(fields, replace(TINY, epochs=2, focal_gamma=0.0, seed=2), state_file=state)
    _, longer = train(fields, replace(TINY, epochs=3), state_file=state)
    assert longer.card["epochs"] == 3


def test_training_stops_when_it_no_longer_improves(fields):
    params = replace(TINY, epochs=50, patience=2, learning_rate=0.0, validation_share=0.3)
    _, stopped = train(fields, params)
    assert (stopped.card["epochs"], stopped.card["best_epoch"]) == (3, 1)


def test_without_patience_training_goes_on(fields):
    params = replace(TINY, epochs=4, learning_rate=0.0, validation_share=0.3)
    assert train(fields, params)[1].card["epochs"] == 4


def test_training_goes_on_from_a_checkpoint(fields):
    _, first = train(fields)
    still = replace(TINY, learning_rate=0.0)
    _, same_one = train(fields, still, init=replace(first, name="first", sha256="abc"))
    assert same(first, same_one)
    assert same_one.card["parent"] == {"name": "first", "sha256": "abc"}
    _, further = train(fields, replace(TINY, channels=64), init=first)
    assert further.architecture == first.architecture
    assert not same(first, further)


def test_a_network_of_the_other_method_is_pooled_as_this_one_does(fields):
    _, trained = train(fields, replace(TINY, learning_rate=0.0), init=planted.checkpoint("nca_max"))
    assert (trained.method, trained.architecture["pool"]) == ("nca_wss", "mean")
    assert same(trained, planted.checkpoint("nca_max"))


def test_checkpoints_that_do_not_fit_are_refused(fields):
    first = planted.checkpoint()
    with pytest.raises(ValueError, match="planted has no class 'none' at the end"):
        train(fields, init=replace(first, classes=("none", "neutrophil", "lymphocyte")))
    with pytest.raises(ValueError, match="classes that planted does not know: lymphocyte; it know"):
        train(fields, init=replace(first, classes=("neutrophil", "monocyte", "none")))


def test_no_epochs_need_a_model_to_start_from(fields):
    with pytest.raises(ValueError, match="0 epochs train nothing; give a model to start from"):
        train(fields, replace(TINY, epochs=0))


def test_a_classifier_of_other_features_has_to_be_trained(fields):
    _, first = train(fields)
    with pytest.raises(ValueError, match="pools its features in another way"):
        train(fields, replace(TINY, epochs=0, pooling="parts"), init=first)


def test_no_epochs_and_no_fit_keep_the_weights(fields):
    _, first = train(fields)
    _, second = train(fields, replace(TINY, epochs=0), init=first)
    assert same(first, second)


def test_bounds_are_checked_first():
    with pytest.raises(ValueError, match="batch_size is 1; it must be at least 2"):
        train([], replace(TINY, batch_size=1))


def test_a_missing_device_is_named(fields, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device 'cuda' is not there"):
        train(fields, replace(TINY, device="cuda"))


def test_nca_max_of_the_papers_size_takes_two_steps(fields):
    params = NcaMaxTrainParams(
        epochs=1, samples_per_epoch=4, batch_size=2, validation_share=0, device="cpu"
    )
    assert (params.channels, params.hidden, params.steps, params.window) == (128, 128, 64, 64)
    assert params.gradient_checkpointing
    steps = train_max(fields[:2], params)
    yielded, trained = planted.run(steps)
    assert sum(p.message.startswith("Training, batch") for p in yielded) == 2
    assert np.isfinite(epochs_of(yielded)[-1].values["loss"])
    assert all(np.isfinite(array).all() for array in trained.weights.values())
    assert trained.architecture["pool"] == "max"


def test_checkpointing_learns_the_same(fields):
    _, kept = train(fields)
    _, computed_anew = train(fields, replace(TINY, gradient_checkpointing=True))
    for name, array in kept.weights.items():
        np.testing.assert_allclose(computed_anew.weights[name], array, atol=1e-4)


def test_classes_are_known_types_then_others_then_none(fields):
    names = ("monocyte", "blast", "neutrophil", "wbc")
    samples = [
        replace(s, boxes=s.boxes[:1], names=(n,)) for s, n in zip(fields, names, strict=False)
    ]
    assert classes_of(samples) == ("neutrophil", "monocyte", "blast", "none")


def test_losses_fall(learnt):
    losses = [progress.values["loss"] for progress in epochs_of(learnt[0])]
    assert all(later < earlier for earlier, later in pairwise(losses))
