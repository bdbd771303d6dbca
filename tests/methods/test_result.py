from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import dask.array
import numpy as np
import planted

from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.methods.result import collect
from napari_wbc_nca.methods.scale import Scale
from napari_wbc_nca.types import Candidate, Cell, Image

CHECKPOINT = planted.checkpoint()
PARAMS = NcaParams(device="cpu")
SHAPE = (40, 50)
IMAGE = Image(np.zeros((*SHAPE, 3), np.uint8))
LAZY = Image(dask.array.zeros((*SHAPE, 3), np.uint8, chunks=20))


def cell(y, x, **changes):
    """Square cell of 7 pixels at ``(y, x)`` with a nucleus of 3."""
    mask, nucleus = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    mask[1:8, 1:8], nucleus[3:6, 3:6] = True, True
    probabilities = {"neutrophil": 0.7, "lymphocyte": 0.2, "none": 0.1}
    made = Cell(
        centre=(y, x),
        origin=(y - 4, x - 4),
        mask=mask,
        nucleus=nucleus,
        response=mask * np.float32(0.9),
        label_class="neutrophil",
        probabilities=probabilities,
        confidence=0.6,
    )
    return replace(made, **changes)


def test_cells_are_numbered_in_raster_order():
    found = collect([cell(30, 10), cell(8, 40), cell(8, 10)], IMAGE, CHECKPOINT, PARAMS)
    assert [int(found.labels["cell"][y, x]) for y, x in ((8, 10), (8, 40), (30, 10))] == [1, 2, 3]
    assert found.cells["label"].tolist() == [1, 2, 3]
    assert found.labels["nucleus"][8, 10] == 1
    assert found.labels["nucleus"][8, 13] == 0
    assert found.provenance == {"cells": 3, "complete": True}


def test_the_diameter_that_was_used_is_kept_exactly():
    scale = Scale(24.12345, "the boxes")
    assert collect([], IMAGE, CHECKPOINT, PARAMS, scale).provenance["diameter"] == 24.12345


def test_a_pixel_size_given_wins_over_the_images_own():
    image = replace(IMAGE, pixel_size=0.5)
    areas = [
        collect([cell(8, 10)], image, CHECKPOINT, params).cells["area_um2"][0]
        for params in (PARAMS, replace(PARAMS, pixel_size=2.0))
    ]
    assert areas == [49 * 0.25, 49 * 4]
    unknown = collect([cell(8, 10)], IMAGE, CHECKPOINT, PARAMS)
    assert np.isnan(unknown.cells["area_um2"][0])


def test_labels_of_a_lazy_image_lie_on_disk():
    lazy = collect([cell(8, 10), cell(30, 40)], LAZY, CHECKPOINT, PARAMS)
    numpy = collect([cell(8, 10), cell(30, 40)], IMAGE, CHECKPOINT, PARAMS)
    for name, array in lazy.labels.items():
        assert not isinstance(array, np.ndarray)
        np.testing.assert_array_equal(array[:], numpy.labels[name])


def test_the_folder_of_lazy_labels_goes_with_them():
    found = collect([cell(8, 10)], LAZY, CHECKPOINT, PARAMS)
    folders = [Path(array.store.root) for array in found.labels.values()]
    assert all(folder.is_dir() for folder in folders)
    del found
    gc.collect()
    assert not any(folder.exists() for folder in folders)


def test_maps_lie_where_their_cells_do():
    own = {"1: channel 4, relevance +0.50": np.full((9, 9), 0.3, np.float32)}
    params = replace(PARAMS, maps=True)
    maps = collect([cell(8, 10, maps=own), cell(30, 40)], IMAGE, CHECKPOINT, params).maps
    assert list(maps) == ["response", "cell 1 1: channel 4, relevance +0.50"]
    assert maps["response"][8, 10] == maps["response"][30, 40] == np.float32(0.9)
    assert maps["response"][20, 25] == 0
    channel = maps["cell 1 1: channel 4, relevance +0.50"]
    assert channel[8, 10] == np.float32(0.3)
    assert np.count_nonzero(channel) == 49


def test_no_maps_unless_asked_for():
    assert collect([cell(8, 10)], IMAGE, CHECKPOINT, PARAMS).maps == {}


def test_of_places_near_each_other_the_best_is_listed_and_none_on_a_cell():
    places = [
        Candidate(8, 11, 0.9, "on a cell"),
        Candidate(30, 12, 0.3, "near a better one"),
        Candidate(32, 10, 0.4, "better"),
        Candidate(5, 40, 0.2, "alone"),
        Candidate(-3, 80, 0.1, "outside"),
    ]
    found = collect(
        [cell(8, 10)], IMAGE, CHECKPOINT, PARAMS, Scale(12, "the boxes"), candidates=places
    )
    listed = [place["reason"] for place in found.provenance["likely_missed"]]
    assert listed == ["better", "alone", "outside"]
