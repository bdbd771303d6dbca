from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import discs
import numpy as np
import planted
import pytest

from napari_wbc_nca.cell_types import CELL_TO_BOX, RED_TO_WHITE_DIAMETER
from napari_wbc_nca.datasets.samples import Sample
from napari_wbc_nca.methods.propagation.params import PropagationTrainParams
from napari_wbc_nca.methods.propagation.samples import (
    classes_of,
    labelled_classes,
    mean_squares,
    prepare,
    sample_factor,
    scale_is_known,
    targets,
)

NAMES = ("wbc", "rbc")
PARAMS = PropagationTrainParams(diameter=24, sigma=3, patch_size=64)


def points(*places, names=("cell",), source="points"):
    boxes = planted.array([(*place, *place) for place in places])
    return Sample(Path("p.png"), boxes, tuple(names) * len(places), source=source)


def test_kinds_are_those_labelled_white_first():
    made = [*discs.samples(2), points((1, 2)), points((1, 2), names=("Platelets",))]
    assert classes_of(made) == ("wbc", "rbc", "platelet", "cell")


def test_nothing_labelled_is_refused():
    empty = Sample(Path("a.png"), planted.array([]), ())
    with pytest.raises(ValueError, match="no cell is labelled in any picture"):
        classes_of([empty, points((1, 2), names=("none",))])


def test_centres_are_where_the_cells_are_at_any_scale():
    (large,) = discs.samples(1, scale=2.0)
    field = prepare(large, NAMES, NAMES, PARAMS, oversampling=1.5)
    red = (
        2 * 2 * discs.RED * CELL_TO_BOX / RED_TO_WHITE_DIAMETER
    )  # what the red cells say a white one's diameter is
    factor = red / 24 / 1.5
    assert field.shape == pytest.approx(np.asarray(large.pixels.shape[:2]) / factor, abs=1)
    dark = (field.pixels[0] > 0.3).numpy()  # red light is absorbed by white cells alone
    assert np.argwhere(dark).mean(0) == pytest.approx(field.centres[0][0], abs=0.6)
    assert field.sides[0][0] == pytest.approx(4 * discs.WHITE / factor)
    assert len(field.centres[1]) == 5


def test_a_point_is_the_middle_of_a_pixel():
    white = np.full((20, 20, 3), 230, np.uint8)
    sample = replace(points((7, 3)), pixels=white)
    field = prepare(sample, ("cell",), ("cell",), PARAMS)
    assert field.centres[0].tolist() == [[7, 3]]


def test_a_source_teaches_the_kinds_that_it_labels():
    made = [
        *discs.samples(1),
        replace(points((5, 5), names=("wbc",)), pixels=discs.samples(1)[0].pixels),
    ]
    labelled = labelled_classes(made)
    fields = [prepare(sample, NAMES, labelled[sample.source], PARAMS) for sample in made]
    assert [field.labelled.tolist() for field in fields] == [[True, True], [True, False]]


@pytest.mark.parametrize(
    ("boxes", "kinds", "expected"),
    [
        ([(10, 10, 30, 30)], ("wbc",), 20 * CELL_TO_BOX),
        ([(0, 10, 10, 30)], ("wbc",), 20 * CELL_TO_BOX),  # cut by the border
        (
            [(10, 10, 20, 20)] * 4 + [(30, 30, 90, 90)],
            ("rbc",) * 4 + ("wbc",),
            10 * CELL_TO_BOX / RED_TO_WHITE_DIAMETER,
        ),
        ([(10, 10, 20, 20)], ("hela",), 10 * CELL_TO_BOX),
        ([(5, 5, 5, 5)], ("wbc",), 24),  # a point: the picture keeps its scale
    ],
)
def test_what_tells_the_scale(boxes, kinds, expected):
    sample = Sample(Path("a.png"), planted.array(boxes), kinds)
    assert sample_factor(sample, (100, 100), 24) == pytest.approx(expected / 24)


def test_a_scale_that_is_known_wins():
    sample = replace(points((5, 5)), diameter=48)
    assert sample_factor(sample, (100, 100), 24) == 2
    assert sample_factor(sample, (100, 100), 0) == 1
    assert scale_is_known([sample], 24)
    assert not scale_is_known([sample], 0)
    assert not scale_is_known([points((5, 5))], 24)


def test_shares_are_the_mean_squares_of_the_targets():
    fields = [prepare(sample, NAMES, NAMES, PARAMS) for sample in discs.samples(2)]
    drawn = np.stack([targets(f.shape, f.centres, 3).numpy() for f in fields])
    assert mean_squares(fields, 3) == pytest.approx((drawn**2).mean((0, 2, 3)), rel=0.05)
