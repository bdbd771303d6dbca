"""Recognition of swapped red and blue."""

import numpy as np
import pytest
from PIL import Image as Picture

from napari_wbc_nca.io.images import SAMPLES, sample_path
from napari_wbc_nca.ops.channel_order import (
    channel_evidence,
    order_by_evidence,
    recognise_channel_order,
)


def _sample(name):
    return np.asarray(Picture.open(sample_path(name)).convert("RGB"))[::3, ::3]


@pytest.mark.parametrize("name", SAMPLES)
def test_recognises_both_orders_of_real_smears(name):
    rgb = _sample(name)
    assert recognise_channel_order(rgb) == "rgb"
    assert recognise_channel_order(rgb[..., ::-1]) == "bgr"


@pytest.mark.parametrize("gains", [(0.55, 0.8, 1), (1, 0.88, 0.5)])
def test_light_alone_swaps_nothing(gains):
    for name in SAMPLES:
        assert recognise_channel_order(_sample(name) * gains) != "bgr"


def test_evidence_changes_sign_with_the_order():
    rgb = _sample("smear-1")
    assert np.allclose(channel_evidence(rgb), -channel_evidence(rgb[..., ::-1]))


def test_dark_red_cells_alone_swap_nothing():
    """The densest matter is then eosin, under a lamp that is yellow."""
    evidence = np.array([-0.2, -0.2, -0.2, -0.3, 0.1, -0.5])
    assert order_by_evidence(evidence) == "uncertain"
    assert order_by_evidence(evidence * (1, 1, 1, 1, -1, 1)) == "bgr"


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_grey_is_no_evidence(grey):
    assert recognise_channel_order(np.full((20, 20, 3), grey)) == "rgb"
