from __future__ import annotations

from dataclasses import replace

import discs
import numpy as np
import pytest
import torch

from napari_wbc_nca.methods.propagation.params import PropagationTrainParams
from napari_wbc_nca.methods.propagation.samples import (
    PatchSampler,
    network_input,
    prepare,
    targets,
)

PARAMS = PropagationTrainParams(diameter=24, sigma=3, patch_size=64, normalisation="density")


def drawn(count=24, fine=1.0, **changes):
    params = replace(PARAMS, **changes)
    names = ("wbc", "rbc")
    fields = [prepare(sample, names, names, params, fine) for sample in discs.samples(4)]
    return PatchSampler(fields, params).draw(count, np.random.default_rng(0))


def test_what_a_batch_holds():
    batch = drawn(5)
    assert batch.images.shape == (5, 3, 64, 64)
    assert batch.targets.shape == (5, 2, 64, 64)
    assert batch.labelled.tolist() == [[True, True]] * 5
    assert batch.images.dtype == batch.targets.dtype == torch.float32
    assert batch.targets.amax() <= 1


@pytest.mark.parametrize("fine", [1.0, 1.8])
def test_the_likelihood_follows_the_cells_however_they_are_turned(fine):
    batch = drawn(fine=fine)
    seen = batch.targets[:, 0].flatten(1).amax(1) > 0.98
    assert seen.sum() > 8
    for image, target in zip(batch.images[seen], batch.targets[seen, 0], strict=True):
        y, x = divmod(int(target.argmax()), target.shape[1])
        # White cells are the only ones that absorb red light.
        assert image[0, y, x] > 3 * image[0].median()


def test_gaussians_are_scaled_with_the_cells():
    batch = drawn(60, max_scale_factor=2.5, fine=2.5)
    alone = batch.targets[:, 0]
    whole = (alone.amax((1, 2)) > 0.98) & (alone[:, [0, -1]].amax((1, 2)) < 0.01)
    whole &= alone[:, :, [0, -1]].amax((1, 2)) < 0.01
    widths = (alone[whole] > 0.5).sum((1, 2)).sqrt()
    assert widths.max() > 1.8 * widths.min()


def test_unvaried_scale_keeps_sigma():
    batch = drawn(8, max_scale_factor=1.0)
    own = targets((64, 64), [np.asarray([[32.0, 32.0]])], 3)[0]
    inside = batch.targets[:, 0].amax((1, 2)) > 0.999
    assert (batch.targets[inside, 0].sum((1, 2)) <= own.sum() + 1e-3).all()


def test_a_picture_smaller_than_a_patch_lies_in_zeros():
    batch = drawn(4, patch_size=160, max_scale_factor=1.0)
    assert batch.images.shape[-1] == 160
    assert (batch.targets.amax((2, 3)) > 0.9).all()


def test_grey_is_the_mean_of_the_channels():
    pixels = torch.rand(3, 4, 5)
    density = 1 - torch.exp(-2 * pixels)
    found = network_input(pixels, {"name": "absorptance"}, "grey")
    torch.testing.assert_close(found, density.mean(0, keepdim=True))
    assert network_input(pixels, {"name": "density"}, "rgb") is pixels


def test_the_same_seed_draws_the_same():
    first, second = drawn(3), drawn(3)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.targets, second.targets)
