"""Foreground against the steps of scikit-image, in the order of the paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from skimage import filters, morphology

from napari_wbc_nca.datasets.synthetic import culture
from napari_wbc_nca.ops.foreground import (
    foreground,
    foreground_response,
    foreground_threshold,
    remove_small,
)
from napari_wbc_nca.ops.foreground_params import ForegroundParams

RAW = ForegroundParams(fill=0, smallest=0)


def picture(seed: int, colours: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.random((40, 53, colours)).astype(np.float32)


def by_skimage(image: np.ndarray, params: ForegroundParams) -> np.ndarray:
    edges = [
        filters.sobel(filters.gaussian(image[..., c], params.smooth, mode="nearest"))
        for c in range(image.shape[-1])
    ]
    evened = filters.gaussian(np.max(edges, 0), params.resmooth, mode="nearest")
    return morphology.erosion(evened, np.ones((params.erode, params.erode)))


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_response_is_that_of_the_papers_steps(seed, colours):
    params = replace(RAW, smooth=0.8 + seed, resmooth=1.5, erode=3 + 2 * (seed % 2))
    image = picture(seed, colours)
    np.testing.assert_allclose(
        foreground_response(image, params), by_skimage(image, params), atol=2e-6
    )


@pytest.mark.parametrize("rule", ["otsu", "triangle"])
def test_global_thresholds_are_those_of_skimage(rule):
    response = foreground_response(picture(3, 3), RAW)
    expected = getattr(filters, f"threshold_{rule}")(response)
    assert foreground_threshold(
        response, replace(RAW, threshold=rule, factor=0.5)
    ) == pytest.approx(0.5 * expected)


def test_adaptive_threshold_is_that_of_skimage():
    response = foreground_response(picture(4, 1), RAW)
    params = replace(RAW, threshold="adaptive", block=15, offset=0.02)
    expected = response > filters.threshold_local(response, 15, "gaussian", -0.02)
    np.testing.assert_array_equal(foreground(picture(4, 1), params), expected)


def test_a_fixed_threshold_is_taken_as_it_is():
    params = replace(RAW, threshold="fixed", level=0.07)
    image = picture(5, 3)
    np.testing.assert_array_equal(
        foreground(image, params), foreground_response(image, params) > 0.07
    )


def test_bit_depth_and_channels_do_not_matter():
    deep = (picture(6, 1)[..., 0] * 65535).astype(np.uint16)
    thrice = np.stack([deep] * 3, -1)
    np.testing.assert_array_equal(foreground(deep, RAW), foreground(deep / 65535, RAW))
    np.testing.assert_array_equal(foreground(deep, RAW), foreground(thrice, RAW))


def test_a_flat_picture_has_no_foreground():
    for response in ("edges", "contrast", "both"):
        params = replace(RAW, response=response)
        assert not foreground(np.full((20, 20, 3), 0.4), params).any()


def test_tidy_fills_small_holes_and_drops_small_pieces():
    mask = np.zeros((30, 30), bool)
    mask[2:14, 2:14] = True
    mask[6:8, 6:8] = False  # 4 pixels: less than a disk of 3 across
    mask[20:22, 20:22] = True
    found = remove_small(mask, fill=3, smallest=3)
    assert found[6:8, 6:8].all()
    assert not found[20:22, 20:22].any()
    np.testing.assert_array_equal(remove_small(mask, 0, 0), mask)
    assert not remove_small(mask, fill=2, smallest=0)[6:8, 6:8].any()


@pytest.mark.parametrize("kind", ["granular", "rimmed", "mottled"])
def test_default_finds_the_cells_of_cultures(kind):
    found = [culture((kind,), (160, 160), seed) for seed in (900, 901, 902)]
    overlap = [
        (m & (c.classes > 0)).sum() / (m | (c.classes > 0)).sum()
        for c in found
        for m in [foreground(c.pixels, ForegroundParams())]
    ]
    assert np.mean(overlap) > 0.7


def test_a_stack_is_refused():
    with pytest.raises(ValueError, match=r"expected \(Y, X\)"):
        foreground(np.zeros((2, 3, 4, 5)), RAW)


def test_otsu_of_the_logarithm_and_no_smoothing():
    params = replace(RAW, threshold="otsu_log", factor=0.5, smooth=0, resmooth=0, erode=1)
    response = foreground_response(picture(3, 1), params)
    np.testing.assert_allclose(response, filters.sobel(picture(3, 1)[..., 0]), atol=1e-6)
    expected = np.exp(filters.threshold_otsu(np.log(response + 0.01))) - 0.01
    assert foreground_threshold(response, params) == pytest.approx(0.5 * expected)
