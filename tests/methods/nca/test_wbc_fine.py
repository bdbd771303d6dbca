"""The bundled classifier on cells that did not train it."""

from __future__ import annotations

import csv

import numpy as np
import planted

from napari_wbc_nca.cell_types import FINE, NONE, TYPES
from napari_wbc_nca.datasets.samples import read_rgb
from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.field import BRIGHTNESS, Field
from napari_wbc_nca.methods.nca.classifier import load_classifier
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.progress import Progress
from napari_wbc_nca.types import Cell

HELD_OUT = 2000  # cells of `pbc`, drawn with seed 7, that train nothing
PER_TYPE = 5


def held_out(data):
    """File and box (y, x, height, width, relative) of a few cells of each of the five types."""
    with (data / "pbc" / "classes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    left = dict.fromkeys(TYPES, PER_TYPE)
    for number in np.random.default_rng(7).permutation(len(rows))[:HELD_OUT].tolist():
        row = rows[number]
        name = row["class"].partition("_")[0]
        if row["cx"] and left.get(name):
            left[name] -= 1
            yield data / "pbc" / row["file"], name, [float(row[key]) for key in "cy cx h w".split()]


def boxed(shape, box):
    """Cell that fills a box."""
    height, width = (max(1, round(side * size)) for side, size in zip(box[2:], shape, strict=True))
    centre = tuple(round(at * size) for at, size in zip(box[:2], shape, strict=True))
    mask = np.ones((height, width), bool)
    origin = (centre[0] - height // 2, centre[1] - width // 2)
    return Cell(centre, origin, mask, mask, mask.astype(np.float32), NONE, {NONE: 1.0}, 0.0)


def test_it_names_cells_that_did_not_train_it(real_data):
    right = []
    for path, name, box in held_out(real_data):
        rgb = read_rgb(path)
        field, params = Field(rgb, 1, BRIGHTNESS), NcaParams(device="cpu")
        classifier = load_classifier(model_store.resolve("wbc-fine"), params, field)
        assert classifier is not None
        (cell,) = planted.run(classifier.classify([boxed(rgb.shape[:2], box)], Progress(0, 1)))[1]
        right.append(cell.label_class == name)
    assert len(right) == PER_TYPE * len(TYPES)
    assert sum(right) >= 21


def test_its_card_says_what_it_knows():
    model = model_store.resolve("wbc-fine")
    assert model.classes == FINE
    assert model_store.finder_of(model).name == "wbc-smear"
    assert 0.2 < model.card["unsure_threshold"] < 1
    assert "blasts" in model.card["never_seen"]
