"""The bundled model of smears on the bundled smears."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from napari_wbc_nca.datasets.samples import read_rgb
from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.images import sample_path
from napari_wbc_nca.types import Image
from napari_wbc_nca.workflow.segment import segment

WBC, RBC = 1, 2


class Seen(NamedTuple):
    """What a person sees in a smear; positions are (y, x)."""

    name: str
    white: tuple[int, int]
    radius: int
    red: tuple[tuple[int, int], ...]
    empty: tuple[tuple[int, int], ...]


SMEARS = (
    Seen(
        "smear-1",
        (193, 283),
        97,
        ((60, 130), (420, 88), (255, 585), (420, 570), (340, 220)),
        ((200, 500), (30, 350), (440, 190), (230, 40)),
    ),
    Seen(
        "smear-2",
        (285, 300),
        115,
        ((50, 370), (150, 510), (430, 120), (380, 470), (540, 40)),
        ((100, 200), (500, 400), (300, 480), (20, 250)),
    ),
)


def test_it_knows_white_and_red_cells():
    model = model_store.resolve("smear-mix")
    assert (model.method, model.classes) == ("cellmixer", ("background", "wbc", "rbc"))
    assert model.card["scale"] == "cells"


@pytest.mark.parametrize("seen", SMEARS, ids=lambda seen: seen.name)
def test_it_finds_what_a_person_sees_at_a_scale_of_its_own(seen):
    rgb = read_rgb(sample_path(seen.name))
    found = segment(Image(rgb), model_store.resolve("smear-mix"), device="cpu")
    classes = np.asarray(found.labels["class"])
    y, x = np.ogrid[: rgb.shape[0], : rgb.shape[1]]
    white = np.hypot(y - seen.white[0], x - seen.white[1]) < seen.radius
    own = classes == WBC
    assert (own & white).sum() / (own | white).sum() > 0.8
    assert {int(classes[place]) for place in seen.red} == {RBC}
    assert {int(classes[place]) for place in seen.empty} == {0}
    assert found.cells["class"].tolist().count("wbc") == 1
