from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest
import torch

from napari_wbc_nca.methods.field import Field
from napari_wbc_nca.methods.nca.cells import CellSegmenter
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.models.build import load_network

CHECKPOINT = planted.checkpoint()
PARAMS = NcaParams(device="cpu", locate="points")


def cells(field, *centres, checkpoint=CHECKPOINT, **changes):
    """Cells at `centres`, image pixels, of a field whose model pixels are two wide."""
    view = Field(field, 2.0, checkpoint.normalisation)
    network = load_network(checkpoint, "cpu")
    segmenter = CellSegmenter(network, checkpoint, replace(PARAMS, **changes), view)
    return planted.run(segmenter.segment([(y / 2 - 0.5, x / 2 - 0.5) for y, x in centres]))[1][0]


def full(cell, shape):
    """Mask of a cell in its image."""
    mask = np.zeros(shape, bool)
    y, x = cell.origin
    mask[y : y + cell.mask.shape[0], x : x + cell.mask.shape[1]] = cell.mask
    return mask


def test_a_cell_lies_where_its_image_shows_it():
    (cell,) = cells(planted.smear((50, 70)), (50, 70))
    assert cell.centre == (49.5, 69.5)
    disc = planted.disc((120, 160), (50, 70), 12)
    mask = full(cell, (120, 160))
    assert (mask & disc).sum() / (mask | disc).sum() > 0.75
    assert not (cell.nucleus & ~cell.mask).any()
    assert cell.response.shape == cell.mask.shape == cell.nucleus.shape
    assert 0 <= cell.response.min() <= cell.response.max() <= 1


def test_probabilities_are_those_of_the_classes():
    (cell,) = cells(planted.smear((50, 70)), (50, 70))
    assert tuple(cell.probabilities) == planted.CLASSES
    assert sum(cell.probabilities.values()) == pytest.approx(1)
    assert cell.label_class == "neutrophil"
    assert 0 < cell.confidence <= cell.probabilities["neutrophil"]


def test_a_published_model_gives_each_class_its_sigmoid():
    sigmoid = replace(CHECKPOINT, card={"projection": "centre", "activation": "sigmoid"})
    field = planted.smear((50, 70))
    found, plain = (
        cells(field, (50, 70), checkpoint=c, tta_rotations=1)[0] for c in (sigmoid, CHECKPOINT)
    )
    p, q = (np.asarray(list(c.probabilities.values())) for c in (found, plain))
    odds = p / (1 - p)
    np.testing.assert_allclose(odds / odds.sum(), q, rtol=1e-5)


def test_types_are_the_mean_of_turned_looks():
    field = planted.smear((50, 70), red=((30, 60),))
    view, network = Field(field, 2.0, CHECKPOINT.normalisation), load_network(CHECKPOINT, "cpu")
    part = view.window((24.5, 34.5), CHECKPOINT.window)
    origin = torch.tensor([[part[0].start, part[1].start]])
    looks = []
    for k in range(4):
        turned = np.rot90(view.read(part).numpy(), k, (1, 2)).copy()
        state = network.rollout(torch.from_numpy(turned)[None], PARAMS.seed, origin)
        looks.append(network.classify(state)[0].softmax(0).tolist())
    for turns in (1, 4):
        (cell,) = cells(field, (50, 70), tta_rotations=turns)
        expected = np.mean(looks[:turns], axis=0)
        np.testing.assert_allclose(list(cell.probabilities.values()), expected, rtol=1e-5)
    assert np.ptp(looks, axis=0).max() > 5e-5


def test_only_what_was_looked_for_may_turn_out_to_be_none():
    field = planted.smear((50, 70), red=((30, 120),))
    assert len(cells(field, (30, 120), locate="evidence")) == 0
    assert len(cells(field, (50, 70), locate="evidence")) == 1
    for cell in cells(field, (30, 120)):
        assert cell.label_class != "none"


def test_touching_cells_are_parted_between_their_centres():
    field = planted.smear((50, 60), (50, 80))
    left, right = (full(c, (120, 160)) for c in cells(field, (50, 60), (50, 80)))
    assert not (left & right).any()
    assert left[:, :70].sum() > 0.8 * left.sum()
    assert right[:, 70:].sum() > 0.8 * right.sum()


def test_cells_do_not_depend_on_their_batch():
    centres = [(50, 60), (90, 100), (30, 130)]
    field = planted.smear(*centres)
    for one, many in zip(
        cells(field, *centres, batch_size=2), cells(field, *centres, batch_size=16), strict=True
    ):
        np.testing.assert_array_equal(one.mask, many.mask)
        np.testing.assert_array_equal(one.response, many.response)
        assert one.probabilities == many.probabilities


@pytest.mark.parametrize("turns", [1, 4])
def test_progress_never_falls_back_and_follows_the_looks(turns):
    centres = [(50, 60), (90, 100), (30, 130), (60, 30)]
    view = Field(planted.smear(*centres), 2.0, CHECKPOINT.normalisation)
    params = replace(PARAMS, batch_size=2, tta_rotations=turns)
    segmenter = CellSegmenter(load_network(CHECKPOINT, "cpu"), CHECKPOINT, params, view)
    yielded, _ = planted.run(segmenter.segment([(y / 2 - 0.5, x / 2 - 0.5) for y, x in centres]))
    shares = planted.shares(yielded, "Segmenting cells")
    assert shares == sorted(shares)
    assert shares[-1] == 1
    # Also between the batches, which end at a half: a batch of two is half done after two looks.
    assert turns == 1 or {0.25, 0.75} <= set(shares)


def test_nothing_is_finished_without_centres():
    assert cells(planted.smear()) == []


def test_agreement_is_the_share_of_rotations_that_name_the_type():
    field = planted.smear((50, 70), red=((30, 60),))
    view, network = Field(field, 2.0, CHECKPOINT.normalisation), load_network(CHECKPOINT, "cpu")
    # Between two types, so that the rotations do not all agree.
    network.fc3.bias[:2] = torch.tensor([-1.0, -1.0])
    network.fc3.weight[1] = network.fc3.weight[0] + 0.05 * torch.randn(4)
    segmenter = CellSegmenter(network, CHECKPOINT, PARAMS, view)
    ((cell,), _, _) = planted.run(segmenter.segment([(24.5, 34.5)]))[1]
    part = view.window((24.5, 34.5), CHECKPOINT.window)
    origin = torch.tensor([[part[0].start, part[1].start]])
    named = []
    for k in range(4):
        turned = np.rot90(view.read(part).numpy(), k, (1, 2)).copy()
        state = network.rollout(torch.from_numpy(turned)[None], PARAMS.seed, origin)
        named.append(CHECKPOINT.classes[int(network.classify(state)[0][:2].argmax())])
    expected = np.mean([name == cell.label_class for name in named])
    assert cell.measures["rotation_agreement"] == expected


def test_further_seeds_rate_the_doubt_and_change_nothing_else():
    field = planted.smear((50, 70), (90, 100))
    plain = cells(field, (50, 70), (90, 100))
    tried = cells(field, (50, 70), (90, 100), agreement_seeds=2)
    for before, after in zip(plain, tried, strict=True):
        np.testing.assert_array_equal(before.mask, after.mask)
        assert before.probabilities == after.probabilities
        assert "seed_agreement" not in before.measures
        assert after.measures["seed_agreement"] in (0, 0.5, 1)
    (alone,) = cells(field, (50, 70), tta_rotations=1)
    assert "rotation_agreement" not in alone.measures


def test_a_pale_cell_has_a_fainter_outline():
    dark = planted.smear((50, 70))
    pale = (235 - (235 - dark.astype(float)) * 0.5).astype(np.uint8)
    pale[planted.disc(dark.shape[:2], (50, 70), 20)] -= 25  # plasma around it
    contrasts = [cells(field, (50, 70))[0].measures["contrast"] for field in (dark, pale)]
    assert 1 >= contrasts[0] > contrasts[1] + 0.1 > 0.1
