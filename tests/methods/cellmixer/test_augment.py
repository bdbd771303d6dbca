"""Augmentations: image and labels alike, the same from the same seed, of the stated strength."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.transforms.intensity.array import RandGaussianSmooth

from napari_wbc_nca.methods.cellmixer.mixtures import Augment, _Smooth

STRENGTHS = ("scale_augmentation", "contrast", "brightness", "tint", "blur", "noise")


@pytest.fixture
def crop():
    """A picture that tells its labels, and no symmetry maps to itself."""
    labels = np.random.default_rng(0).integers(0, 3, (1, 24, 24)).astype(np.uint8)
    return np.repeat(labels, 3, 0).astype(np.float32), labels


@pytest.fixture
def still(small):
    return replace(small, **dict.fromkeys(STRENGTHS, 0.0))


def test_labels_turn_with_their_pixels(crop, still):
    augment, turned = Augment(still, 1.0), set()
    for seed in range(64):
        image, labels = augment(*crop, seed)
        np.testing.assert_array_equal(image, np.repeat(labels, 3, 0))
        turned.add(labels.tobytes())
    assert len(turned) == 8  # four quarter turns, mirrored or not


def test_the_same_seed_gives_the_same_variation(crop, still):
    params = replace(still, scale_augmentation=0.3, blur=1.0, noise=0.1, contrast=0.2)
    one, two = Augment(params, 1.0), Augment(params, 1.0)
    two(*crop, 99)  # what was made before does not matter
    for seed in (3, 4, 5):
        for first, second in zip(one(*crop, seed), two(*crop, seed), strict=True):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_variation_changes_the_picture_by_itself(crop, still, name):
    turned = Augment(still, 1.0)
    varied = Augment(replace(still, **{name: 0.4}), 1.0)
    changed = [not np.array_equal(varied(*crop, s)[0], turned(*crop, s)[0]) for s in range(40)]
    assert 0.25 < np.mean(changed) < 0.75


def test_blur_is_that_of_monai_but_for_the_border():
    image = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 40, 40)).astype(np.float32))
    sigma = (0.8, 0.8)
    ours = _Smooth(sigma, sigma, sigma, 1.0)(image)
    theirs = RandGaussianSmooth(sigma, sigma, sigma, 1.0, approx="sampled")(image)
    inside = (slice(None), slice(8, -8), slice(8, -8))
    torch.testing.assert_close(ours[inside], theirs[inside], atol=2e-3, rtol=0)
    level = torch.ones(1, 9, 9)
    torch.testing.assert_close(_Smooth(sigma, sigma, sigma, 1.0)(level), level)
