from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest
import torch

from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.field import Field
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.methods.nca.predict import predict
from napari_wbc_nca.methods.propagation.detect import (
    detect,
    likelihood,
    load_detector,
    read_channels,
)
from napari_wbc_nca.types import Image

WHITE, RED = ((40.0, 50.0), (80.0, 110.0)), ((40.0, 80.0), (100.0, 30.0))


@pytest.fixture
def view():
    return Field(planted.smear(*WHITE, red=RED).astype(np.float32), 1, {"name": "density"})


def found(view, checkpoint, params):
    return planted.run(detect(load_detector(checkpoint, "cpu"), view, checkpoint, params))[1].cells


def test_every_cell_is_found_by_its_kind(view, detector, params):
    peaks = found(view, detector, params)
    assert [peak.kind for peak in peaks] == [0, 1, 0, 1]
    places = np.asarray([(peak.y, peak.x) for peak in peaks])
    assert np.abs(places - (WHITE[0], RED[0], WHITE[1], RED[1])).max() <= 2
    assert all(0.5 < peak.likelihood <= 1 for peak in peaks)


def test_a_part_has_the_values_of_the_whole_field(view, detector):
    network = load_detector(detector, "cpu")
    whole = likelihood(network, view, (range(120), range(160)))
    part = likelihood(network, view, (range(31, 77), range(50, 121)))
    np.testing.assert_allclose(part, whole[:, 31:77, 50:121], atol=1e-5)
    with torch.inference_mode():
        plain = network(view.read((range(120), range(160)))[None])
    np.testing.assert_allclose(whole, torch.sigmoid(plain)[0].numpy(), atol=1e-6)


def test_tiles_change_nothing(view, detector, params):
    assert found(view, detector, replace(params, tile=32)) == [
        replace(peak, likelihood=pytest.approx(peak.likelihood, abs=1e-5))
        for peak in found(view, detector, params)
    ]


def test_only_the_kinds_that_are_wanted(view, detector, params):
    assert {peak.kind for peak in found(view, detector, replace(params, kinds="RBC"))} == {1}
    with pytest.raises(ValueError, match="does not know hela; it finds wbc, rbc"):
        found(view, detector, replace(params, kinds="hela, rbc"))


def test_a_higher_threshold_finds_less(view, detector, params):
    peaks = found(view, detector, params)
    least = sorted(peak.likelihood for peak in peaks)[1]
    assert len(found(view, detector, replace(params, min_likelihood=least))) == 2


def test_nothing_is_found_in_an_empty_field(detector, params):
    empty = Field(np.full((50, 60, 3), 230, np.float32), 1, {"name": "density"})
    assert found(empty, detector, params) == []


def test_the_maximum_is_that_of_the_whole_field():
    pixels = np.full((900, 900, 3), 40, np.float32)
    pixels[1, 1] = 80  # no sample has it
    view = Field(pixels, 1, {"name": "maximum"})
    grey = read_channels(view, (range(3), range(4)), 1)
    assert grey.shape == (1, 3, 4)
    assert grey[0, 1, 1] == 1
    assert grey[0, 0, 0] == 0.5


def test_the_automata_can_be_led_by_the_detector(detector, monkeypatch):
    monkeypatch.setattr(model_store, "resolve", lambda name: detector)
    image = Image(planted.smear(*WHITE, red=RED))
    params = NcaParams(locate="detector", diameter=24, device="cpu")
    _, result = planted.run(predict(image, planted.checkpoint(), params))
    places = result.cells[["centroid_y", "centroid_x"]].to_numpy()
    assert np.abs(places - WHITE).max() < 2.5


def test_weaker_peaks_are_places_to_check_and_no_cells(view, detector, params):
    heights = sorted(peak.likelihood for peak in found(view, detector, params))
    between = replace(params, min_likelihood=(heights[0] + heights[1]) / 2)
    steps = detect(load_detector(detector, "cpu"), view, detector, between)
    _, (cells, missed) = planted.run(steps)
    assert [peak.likelihood for peak in missed] == heights[:1]
    assert len(cells) == len(heights) - 1
    assert missed[0].candidate(view).score == heights[0]
