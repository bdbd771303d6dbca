from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import dask.array
import numpy as np
import planted
import pytest
import torch

import napari_wbc_nca
from napari_wbc_nca.io.images import read
from napari_wbc_nca.io.model_store import resolve
from napari_wbc_nca.methods.field import Field
from napari_wbc_nca.methods.nca import predict as prediction
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.models.build import load_network
from napari_wbc_nca.ops.response import otsu_threshold, pca_response
from napari_wbc_nca.types import Image

SAMPLE = Path(napari_wbc_nca.__file__).parent / "samples" / "smear-1.jpg"
CENTRES = [(24.0, 30.0), (30.0, 120.0), (80.0, 70.0)]
FIELD = planted.smear(*CENTRES, red=((60, 20), (20, 75), (104, 30)))
PARAMS = NcaParams(diameter=24, device="cpu")
CHECKPOINT = planted.checkpoint()


def predict(pixels=FIELD, checkpoint=CHECKPOINT, points=None, boxes=None, **changes):
    image = pixels if isinstance(pixels, Image) else Image(pixels)
    steps = prediction.predict(image, checkpoint, replace(PARAMS, **changes), points, boxes)
    return planted.run(steps)[1]


def assert_same(first, second):
    for name in ("cell", "nucleus"):
        np.testing.assert_array_equal(np.asarray(first.labels[name]), second.labels[name])
    assert first.cells.equals(second.cells)


def test_cells_of_a_field_are_found_segmented_and_typed():
    found = predict()
    assert found.cells["class"].tolist() == ["neutrophil"] * 3
    assert found.cells["label"].tolist() == [1, 2, 3]
    np.testing.assert_allclose(
        found.cells[["centroid_y", "centroid_x"]], np.asarray(CENTRES) - 0.5, atol=1
    )
    for label, centre in enumerate(CENTRES, start=1):
        cell = planted.disc(FIELD.shape[:2], centre, 12)
        mask = found.labels["cell"] == label
        assert (mask & cell).sum() / (mask | cell).sum() > 0.75
    scale = {"source": "the diameter that was given", "spread": 0}
    assert found.provenance == {"diameter": 24, "scale": scale, "cells": 3, "complete": True}


def test_both_label_images_share_their_integers():
    found = predict()
    nucleus = found.labels["nucleus"]
    assert (nucleus[nucleus > 0] == found.labels["cell"][nucleus > 0]).all()
    assert set(np.unique(nucleus)) == {0, 1, 2, 3}


@pytest.mark.parametrize("tile", [128, 256])
def test_tiles_of_a_real_smear_give_the_labels_of_the_whole(tile):
    image, bundled = read(SAMPLE), resolve("wbc-smear")
    whole = predict(image, bundled, diameter=0, tile=16_384)
    assert len(whole.cells) > 0
    assert_same(predict(image, bundled, diameter=0, tile=tile), whole)


@pytest.mark.parametrize("batch", [2, 3])
def test_batches_do_not_change_the_labels(batch):
    image = read(SAMPLE)
    points = np.random.default_rng(0).uniform(0, 400, (7, 2))
    many = predict(image, points=points, locate="points", diameter=60)
    assert_same(predict(image, points=points, locate="points", diameter=60, batch_size=batch), many)


def test_one_seed_gives_one_segmentation():
    assert_same(predict(seed=5), predict(seed=5))
    other = predict(seed=6).cells
    assert not predict(seed=5).cells["class_probability"].equals(other["class_probability"])


def test_a_lazy_image_gives_the_labels_of_the_same_array():
    lazy = dask.array.from_array(FIELD, chunks=(50, 64, 3))
    found, expected = predict(lazy, tile=128), predict(tile=128)
    assert type(found.labels["cell"]).__module__.startswith("zarr")
    assert found.labels["cell"][:].dtype == np.uint32
    for name in ("cell", "nucleus"):
        np.testing.assert_array_equal(found.labels[name][:], expected.labels[name])
    assert found.cells.equals(expected.cells)


def test_points_give_one_cell_each():
    points = np.asarray([(80, 70), (24, 30)])
    found = predict(points=points, locate="points")
    np.testing.assert_allclose(
        found.cells[["centroid_y", "centroid_x"]], [[24, 30], [80, 70]], atol=1.5
    )


def test_boxes_give_one_cell_each_and_the_scale():
    boxes = np.asarray(planted.boxes((24, 30), (80, 70), radius=13))
    found = predict(boxes=boxes, locate="boxes", diameter=0)
    assert len(found.cells) == 2
    assert found.provenance["diameter"] == pytest.approx(0.92 * 26, abs=0.01)


def test_boxes_that_are_inverted_are_refused_whatever_locates_the_cells():
    with pytest.raises(ValueError, match="a box has no height or width; expected y0 < y1"):
        predict(boxes=[[40, 40, 10, 60]], diameter=0)


def test_prompts_on_empty_background_give_no_cell_and_a_note():
    points = np.asarray([(80, 70), (100, 145), (24, 30)])
    found = predict(points=points, locate="points")
    assert len(found.cells) == 2
    assert found.provenance["notes"] == ["1 of 3 points gave no cell: they lie on empty background"]
    assert_same(found, predict(points=points[[0, 2]], locate="points"))
    boxes = planted.boxes((100, 145), radius=10)
    found = predict(boxes=np.asarray(boxes), locate="boxes")
    assert found.cells.empty
    assert found.provenance["notes"] == ["1 of 1 boxes gave no cell: they lie on empty background"]


def test_the_whole_image_is_one_cell():
    crop = planted.smear((30, 30), shape=(60, 60))
    found = predict(crop, locate="whole")
    assert len(found.cells) == 1
    cell = planted.disc((60, 60), (30, 30), 12)
    assert ((found.labels["cell"] == 1) & cell).sum() / cell.sum() > 0.9


def test_an_empty_field_has_no_rows_but_all_columns():
    found = predict(planted.smear(red=((60, 20),)))
    assert len(found.cells) == 0
    assert {"p_neutrophil", "p_none", "area_um2"} <= set(found.cells.columns)
    assert not found.labels["cell"].any()


def test_channel_order_depth_and_alpha_do_not_matter():
    expected = predict()
    alpha = np.dstack([FIELD, np.full(FIELD.shape[:2], 255, np.uint8)])
    for pixels in (alpha, np.moveaxis(FIELD, -1, 0), FIELD.astype(np.uint16) * 257):
        assert_same(predict(pixels), expected)
    scaled = predict(FIELD.astype(np.float32) / 255)
    np.testing.assert_array_equal(scaled.labels["cell"], expected.labels["cell"])


def test_a_pixel_size_gives_the_scale_and_the_areas():
    found = predict(Image(FIELD, pixel_size=0.4), diameter=0)
    assert found.provenance["diameter"] == pytest.approx(24)
    np.testing.assert_allclose(found.cells["area_um2"], found.cells["area_px"] * 0.16)


def test_finished_cells_come_with_the_progress():
    steps = prediction.predict(Image(FIELD), CHECKPOINT, replace(PARAMS, batch_size=2))
    yielded, found = planted.run(steps)
    assert [len(p.cells) for p in yielded if p.cells] == [2, 1]
    assert len(found.cells) == 3
    assert all(0 <= p.done <= p.total for p in yielded)


def test_projections_can_be_chosen():
    labels = {name: predict(projection=name).labels["cell"] for name in ("pca", "evidence")}
    assert (labels["pca"] != labels["evidence"]).any()
    np.testing.assert_array_equal(
        predict(projection="centre").labels["cell"], predict().labels["cell"]
    )
    own = replace(CHECKPOINT, card={"projection": "pca"})
    np.testing.assert_array_equal(predict(checkpoint=own).labels["cell"], labels["pca"])


def test_maps_are_named_by_cell_channel_and_relevance():
    maps = predict(maps=True).maps
    assert next(iter(maps)) == "response"
    names = [name for name in maps if name != "response"]
    assert len(names) == 3 * 3
    pattern = r"cell [123] [123]: channel [0-7], relevance [+-]\d\.\d\d"
    for name in names:
        assert re.fullmatch(pattern, name)
    first = [float(name.split()[-1]) for name in names[:3]]
    assert first == sorted(first, reverse=True)
    for values in maps.values():
        assert values.shape == FIELD.shape[:2]
        assert 0 <= values.min() <= values.max() <= 1
    assert predict().maps == {}


def test_the_channel_that_the_head_looks_at_is_the_most_relevant():
    checkpoint = planted.checkpoint("nca_max")
    steps = prediction.predict(Image(FIELD), checkpoint, replace(PARAMS, maps=True))
    names = list(planted.run(steps)[1].maps)
    # The planted head looks at the red density, and at little else.
    assert names[1].startswith("cell 1 1: channel 0, relevance +")


@pytest.mark.parametrize(
    ("locate", "given", "message"),
    [
        ("points", None, "locate is 'points', but no points were given; add points around"),
        ("boxes", np.empty((0, 4)), "locate is 'boxes', but no boxes were given; add boxes"),
        ("points", np.ones((2, 3)), r"points have shape \(2, 3\); expected \(N, 2\), y, x in pix"),
        ("points", np.ones(2), r"points have shape \(2,\); expected \(N, 2\)"),
        ("boxes", np.ones((2, 2)), r"boxes have shape \(2, 2\); expected \(N, 4\), y0, x0, y1"),
        ("points", [[5, 5], [5, 400]], r"1 of 2 points lie outside the image of \(120, 160\) \("),
        ("points", [[np.nan, 5]], "1 of 1 points lie outside"),
        ("boxes", [[200, 5, 240, 40]], "1 of 1 boxes lie outside the image"),
        ("boxes", [[5, 5, 5, 40]], "a box has no height or width; expected y0 < y1 and x0 < x1"),
    ],
)
def test_places_that_cannot_be_used_are_refused(locate, given, message):
    with pytest.raises(ValueError, match=message):
        predict(locate=locate, **{locate: given})


CROPS_ONLY = replace(CHECKPOINT, classes=("neutrophil", "lymphocyte", "monocyte"))


def test_a_model_that_knows_no_empty_place_takes_the_detectors_cells():
    found = predict(checkpoint=CROPS_ONLY, diameter=0.0)
    (note,) = found.provenance["notes"]
    assert note.startswith("planted has no class 'none' and cannot find cells by itself")
    asked = predict(checkpoint=CROPS_ONLY, diameter=found.provenance["diameter"], locate="detector")
    assert_same(found, asked)
    assert "notes" not in asked.provenance
    assert len(predict(checkpoint=CROPS_ONLY, points=CENTRES[:2], locate="points").cells) == 2


@pytest.mark.parametrize("side", [24, 60, 90])
def test_a_crop_is_as_large_as_the_window_of_a_model_trained_on_crops(side):
    crop = planted.smear((side / 2, side / 2), shape=(side, side + 1), radius=side / 4)
    found = predict(crop, CROPS_ONLY, locate="whole", diameter=0.0)
    assert found.provenance["diameter"] == pytest.approx(12 * side / 24)
    assert len(found.cells) == 1


def test_the_plain_mask_of_a_crop_is_that_of_its_states():
    crop = planted.smear((24, 24), (43, 5), shape=(48, 48), radius=9)
    found = predict(crop, locate="whole", diameter=24, pca=True)
    network = load_network(CHECKPOINT, "cpu")
    image = Field(crop, 2, CHECKPOINT.normalisation).read((range(24), range(24)))
    with torch.inference_mode():
        state = network.rollout(image[None], seed=0)[0].numpy()
    response = pca_response(state)
    plain = np.kron(response > otsu_threshold(response), np.ones((2, 2), bool))
    np.testing.assert_array_equal(found.labels["pca"] > 0, plain)
    assert (plain & (found.labels["cell"] == 0)).any()  # no piece is chosen


def test_plain_masks_of_a_field_hold_the_integers_of_its_cells():
    found = predict(pca=True)
    assert set(np.unique(found.labels["pca"])) == {0, 1, 2, 3}
    assert "pca" not in predict().labels
    assert not found.maps
    shown = predict(checkpoint=replace(CHECKPOINT, card={"projection": "centre", "pca": True}))
    np.testing.assert_array_equal(shown.labels["pca"], found.labels["pca"])


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((3, 40, 50, 3), np.uint8), np.full((40, 50, 3), np.nan), np.zeros((0, 5, 3))],
)
def test_images_that_cannot_be_used_are_refused(pixels):
    with pytest.raises(ValueError, match="image"):
        predict(pixels)


def test_places_where_a_cell_was_nearly_found_are_kept():
    field = FIELD.copy()
    small = planted.disc(FIELD.shape[:2], (100, 140), 5)
    field[small] = planted.NUCLEUS
    found = predict(field)
    assert len(found.cells) == 3
    (place,) = found.provenance["likely_missed"]
    assert np.hypot(place["y"] - 100, place["x"] - 140) < 4
    assert 0 < place["score"] <= 1
    assert place["reason"]
    assert "likely_missed" not in predict().provenance
    points = np.asarray([(100, 140)])
    assert "likely_missed" not in predict(field, points=points, locate="points").provenance


def test_unusual_colours_and_calibration_stand_in_the_record():
    card = {**CHECKPOINT.card, "temperature": 2.0, "unsure_threshold": 0.6}
    usual = {"background_blue": (-0.1, 0.1)}
    known = replace(CHECKPOINT, card={**card, "colours": usual})
    found = predict(checkpoint=known)
    assert found.provenance["calibration"] == {"temperature": 2.0, "unsure_below": 0.6}
    assert not any("unusual" in note for note in found.provenance.get("notes", ()))
    yellow = (FIELD * (1, 1, 0.7)).astype(np.uint8)
    notes = predict(yellow, known).provenance["notes"]
    assert any(note.startswith("unusual colours: the background is less blue") for note in notes)
