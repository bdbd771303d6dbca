"""Types told from a closer look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest
import torch

from napari_wbc_nca.methods import nca_wss
from napari_wbc_nca.methods.nca.closer import close_side, fit_types, unevenness
from napari_wbc_nca.methods.nca.params import NcaParams, NcaTrainParams
from napari_wbc_nca.methods.nca.windows import Batch
from napari_wbc_nca.models.nca import NCA
from napari_wbc_nca.types import Image

PARAMS = NcaTrainParams(type_windows=512, batch_size=32)
CENTRES = ((40, 44), (84, 110))


class Stained:
    """Windows of two types from two laboratories; one channel tells both what they are.

    Red tells the type in each laboratory alike, though faintly. Green tells it strongly, but only
    since the laboratories stain differently and one has nearly all cells of a type.
    """

    def draw(self, count, random):
        kinds = torch.from_numpy(random.integers(0, 2, count))
        rare = torch.from_numpy(random.random(count) < 0.1)
        laboratory = torch.where(rare, 1 - kinds, kinds)
        noise = torch.from_numpy(random.normal(0, 0.1, count)).float()
        images = torch.zeros(count, 3, 8, 8)
        images[:, 0] = (0.2 * kinds + noise)[:, None, None]
        images[:, 1] = (1.0 * laboratory + noise)[:, None, None]
        allowed = torch.nn.functional.one_hot(kinds, 3).bool()
        settings = tuple("ab"[number] for number in laboratory)
        return Batch(images, torch.zeros(count, 8, 8), allowed, settings)


def network():
    torch.manual_seed(0)
    return NCA(8, 8, 2, classes=3, head=16, closer=1.5).eval()


def test_only_the_classifier_of_types_is_fitted():
    learnt, before = network(), network().state_dict()
    planted.run(fit_types(learnt, Stained(), PARAMS))
    batch = Stained().draw(256, np.random.default_rng(9))
    found = learnt.tell(learnt.rollout(batch.images)).argmax(1)
    assert (found == batch.allowed.byte().argmax(1)).float().mean() > 0.85
    for name, value in learnt.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("types"), name


def test_laboratories_sway_it_less_than_a_fit_that_does_not_know_them():
    """A laboratory's other type is named right where the stain does not decide."""

    class Nameless(Stained):
        def draw(self, count, random):
            return replace(super().draw(count, random), settings=("a",) * count)

    batch = Stained().draw(2048, np.random.default_rng(9))
    kinds = batch.allowed.byte().argmax(1)
    other = torch.tensor([setting != "ab"[kind] for setting, kind in
                          zip(batch.settings, kinds.tolist(), strict=True)])  # fmt: skip
    right = []
    for windows in (Stained(), Nameless()):
        learnt = network()
        planted.run(fit_types(learnt, windows, PARAMS))
        found = learnt.tell(learnt.rollout(batch.images)).argmax(1)
        right.append(float((found == kinds)[other].float().mean()))
    assert right[0] > right[1] + 0.05


def test_unevenness_by_loops():
    random = np.random.default_rng(0)
    logits = torch.from_numpy(random.normal(size=(12, 3)))
    groups = [[torch.tensor([0, 3, 4]), torch.tensor([5, 6])], [torch.tensor([1, 2])]]
    relative = logits.numpy() - logits.numpy().mean(1)[:, None]
    expected = 0.0
    for rows in groups:
        means = [relative[own.tolist()].mean(0) for own in rows]
        middle = np.mean(means, 0)
        expected += sum(float(((mean - middle) ** 2).sum()) for mean in means) / len(means)
    assert float(unevenness(logits, groups)) == pytest.approx(expected)


def test_a_shift_of_all_logits_is_no_unevenness():
    logits = torch.tensor([[1.0, 2.0], [6.0, 7.0]])
    assert float(unevenness(logits, [[torch.tensor([0]), torch.tensor([1])]])) == 0


def told(checkpoint, **values):
    params = replace(NcaParams(diameter=24, locate="points", device="cpu"), **values)
    image = Image(planted.smear(*CENTRES))
    return planted.run(nca_wss.predict(image, checkpoint, params, np.asarray(CENTRES)))


def closer(checkpoint, favoured):
    """`checkpoint` with a classifier of types that favours one."""
    types = {"types.weight": np.zeros((2, 8), np.float32),
             "types.bias": 2 * np.eye(2, dtype=np.float32)[favoured]}  # fmt: skip
    architecture = {**checkpoint.architecture, "closer": 1.5}
    return replace(checkpoint, architecture=architecture, weights={**checkpoint.weights, **types})


@pytest.mark.parametrize("favoured", [0, 1])
def test_types_come_from_the_closer_look_and_none_from_the_other(favoured):
    plain = planted.checkpoint()
    _, before = told(plain, tta_rotations=1)
    yielded, found = told(closer(plain, favoured))
    assert set(found.cells["class"]) == {plain.classes[favoured]}
    np.testing.assert_allclose(found.cells["p_none"], before.cells["p_none"])
    names = [f"p_{name}" for name in plain.classes]
    np.testing.assert_allclose(found.cells[names].sum(axis=1), 1)
    other = plain.classes[1 - favoured]
    ratio = found.cells[f"p_{plain.classes[favoured]}"] / found.cells[f"p_{other}"]
    np.testing.assert_allclose(ratio, np.exp(2), rtol=1e-5)
    np.testing.assert_array_equal(found.labels["cell"], before.labels["cell"])
    shares = planted.shares(yielded, "Segmenting cells")
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_maps_are_of_the_look_that_told_the_type():
    checkpoint = closer(planted.checkpoint(), 0)
    checkpoint.weights["types.weight"][0, 5] = 3.0
    _, found = told(checkpoint, maps=True)
    assert list(found.maps)[1].startswith("cell 1 1: channel 5, relevance")


def test_a_closer_window_keeps_the_margin_around_a_cell():
    assert close_side(48, 28.0, 1) == 48
    assert close_side(64, 32.0, 2) - 64 == 64 - 32


SIZE = {"channels": 6, "hidden": 8, "steps": 2, "window": 24, "diameter": 12.0, "device": "cpu"}
TINY = NcaTrainParams(**SIZE, epochs=1, samples_per_epoch=8, batch_size=4, validation_share=0.0, closer=1.5,
                      type_windows=32)  # fmt: skip


def test_training_fits_it_and_going_on_keeps_it(fields):
    _, first = planted.run(nca_wss.train(fields, TINY))
    assert first.architecture["closer"] == 1.5
    assert first.weights["types.weight"].shape == (2, 6)
    assert first.weights["types.weight"].any()
    onward = replace(TINY, closer=0.0, epochs=0, type_windows=0)
    _, second = planted.run(nca_wss.train(fields, onward, init=first))
    assert second.architecture["closer"] == 1.5
    for name, value in first.weights.items():
        np.testing.assert_array_equal(value, second.weights[name], err_msg=name)


def test_a_trained_model_learns_it_afterwards(fields):
    plain = replace(TINY, closer=0.0)
    _, first = planted.run(nca_wss.train(fields, plain))
    _, second = planted.run(nca_wss.train(fields, replace(TINY, epochs=0), init=first))
    for name, value in first.weights.items():
        np.testing.assert_array_equal(value, second.weights[name], err_msg=name)
    assert second.weights["types.weight"].any()


def test_a_look_from_farther_is_refused():
    with pytest.raises(ValueError, match=r"closer is 0\.5; expected 0, or at least 1"):
        NCA(8, 8, 1, closer=0.5)
    with pytest.raises(ValueError, match="tells no types by a closer look"):
        NCA(8, 8, 1).tell(torch.zeros(1, 4, 4, 8))


def test_types_that_are_not_shown_keep_their_say(fields):
    _, first = planted.run(nca_wss.train(fields, TINY))
    shown = [replace(s, names=tuple("neutrophil" if n != "none" else n for n in s.names))
             for s in fields]  # fmt: skip
    _, second = planted.run(nca_wss.train(shown, replace(TINY, epochs=0), init=first))
    for name in ("types.weight", "types.bias"):
        np.testing.assert_array_equal(first.weights[name], second.weights[name], err_msg=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"closer": 0.5}, r"closer is 0\.5; expected 0, or a number in 1-2"),
        ({"type_windows": 0}, "type_windows is 0, so that no types could be told closer"),
        ({"epochs": 0}, "0 epochs train nothing; give a model to start from"),
    ],
)
def test_what_would_learn_nothing_is_refused(fields, changes, message):
    with pytest.raises(ValueError, match=message):
        planted.run(nca_wss.train(fields, replace(TINY, **changes)))


def test_a_classifier_that_would_stay_as_it_was_drawn_is_refused(fields):
    _, first = planted.run(nca_wss.train(fields, TINY))
    other = replace(TINY, epochs=0, pooling="parts")
    with pytest.raises(ValueError, match="pools its features in another way"):
        planted.run(nca_wss.train(fields, other, init=first))


def test_types_need_cells_of_known_type(fields):
    _, first = planted.run(nca_wss.train(fields, replace(TINY, closer=0.0)))
    untyped = [replace(s, names=tuple("wbc" if n != "none" else n for n in s.names))
               for s in fields]  # fmt: skip
    with pytest.raises(ValueError, match="no cell of known type is left"):
        planted.run(nca_wss.train(untyped, replace(TINY, epochs=0), init=first))


def test_the_batch_does_not_matter():
    checkpoint = closer(planted.checkpoint(), 0)
    checkpoint.weights["types.weight"][:] = np.random.default_rng(0).normal(size=(2, 8))
    (_, first), (_, second) = (told(checkpoint, batch_size=batch) for batch in (2, 16))
    names = [f"p_{name}" for name in checkpoint.classes]
    np.testing.assert_array_equal(first.cells[names], second.cells[names])


def test_a_crop_smaller_than_the_closer_window():
    image = Image(planted.smear((14, 14), shape=(28, 28), radius=10))
    params = NcaParams(diameter=20, locate="whole", device="cpu", maps=True)
    steps = nca_wss.predict(image, closer(planted.checkpoint(), 1), params)
    _, found = planted.run(steps)
    assert list(found.cells["class"]) == ["lymphocyte"]
    assert all(values.shape == (28, 28) for values in found.maps.values())
