"""Mixtures: the same from the same seed, in whatever process, in the stated shares."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from torch.utils.data import DataLoader

from napari_wbc_nca.methods.cellmixer.mixtures import MixtureDataset
from napari_wbc_nca.methods.cellmixer.params import CellmixerTrainParams
from napari_wbc_nca.methods.cellmixer.preview import preview_foreground, preview_mixtures
from napari_wbc_nca.methods.cellmixer.samples import classes_of, prepare
from napari_wbc_nca.ops.mixing import background_statistics, mix, mix_masks
from napari_wbc_nca.progress import run_to_end


@pytest.fixture(scope="module")
def pictures(populations):
    params = CellmixerTrainParams(crop_size=32)
    return run_to_end(prepare(populations, params, classes_of(populations, ""), 32))


def test_the_same_number_gives_the_same_mixture(pictures, small):
    one, two = (MixtureDataset(pictures, 4, 32, small) for _ in range(2))
    for index in (0, 7, 3):
        np.testing.assert_array_equal(one.draw(index).image, two.draw(index).image)
        np.testing.assert_array_equal(one.draw(index).present, two.draw(index).present)
    assert not np.array_equal(one.draw(0).image, one.draw(1).image)
    other = MixtureDataset(pictures, 4, 32, replace(small, seed=1))
    assert not np.array_equal(one.draw(0).image, other.draw(0).image)


def test_workers_change_nothing(pictures, small):
    mixtures = MixtureDataset(pictures, 4, 32, small)
    alone = list(DataLoader(mixtures, 3, sampler=range(6)))
    helped = list(DataLoader(mixtures, 3, sampler=range(6), num_workers=1))
    for one, two in zip(alone, helped, strict=True):
        for first, second in zip(one, two, strict=True):
            assert first.equal(second)


def test_pairs_are_drawn_within_and_across_in_the_stated_shares(pictures, small):
    params = replace(small, mixed_share=0.8, same_class_share=0.25)
    mixtures = MixtureDataset(pictures, 4, 8, params, augment=False)
    kinds = Counter()
    for index in range(600):
        numbers = mixtures.draw(index).numbers
        kinds["alone" if len(numbers) == 1 else len(set(numbers))] += 1
    assert kinds["alone"] / 600 == pytest.approx(0.2, abs=0.05)
    assert kinds[1] / 600 == pytest.approx(0.8 * 0.25, abs=0.05)
    assert kinds[2] / 600 == pytest.approx(0.8 * 0.75, abs=0.05)


def test_a_mixture_is_that_of_the_whole_pictures(pictures, small):
    side = 96  # the pictures' height: crops differ in their columns only
    params = replace(small, same_class_share=0.0, min_lambda=0.3, max_lambda=0.3)
    mixtures = MixtureDataset(pictures, 4, side, params, augment=False)
    made = mixtures.draw(5)
    first, second = made.numbers
    sources = [mixtures.pictures[number] for number in (first, second)]
    for one, two, x, z in itertools.product(*sources, range(17), range(17)):
        crops, masks = zip(*((p.pixels[..., a:][..., :side], p.mask[:, a:][:, :side])
                             for p, a in ((one, x), (two, z))), strict=True)  # fmt: skip
        if np.array_equal(mix_masks(*masks), made.present.argmax(0)):
            known = tuple(map(background_statistics, crops, masks))
            expected = mix(*crops, 0.3, known) / np.hypot(0.3, 0.7)
            np.testing.assert_allclose(made.image, expected, atol=1e-4)
            return
    pytest.fail("no two crops have these labels")


def test_both_classes_stay_where_that_is_asked_for(pictures, small):
    mixtures = MixtureDataset(
        pictures, 4, 96, replace(small, overlap_label="both", same_class_share=0.0)
    )
    counts = np.concatenate([mixtures.draw(n).present.sum(0).ravel() for n in range(8)])
    assert counts.min() == 1
    assert counts.max() == 2
    alone = MixtureDataset(pictures, 4, 96, replace(small, same_class_share=0.0))
    assert (alone.draw(0).present.sum(0) == 1).all()


def test_small_pictures_go_on_as_their_mirror_image(pictures, small):
    made = MixtureDataset(pictures, 4, 150, replace(small, mixed_share=0.0), augment=False).draw(2)
    assert made.image.shape == (3, 150, 150)
    np.testing.assert_array_equal(made.image[:, 96:100], made.image[:, 94:90:-1])


def test_previews_show_mixtures_and_foreground(populations, small):
    found = run_to_end(preview_mixtures(populations, small, 3))
    assert found.images.shape == (3, 32, 32, 3)
    assert found.images.dtype == np.uint8
    assert found.labels.shape == (3, 32, 32)
    assert found.classes == ("background", "granular", "mottled", "rimmed")
    assert found.images.std() > 5
    field = np.zeros((60, 80), np.uint16)
    field[20:44, 20:44] = 30_000
    mask = preview_foreground(field, small)
    assert mask.shape == (60, 80)
    assert mask[32, 32]
    assert not mask[:10].any()
