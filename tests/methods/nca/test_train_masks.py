"""Masks that somebody drew, in the training of an automaton."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest

from napari_wbc_nca.datasets.masks import sample_from_masks
from napari_wbc_nca.datasets.samples import Masks, without_cut_cells
from napari_wbc_nca.methods.nca.params import NcaTrainParams
from napari_wbc_nca.methods.nca.train import train_wss

PARAMS = NcaTrainParams(
    channels=6,
    hidden=8,
    steps=2,
    window=24,
    diameter=12.0,
    device="cpu",
    epochs=1,
    samples_per_epoch=8,
    batch_size=4,
    validation_share=0.3,
    learning_rate=0.0,
)


@pytest.fixture(scope="module")
def drawn(fields):
    """The fields with masks of the discs that their boxes hold."""
    made = []
    for sample in fields:
        shape = (76, 80)
        cell = np.zeros(shape, np.uint8)
        for number, box in enumerate(sample.boxes, start=1):
            middle, radius = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).min() / 2
            cell[planted.disc(shape, middle, radius)] = number
        classes = dict(enumerate(sample.kinds, start=1))
        found = sample_from_masks(sample.path, Masks(cell, ()), classes, shape)
        made.append(replace(found, group=sample.group, source="drawn"))
    return made


def epochs_of(yielded):
    return [progress.values for progress in yielded if progress.values]


def test_fitting_the_readout_alone_halves_the_loss_of_pixels(drawn):
    before, _ = planted.run(train_wss(drawn, PARAMS))
    after, _ = planted.run(train_wss(drawn, replace(PARAMS, readout_fit_windows=32)))
    assert epochs_of(after)[0]["readout_loss"] < epochs_of(before)[0]["readout_loss"] / 2
    assert "Fitting the readout" in {progress.message for progress in after}


def test_projections_are_compared_on_masks_that_were_held_out(drawn):
    params = replace(PARAMS, readout_fit_windows=32, projection="best")
    _, first = planted.run(train_wss(drawn, params))
    held = first.card["held_out"]
    assert 0 < held["cells"] < sum(len(s.names) for s in drawn)
    assert first.card["projection"] == max(("grown", "centre"), key=held["cell_iou"].get)
    _, second = planted.run(train_wss(drawn, params, init=first))
    assert second.card["held_out"]["cell_iou"]["parent"] == pytest.approx(
        held["cell_iou"][first.card["projection"]]
    )


def test_without_masks_the_model_keeps_the_usual_projection(fields):
    _, trained = planted.run(train_wss(fields, replace(PARAMS, projection="best")))
    assert (trained.card["projection"], trained.card["held_out"]["cells"]) == ("grown", 0)


def test_cells_that_the_border_cuts_teach_nothing(drawn):
    sample = drawn[0]
    boxes = sample.boxes.copy()
    boxes[0, 0] = 0
    cut = without_cut_cells(replace(sample, boxes=boxes))
    assert cut.names == sample.names[1:]
    assert cut.kinds == sample.kinds[1:]
    assert cut.masks.labels == sample.masks.labels[1:]
    assert cut.ignored.tolist() == [boxes[0].tolist()]
    assert without_cut_cells(sample).names == sample.names


def test_pictures_without_any_cell_are_refused(fields):
    empty = [replace(s, boxes=s.boxes[:0], names=(), kinds=()) for s in fields]
    with pytest.raises(ValueError, match="no white blood cell is labelled in 8 pictures; label"):
        planted.run(train_wss(empty, PARAMS))
