from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest
import torch
from monai.losses import FocalLoss

from napari_wbc_nca.methods.nca.fit import fit_classifier, focal_loss, readout_loss
from napari_wbc_nca.methods.nca.params import NcaTrainParams
from napari_wbc_nca.methods.nca.samples import CYTOPLASM, IGNORED, NUCLEUS, OUTSIDE, WindowBatch
from napari_wbc_nca.models.nca import NCA

LOGITS = torch.from_numpy(np.random.default_rng(0).normal(0, 2, (7, 4)))
SETS = [[True, True, False, False], [False, False, False, True], [True, True, True, True]]


def single(classes):
    return torch.nn.functional.one_hot(torch.tensor(classes), 4).bool()


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 3.5])
def test_single_classes_give_monais_focal_loss(gamma):
    allowed = single([0, 1, 2, 3, 3, 0, 1])
    each = FocalLoss(gamma=gamma, use_softmax=True, reduction="none")(LOGITS, allowed.double())
    expected = float(each.sum() / 7)
    assert focal_loss(LOGITS, allowed, gamma).item() == pytest.approx(expected, rel=1e-5)


def test_gamma_zero_is_cross_entropy():
    classes = [3, 1, 2, 0, 3, 0, 1]
    expected = torch.nn.functional.cross_entropy(LOGITS, torch.tensor(classes))
    torch.testing.assert_close(focal_loss(LOGITS, single(classes), 0.0), expected)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_several_classes_count_by_their_sum(gamma):
    total = 0.0
    for logits, allowed in zip(LOGITS.numpy(), SETS, strict=False):
        shares = np.exp(logits) / np.exp(logits).sum()
        p = sum(share for share, may in zip(shares, allowed, strict=True) if may)
        total += -((1 - p) ** gamma) * np.log(p)
    found = focal_loss(LOGITS[:3], torch.tensor(SETS), gamma)
    assert float(found) == pytest.approx(total / 3, abs=1e-9)


def test_windows_without_a_set_are_left_out():
    allowed = single([0, 1, 2, 3, 3, 0, 1])
    fewer = allowed.clone()
    fewer[2:] = False
    expected = focal_loss(LOGITS[:2], allowed[:2], 2.0)
    torch.testing.assert_close(focal_loss(LOGITS, fewer, 2.0), expected)


def test_no_set_at_all_teaches_nothing():
    logits = LOGITS.clone().requires_grad_()
    loss = focal_loss(logits, torch.zeros(7, 4, dtype=torch.bool), 2.0)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_a_certain_answer_has_a_finite_gradient():
    logits = torch.tensor([[80.0, -80, -80], [80, 80, -80]], requires_grad=True)
    focal_loss(logits, torch.tensor([[True, True, False]] * 2), 2.0).backward()
    assert torch.isfinite(logits.grad).all()


def some_target():
    target = torch.full((2, 5, 6), OUTSIDE, dtype=torch.uint8)
    target[:, 1:4, 1:4], target[:, 2, 2] = CYTOPLASM, NUCLEUS
    target[0, :, 5], target[1, 1, 1] = IGNORED, IGNORED
    return target


def test_readout_loss_is_the_formula():
    target = some_target()
    readout = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 5, 6, 2)))
    entropy, dice = 0.0, 0.0
    for part, inside in enumerate(([CYTOPLASM, NUCLEUS], [NUCLEUS])):
        p = 1 / (1 + np.exp(-readout[..., part].numpy()))
        wanted = np.isin(target.numpy(), inside)
        known = target.numpy() != IGNORED
        weight = known * np.where(target.numpy() == CYTOPLASM, 3, 1)
        entropy -= (np.where(wanted, np.log(p), np.log(1 - p)) * weight).sum()
        shared = (p * wanted * known).sum()
        dice += 1 - (2 * shared + 1) / ((p * known).sum() + (wanted & known).sum() + 1)
    expected = entropy / readout.numel() + 0.3 * dice / 2
    assert float(readout_loss(readout, target)) == pytest.approx(expected)


def test_readout_loss_does_not_see_ignored_pixels():
    target = some_target()
    readout = torch.zeros(2, 5, 6, 2, requires_grad=True)
    readout_loss(readout, target).backward()
    assert not readout.grad[target == IGNORED].any()
    assert (readout.grad[target != IGNORED] != 0).all()


PARAMS = NcaTrainParams(classifier_fit_windows=128, batch_size=32, focal_gamma=0.0)


class Stained:
    """Windows whose colour is their class."""

    def draw(self, count, random):
        names = torch.from_numpy(random.integers(0, 3, count))
        images = torch.zeros(count, 3, 8, 8)
        images[torch.arange(count), names] = 1
        return WindowBatch(images, torch.zeros(count, 8, 8), torch.eye(3, dtype=torch.bool)[names])


def network():
    torch.manual_seed(0)
    return NCA(8, 8, 2, classes=3, head=16).eval()


def test_the_classifier_learns_and_the_automaton_stays():
    learnt, before = network(), network().state_dict()
    planted.run(fit_classifier(learnt, Stained(), PARAMS))
    batch = Stained().draw(64, np.random.default_rng(9))
    found = learnt(batch.images).argmax(1)
    assert batch.allowed[torch.arange(64), found].float().mean() > 0.95
    for name, value in learnt.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith(("fc2", "fc3")), name


def test_one_seed_gives_one_classifier():
    first, second = network(), network()
    for one in (first, second):
        torch.manual_seed(3)
        planted.run(fit_classifier(one, Stained(), replace(PARAMS, seed=3)))
    assert torch.equal(first.fc2.weight, second.fc2.weight)
