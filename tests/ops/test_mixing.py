"""Mixing and the rule of the masks, by brute force on 3×3 pictures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_wbc_nca.ops.mixing import (
    IGNORED,
    Statistics,
    background_statistics,
    mix,
    mix_masks,
    overlay_masks,
    standardise,
)

FIRST = np.array([[0, 1, 1], [0, 0, 1], [0, IGNORED, 0]], np.uint8)
SECOND = np.array([[0, 0, 2], [2, 0, IGNORED], [0, 2, IGNORED]], np.uint8)


def test_masks_follow_the_papers_rule_at_every_pixel():
    expected = np.zeros((3, 3), int)
    for y, x in itertools.product(range(3), repeat=2):
        one, two = int(FIRST[y, x]), int(SECOND[y, x])
        expected[y, x] = two + (1 - np.sign(two)) * one
    np.testing.assert_array_equal(mix_masks(FIRST, SECOND), expected)
    assert expected.tolist() == [[0, 1, 2], [2, 0, IGNORED], [0, 2, IGNORED]]


def test_overlaps_keep_both_classes_and_forget_what_is_ignored():
    present, known = overlay_masks(FIRST, SECOND, 3)
    for y, x in itertools.product(range(3), repeat=2):
        pair = {int(FIRST[y, x]), int(SECOND[y, x])}
        assert known[y, x] == (IGNORED not in pair)
        if known[y, x]:
            cells = pair - {0}
            assert [n for n in range(3) if present[n, y, x]] == (sorted(cells) or [0])


def test_mixture_is_the_shares_of_pictures_normalised_by_their_backgrounds():
    random = np.random.default_rng(0)
    pictures = random.uniform(0.2, 0.8, (2, 3, 3, 3)).astype(np.float32)
    statistics = []
    for picture, mask in zip(pictures, (FIRST, SECOND), strict=True):
        empty = [
            picture[:, y, x] for y, x in itertools.product(range(3), repeat=2) if not mask[y, x]
        ]
        statistics.append(Statistics(np.mean(empty, 0), np.std(empty, 0)))
    mixed = mix(pictures[0], pictures[1], 0.3, (statistics[0], statistics[1]))
    for c, y, x in itertools.product(range(3), repeat=3):
        one, two = (
            (pictures[k, c, y, x] - statistics[k].mean[c]) / statistics[k].std[c] for k in (0, 1)
        )
        assert mixed[c, y, x] == pytest.approx(0.3 * one + 0.7 * two, abs=1e-5)


@pytest.mark.parametrize("offset", [0.0, 200.0])
def test_statistics_are_those_of_the_background_alone(offset):
    random = np.random.default_rng(1)
    pixels = (random.normal(0.5, [[[0.01]], [[0.05]], [[0.2]]], (3, 20, 30)) + offset).astype("f")
    mask = (random.random((20, 30)) < 0.4).astype(np.uint8) * IGNORED
    pixels[:, mask > 0] += 5
    found = background_statistics(pixels, mask)
    empty = pixels[:, mask == 0].astype(float)
    np.testing.assert_allclose(found.mean, empty.mean(1), rtol=1e-5)
    np.testing.assert_allclose(found.std, empty.std(1), rtol=1e-3)
    normal = standardise(pixels, found)[:, mask == 0]
    np.testing.assert_allclose(normal.mean(1), 0, atol=2e-3 if offset else 1e-4)
    np.testing.assert_allclose(normal.std(1), 1, rtol=1e-2)


def test_a_picture_full_of_cells_has_no_statistics():
    assert background_statistics(np.ones((3, 9, 9), np.float32), np.ones((9, 9), np.uint8)) is None


def test_a_flat_background_does_not_divide_by_nothing():
    flat = background_statistics(np.full((1, 9, 9), 0.5, np.float32), np.zeros((9, 9), np.uint8))
    assert np.isfinite(standardise(np.ones((1, 9, 9), np.float32), flat)).all()


def test_pictures_of_two_sizes_are_refused():
    one, two = np.zeros((1, 3, 3), np.float32), np.zeros((1, 3, 4), np.float32)
    with pytest.raises(ValueError, match=r"shapes are \(1, 3, 3\) and \(1, 3, 4\)"):
        mix(one, two, 0.5)
    with pytest.raises(ValueError, match="masks' shapes"):
        mix_masks(one[0], two[0])
