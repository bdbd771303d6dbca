from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_wbc_nca.io.pixels import Contrast, ImageError, contrast, sample, to_rgb

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (20, 30, 3), np.uint8)
RGB[0, 0] = 255


@given(arrays.arrays(np.uint8, (9, 10, 3)))
@settings(max_examples=30)
def test_uint8_is_taken_as_it_is(pixels):
    colours = to_rgb(pixels)
    assert colours.dtype == np.float32
    np.testing.assert_array_equal(colours, pixels)


@pytest.mark.parametrize(
    "pixels",
    [
        RGB.astype(np.uint16) * 257,
        RGB.astype(np.int64),
        RGB.astype(np.uint16),
        RGB.astype(np.float32),
        RGB / 255,
        RGB.astype(np.float64) * 257,
        np.moveaxis(RGB, -1, 0),
        RGB[None, None],
        np.dstack([RGB, np.full((20, 30), 255, np.uint8)]),
        np.dstack([RGB / 255, np.ones((20, 30))]),
        np.dstack([RGB.astype(np.uint16) * 257, np.full((20, 30), 65535, np.uint16)]),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_every_way_to_store_colours_means_the_same(pixels, lazy):
    given = da.from_array(pixels, chunks=7) if lazy else pixels
    colours = to_rgb(given)
    assert isinstance(colours, da.Array) == lazy
    assert colours.dtype == np.float32
    np.testing.assert_allclose(np.asarray(colours), RGB, atol=1e-4)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_bit_depth_is_that_of_the_camera(bits):
    deep = RANDOM.integers(0, 2**bits, (20, 30, 3)).astype(np.uint16)
    deep[3, 4] = 2**bits - 1
    assert contrast(deep).white == 2**bits - 1
    np.testing.assert_allclose(to_rgb(deep), deep / (2**bits - 1) * 255, rtol=1e-6)


def test_little_overshoot_is_cut():
    assert to_rgb(np.full((9, 9, 3), 1.02)).max() == 255
    assert to_rgb(np.linspace(-0.01, 1, 243).reshape(9, 9, 3)).min() == 0


def test_alpha_is_laid_over_white():
    pixels = np.zeros((9, 9, 4), np.uint8)
    pixels[..., 0] = 100
    pixels[..., 3] = np.arange(81).reshape(9, 9) * 3
    opacity = pixels[..., 3:] / 255
    expected = pixels[..., :3] * opacity + 255 * (1 - opacity)
    np.testing.assert_allclose(to_rgb(pixels), expected, atol=1e-4)


def test_alpha_of_16_bits_beside_colours_of_12():
    pixels = np.full((9, 9, 4), 4095, np.uint16)
    pixels[..., 3] = 65535
    assert contrast(pixels) == Contrast(4095, 65535)
    np.testing.assert_allclose(to_rgb(pixels), 255)


def test_a_part_of_an_image_needs_the_contrast_of_all_of_it():
    deep = np.full((20, 30, 3), 200, np.uint16)
    deep[10:] = 4095
    part = to_rgb(deep[:10], contrast(deep))
    np.testing.assert_array_equal(part, to_rgb(deep)[:10])
    assert part.max() < 13
    assert to_rgb(deep[:10]).max() == 200


def test_sample_does_not_depend_on_chunks():
    pixels = RANDOM.integers(0, 65536, (2500, 90, 3), np.uint16)
    samples = [sample(da.from_array(pixels, chunks=size)) for size in (100, 999, (2500, 90, 3))]
    np.testing.assert_array_equal(samples[0], sample(pixels))
    np.testing.assert_array_equal(samples[1], samples[0])
    np.testing.assert_array_equal(samples[2], samples[0])
    assert len(samples[0]) == 16 * 64 * 90


def test_lazy_image_is_read_in_few_places_only():
    read = []

    def block(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return np.zeros((10, 2048, 3), np.uint16)

    pixels = da.map_blocks(block, chunks=((10,) * 1000, (2048,), (3,)), dtype=np.uint16)
    to_rgb(pixels)
    assert 0 < len(read) <= 16 * 8


def test_nan_of_a_lazy_image_is_reported_when_it_is_met():
    pixels = np.zeros((5000, 20, 3), np.float32)
    pixels[4100, 7, 1] = np.nan
    lazy = to_rgb(da.from_array(pixels, chunks=500))
    np.testing.assert_array_equal(lazy[:3000].compute(), 0)
    with pytest.raises(ImageError, match="NaN or infinite"):
        lazy.compute()


@pytest.mark.parametrize("shape", [(9, 9, 2), (5, 9, 9, 3)])
def test_what_is_no_colour_image_is_refused(shape):
    with pytest.raises(ImageError, match=r"three channels are needed|choose one plane"):
        to_rgb(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (1, 20, 30)])
@pytest.mark.parametrize("lazy", [False, True])
def test_brightness_alone_becomes_grey(shape, lazy):
    deep = RGB[..., 0].astype(np.uint16).reshape(shape) * 16
    colours = to_rgb(da.from_array(deep, chunks=7) if lazy else deep)
    assert isinstance(colours, da.Array) == lazy
    expected = np.repeat(RGB[..., :1] * np.float32(16 * 255 / 4095), 3, axis=2)
    np.testing.assert_allclose(np.asarray(colours), expected, atol=1e-4)


@given(st.integers(1, 2**32 - 1))
@settings(max_examples=50)
def test_white_holds_the_brightest_pixel_and_is_no_larger_than_needed(value):
    white = contrast(np.full((1, 1, 3), value, np.uint32)).white
    assert value <= white
    assert white == 255 or white < 4 * (value + 1)
