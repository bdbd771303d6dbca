from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest

from napari_wbc_nca.cell_types import CELL_TO_BOX
from napari_wbc_nca.methods.field import Field
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.methods.scale import image_scale
from napari_wbc_nca.models.build import load_network
from napari_wbc_nca.types import Image
from napari_wbc_nca.workflow.segment import estimate_diameter

CHECKPOINT = planted.checkpoint()
PARAMS = NcaParams(device="cpu")
BOXES = np.asarray([[10, 10, 40, 50], [5, 5, 35, 35], [5, 5, 45, 45]])
FIELD = planted.smear((40, 40))


def diameter(params=PARAMS, pixel_size=None, boxes=None, rgb=FIELD):
    network = load_network(CHECKPOINT, "cpu")
    field = Field(rgb, 1, CHECKPOINT.normalisation)
    scale = image_scale(field, network, CHECKPOINT, params, pixel_size, boxes)
    return planted.run(scale)[1].diameter


def test_a_given_diameter_wins_over_everything():
    assert diameter(replace(PARAMS, diameter=33.0, pixel_size=0.1), 0.2, BOXES) == 33


def test_a_given_pixel_size_wins_over_the_images_own():
    assert diameter(replace(PARAMS, pixel_size=0.1), 0.2, BOXES) == pytest.approx(12 * 0.8 / 0.1)


def test_the_images_pixel_size_wins_over_boxes():
    assert diameter(pixel_size=0.2, boxes=BOXES) == pytest.approx(12 * 0.8 / 0.2)


def test_boxes_give_the_median_of_their_sizes():
    assert diameter(boxes=BOXES) == pytest.approx(CELL_TO_BOX * (30 * 40) ** 0.5)


@pytest.mark.parametrize(("pixel_size", "diameter_given"), [(20.0, 0.0), (None, 0.5)])
def test_cells_too_small_to_be_enlarged_are_refused(pixel_size, diameter_given):
    with pytest.raises(ValueError, match=r"px wide by the .*; expected 2 px or more: give the"):
        diameter(replace(PARAMS, diameter=diameter_given), pixel_size)


@pytest.mark.parametrize("radius", [10, 14, 20])
def test_the_scale_of_a_field_is_estimated(radius):
    far = 4 * radius
    field = planted.smear(
        *((far, far), (2 * far, 3 * far), (2.5 * far, 1.2 * far)),
        shape=(int(3.3 * far), int(4 * far)),
        radius=radius,
        red=((far, 2 * far), (3 * far, 2.3 * far)),
    )
    image = Image(field)
    yielded, found = planted.run(estimate_diameter(image, CHECKPOINT, PARAMS))
    assert found == pytest.approx(2 * radius, rel=0.2)
    assert {progress.message for progress in yielded} == {"Estimating the scale"}
    shares = planted.shares(yielded, "Estimating the scale")
    assert shares == sorted(shares)
    assert shares[0] == 0


def test_the_scale_of_a_crop_is_that_of_the_cell_in_its_middle():
    crop = planted.smear((60, 60), (10, 110), shape=(120, 120), radius=30)
    params = replace(PARAMS, locate="whole")
    assert diameter(params, rgb=crop) == pytest.approx(60, rel=0.2)


def test_a_field_without_cells_has_some_scale():
    empty = planted.smear(red=((60, 20), (20, 75)))
    assert 4 < diameter(rgb=empty) < 120


def test_an_estimate_is_the_same_for_lazy_pixels():
    dask = pytest.importorskip("dask.array")
    field = planted.smear((200, 200), (700, 1100), (1500, 300), shape=(1700, 1700), radius=60)
    lazy = dask.from_array(field, chunks=(300, 400, 3))
    assert diameter(rgb=lazy) == diameter(rgb=field)


def test_an_image_that_cannot_be_used_is_refused():
    with pytest.raises(ValueError, match="shape"):
        planted.run(estimate_diameter(Image(np.zeros((2, 3, 4, 5))), CHECKPOINT, PARAMS))
