"""Prediction: classes and cells, the same however the image is cut."""

from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import torch

from napari_wbc_nca.methods.cellmixer import scale
from napari_wbc_nca.methods.cellmixer.connected_cells import connect_pixels
from napari_wbc_nca.methods.cellmixer.params import CellmixerParams
from napari_wbc_nca.methods.cellmixer.predict import blending_weights, predict, window_spans
from napari_wbc_nca.methods.cellmixer.scale import piece_diameters
from napari_wbc_nca.methods.field import Field
from napari_wbc_nca.models.build import load_network
from napari_wbc_nca.progress import run_to_end
from napari_wbc_nca.types import Image
from napari_wbc_nca.workflow.segment import estimate_diameter


@pytest.fixture
def planted(trained):
    """A network that takes dark for the first class and bright for the second."""
    network = load_network(trained, "cpu")
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.zero_()
            if name.endswith((".1.weight", ".4.weight")):
                value.fill_(1.0)
        for block in (network.encoder[0], network.decoder[0]):
            block[3].weight[[0, 1], [0, 1], 1, 1] = 1.0
        network.encoder[0][0].weight[0, 0, 1, 1] = -1.0
        network.encoder[0][0].weight[1, 0, 1, 1] = 1.0
        network.decoder[0][0].weight[[0, 1], [0, 1], 1, 1] = 1.0
        network.head.weight[1, 0] = network.head.weight[2, 1] = 1.0
        network.head.bias[:] = torch.tensor([4.0, 0.0, 0.0, -9.0])
    for module in network.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.zero_()
            module.running_var.fill_(1.0)
    own = {k: v.numpy().copy() for k, v in network.state_dict().items()}
    card = trained.card | {"diameters": dict.fromkeys(trained.classes[1:], 14.0)}
    return replace(trained, weights=own, card=card, diameter=14.0)


DARK, BRIGHT = (30, 30), (70, 100)


def field(shape=(110, 150)):
    """A dark and a bright disk of 14 pixels on a noisy ground."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    light = np.random.default_rng(0).normal(0.5, 0.01, shape)
    light[np.hypot(y - DARK[0], x - DARK[1]) < 7] -= 0.25
    light[np.hypot(y - BRIGHT[0], x - BRIGHT[1]) < 7] += 0.25
    return (light * 255).astype(np.uint8)


def test_what_was_planted_gets_its_class_and_one_cell_each(planted):
    found = run_to_end(
        predict(Image(field(), pixel_size=None), planted, CellmixerParams(maps=True))
    )
    classes, cells = found.labels["class"], found.labels["cell"]
    assert classes[DARK] == 1
    assert classes[BRIGHT] == 2
    assert classes[90, 20] == 0
    assert found.cells["class"].tolist() == ["granular", "mottled"]
    assert found.cells["label"].tolist() == [1, 2]
    assert cells[DARK] == 1
    assert cells[BRIGHT] == 2
    assert found.provenance["cells"] == 2
    assert "regions" not in found.provenance
    area = found.cells["area_px"].to_numpy()
    np.testing.assert_allclose(area, np.pi * 49, rtol=0.25)
    assert [(cells == n).sum() for n in (1, 2)] == area.tolist()
    assert set(found.maps) == {f"probability {name}" for name in planted.classes}
    total = sum(found.maps.values())
    np.testing.assert_allclose(total, 1, atol=1e-4)
    for column in ("p_granular", "p_mottled", "p_rimmed", "confidence"):
        assert found.cells[column].between(0, 1).all()


def test_lazy_images_tiles_and_batches_change_nothing(planted):
    pixels = field((270, 290))
    whole = run_to_end(predict(Image(pixels), planted, CellmixerParams()))
    lazy = Image(da.from_array(pixels, chunks=77))
    cut = run_to_end(predict(lazy, planted, CellmixerParams(tile=128, batch_size=2)))
    for name in ("class", "cell"):
        np.testing.assert_array_equal(np.asarray(cut.labels[name]), whole.labels[name])
    assert cut.cells.equals(whole.cells)


def test_a_larger_picture_of_the_same_cells_gives_the_same_cells(planted):
    large = np.kron(field(), np.ones((3, 3), np.uint8))
    found = run_to_end(predict(Image(large), planted, CellmixerParams(diameter=42)))
    assert found.cells["class"].tolist() == ["granular", "mottled"]
    np.testing.assert_allclose(found.cells["area_px"], 9 * np.pi * 49, rtol=0.25)


def test_scale_is_given_known_or_that_of_the_training(planted):
    image = Image(field(), pixel_size=0.5)
    assert run_to_end(estimate_diameter(image, planted, CellmixerParams(diameter=33))) == 33
    assert run_to_end(estimate_diameter(image, planted, CellmixerParams())) == 14
    known = replace(planted, pixel_size=1.0, card=planted.card | {"pixel_size_known": True})
    assert run_to_end(estimate_diameter(image, known, CellmixerParams())) == 28


def test_scale_of_a_model_of_cells_is_estimated(planted):
    model = replace(planted, card=planted.card | {"scale": "cells"})
    large = np.kron(field(), np.ones((3, 3), np.uint8))
    found = run_to_end(estimate_diameter(Image(large), model, CellmixerParams()))
    assert found == pytest.approx(42, rel=0.2)


def test_each_class_tells_the_scale_alike(planted, monkeypatch):
    y, x = np.ogrid[:110, :150]
    middles = [(30, x) for x in (30, 75, 120)]
    large = np.any([np.hypot(y - a, x - b) < 7 for a, b in middles], axis=0)
    few = np.hypot(y - DARK[0] - 50, x - 30) < 3.5
    maps = [~large & ~few, large, few, np.zeros_like(large)]

    def seen(*_, **__):
        yield from ()
        return [np.asarray(own, np.float32) for own in maps]

    monkeypatch.setattr(scale, "class_maps", seen)
    rgb = np.repeat(field()[..., None], 3, -1)
    score, ratio = run_to_end(
        scale._measure(Field(rgb, 1, planted.normalisation), 14, None, planted, CellmixerParams())
    )
    sizes = np.log([piece_diameters(own)[0] / 14 for own in (large, few)])
    assert ratio == pytest.approx(np.exp(sizes.mean()))
    assert score == pytest.approx(2 / 3 * np.exp(-np.abs(sizes).mean()))


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ({"wbc": 90, "rbc": 10}, 0.5),
        ({"wbc": 50, "rbc": 50}, 1),
        ({"rbc": 10}, 1),
        ({"wbc": 10}, 0.05),
    ],
)
def test_a_field_that_holds_the_largest_cells_alone_is_looked_at_too_finely(areas, expected):
    assert scale._mixed(areas, {"wbc": 30.0, "rbc": 17.0}) == pytest.approx(expected)
    assert scale._mixed(areas, {"wbc": 30.0, "rbc": 30.0}) == 1


def test_an_empty_field_has_no_cells(planted):
    light = np.random.default_rng(1).normal(120, 2, (64, 64)).astype(np.uint8)
    found = run_to_end(predict(Image(light), planted, CellmixerParams(min_area=0.5)))
    assert found.cells.empty
    assert not found.labels["cell"].any()


def test_windows_cover_a_field_and_their_weights_sum_to_one():
    for size, overlap in ((100, 0.5), (101, 0.25), (32, 0.5), (33, 0.0), (7, 0.9)):
        found = window_spans(size, 32, overlap)
        total = np.zeros(size)
        for span, weight in zip(found, blending_weights(found, size), strict=True):
            assert len(span) == min(size, 32)
            total[span.start : span.stop] += weight
        np.testing.assert_allclose(total, 1, atol=1e-6)


def test_pieces_are_numbered_by_place_without_specks_and_holes():
    classes = np.zeros((40, 60), np.uint8)
    classes[20:32, 5:17] = 1
    classes[24:26, 9:11] = 0  # hole
    classes[5:17, 30:42] = 2
    classes[2, 2] = 1  # speck
    params = CellmixerParams()
    found = connect_pixels(
        classes,
        np.zeros_like(classes, bool),
        ("background", "a", "b"),
        {"a": 12.0, "b": 12.0},
        params,
    )
    assert found.numbers == (2, 1)
    assert found.labels[10, 35] == 1
    assert found.labels[24, 9] == 2
    assert found.filled.sum() == 4
    assert found.labels[2, 2] == 0
    open_ = connect_pixels(
        classes,
        np.zeros_like(classes, bool),
        ("background", "a", "b"),
        {"a": 12.0},
        replace(params, fill_holes=False),
    )
    assert open_.labels[24, 9] == 0


def test_what_is_left_of_a_hole_is_no_piece():
    classes = np.zeros((20, 20), np.uint8)
    classes[2:18, 2:18] = 1
    classes[4:16, 4:16] = 0
    classes[5:15, 5:15] = 2  # a ring of background lies between both classes
    classes[8:12, 8:12] = 0
    sizes = {"a": 40.0, "b": 40.0}
    found = connect_pixels(
        classes,
        np.zeros_like(classes, bool),
        ("background", "a", "b"),
        sizes,
        CellmixerParams(min_area=0.0),
    )
    assert all(found.boxes)
    for label, number in enumerate(found.numbers, start=1):
        assert (classes[found.labels == label] == number).any()


def test_clumps_are_regions_and_no_cell_count(planted):
    pixels = field((200, 200))
    y, x = np.ogrid[:200, :200]
    for column in range(40, 170, 11):  # bright cells that touch in a row
        pixels[np.hypot(y - 140, x - column) < 7] = 190
    found = run_to_end(predict(Image(pixels), planted, CellmixerParams()))
    assert found.provenance["cells"] == found.cells["class"].tolist().count("granular") == 1
    regions = found.provenance["regions"]
    assert regions.keys() == {"mottled"}
    assert regions["mottled"]["regions"] == found.cells["class"].tolist().count("mottled") == 2
    share = (found.labels["class"] == 2).mean()
    assert regions["mottled"]["area_share"] == pytest.approx(share, rel=0.2)
    assert found.provenance["notes"] == [
        f"mottled: 2 connected regions, {share:.0%} of the image; touching cells are not "
        "separated, so this is no cell count"
    ]


def test_diameter_of_a_clump_is_that_of_a_cell():
    y, x = np.ogrid[:60, :90]
    clump = (np.hypot(y - 30, x - 30) < 10) | (np.hypot(y - 30, x - 48) < 10)
    assert piece_diameters(clump).tolist() == pytest.approx([20], abs=2)
    assert not piece_diameters(np.zeros((5, 5), bool)).size
