"""Cells that somebody drew: their pixels teach, not what the foreground would make of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_wbc_nca.datasets.masks import sample_from_masks
from napari_wbc_nca.datasets.samples import Masks
from napari_wbc_nca.methods.cellmixer.crops import Cropper
from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams
from napari_wbc_nca.methods.cellmixer.samples import prepare
from napari_wbc_nca.methods.cellmixer.train import train
from napari_wbc_nca.ops.mixing import IGNORED
from napari_wbc_nca.progress import run_to_end

SHAPE, SIDE = (120, 140), 32
CLASSES = ("background", "wbc", "rbc")
PARAMS = CellmixerTrainParams(
    response="contrast", smooth=0.7, erode=1, normalisation="absorptance", crop_size=SIDE
)
WHITE, PLATELET, RED = (60, 70), (15, 120), ((20, 20), (30, 90), (100, 30), (68, 90))


def disk(centre, radius):
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot(y + 0.5 - centre[0], x + 0.5 - centre[1]) < radius


@pytest.fixture
def field():
    """A smear in which the drawn outlines are wider than what is stained."""
    pixels = np.full((*SHAPE, 3), 230, np.uint8)
    cell, ignore, classes = np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, np.uint8), {}
    cells = [(WHITE, 16, "wbc"), (PLATELET, 4, "platelet"), *((c, 8, "rbc") for c in RED)]
    for label, (centre, radius, kind) in enumerate(cells, start=3):
        pixels[disk(centre, radius - 3)] = (150, 110, 170)
        cell[disk(centre, radius)] = label
        classes[label] = kind
    pixels[100:110, 100:110] = 120  # debris that the foreground takes for a cell
    ignore[:, :10] = 1
    return sample_from_masks(Path("a"), Masks(cell, (), ignore=ignore), classes, SHAPE, pixels)


def truth(sample):
    """What each pixel of the field teaches, pixel by pixel."""
    found = np.zeros(SHAPE, np.uint8)
    kinds = dict(zip(sample.masks.labels, sample.kinds, strict=True))
    for y, x in np.ndindex(*SHAPE):
        label = sample.masks.cell[y, x]
        found[y, x] = {"wbc": 1, "rbc": 2}.get(kinds[label], IGNORED) if label else 0
        if sample.masks.ignore[y, x]:
            found[y, x] = IGNORED
    return found


def test_what_was_drawn_is_learnt_and_what_nobody_reviewed_is_not(field):
    pictures = run_to_end(prepare([field], PARAMS, CLASSES, SIDE))
    (all_of_it,) = (picture for picture in pictures if picture.number == 2)
    np.testing.assert_array_equal(all_of_it.mask, truth(field))
    (crop,) = (picture for picture in pictures if picture.number == 1)
    assert crop.mask.shape == (48, 48)
    np.testing.assert_array_equal(crop.mask, truth(field)[36:84, 46:94])
    assert {1, 2} < set(np.unique(crop.mask))  # the red cell beside it keeps its class


def test_labels_are_those_in_the_middle_of_each_model_pixel(field):
    numbers = {name: n for n, name in enumerate(CLASSES)}
    cropper = Cropper(field, numbers, "rbc", 3.0, SIDE)
    found = cropper.mask_labels(field.masks, SHAPE, (40, 47))
    expected = truth(field)
    for y, x in np.ndindex(40, 47):
        middle = min(int((y + 0.5) * 3), 119), min(int((x + 0.5) * 3), 139)
        assert found[y, x] == expected[middle]


@pytest.mark.parametrize("drawn", [True, False])
def test_boxes_that_are_to_be_ignored_teach_nothing(field, drawn):
    part = (slice(10, 40), slice(80, 110))
    sample = replace(
        field,
        ignored=np.float32([[10, 80, 40, 110]]),
        masks=field.masks if drawn else None,
    )
    before = run_to_end(prepare([replace(sample, ignored=None)], PARAMS, CLASSES, SIDE))
    after = run_to_end(prepare([sample], PARAMS, CLASSES, SIDE))

    def red(pictures):
        return [p.mask for p in pictures if p.number == 2]

    if drawn:
        assert (red(after)[0][part] == IGNORED).all()
        assert (red(before)[0][part] == 2).any()
    ignored = [sum(int((m == IGNORED).sum()) for m in red(made)) for made in (before, after)]
    assert ignored[1] > ignored[0]


def test_drawn_cells_train(field):
    small = replace(
        PARAMS,
        network="unet",
        widths="4-8",
        epochs=1,
        samples_per_epoch=8,
        batch_size=4,
        diameter=24.0,
        validation_share=0.0,
        device="cpu",
    )
    made = run_to_end(train([field], replace(small, populations="wbc,rbc")))
    assert made.classes == CLASSES
    # 24 model pixels for a white cell of 32: the outlines that were drawn, not what is stained
    assert made.card["diameters"]["wbc"] == pytest.approx(24, abs=3)
    assert made.card["diameters"]["rbc"] == pytest.approx(12, abs=3)
