from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from napari_wbc_nca.ops import metrics
from napari_wbc_nca.ops.metrics import class_scores, confusion_matrix, match_points

seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_iou_and_dice_against_sets_of_pixels(seed):
    a, b = np.random.default_rng(seed).random((2, 4, 5)) < 0.5
    first, second = (set(map(tuple, np.argwhere(mask).tolist())) for mask in (a, b))
    assert metrics.iou(a, b) == pytest.approx(len(first & second) / len(first | second))
    expected = 2 * len(first & second) / (len(first) + len(second))
    assert metrics.dice(a, b) == pytest.approx(expected)


def test_two_empty_masks_agree():
    empty = np.zeros((3, 3), bool)
    assert metrics.iou(empty, empty) == metrics.dice(empty, empty) == 1
    assert metrics.iou(empty, ~empty) == metrics.dice(empty, ~empty) == 0


corners = st.tuples(*[st.integers(0, 12)] * 4).map(
    lambda v: (min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3]))
)


@given(st.lists(corners, max_size=4), st.lists(corners, max_size=4))
def test_box_iou_against_painted_boxes(a, b):
    scores = metrics.box_iou(a, b)
    assert scores.shape == (len(a), len(b))
    for i, j in np.ndindex(scores.shape):
        first, second = np.zeros((2, 12, 12), bool)
        first[a[i][0] : a[i][2], a[i][1] : a[i][3]] = True
        second[b[j][0] : b[j][2], b[j][1] : b[j][3]] = True
        expected = metrics.iou(first, second) if (first | second).any() else 0
        assert scores[i, j] == pytest.approx(expected)


@given(seeds)
def test_label_iou_against_masks(seed):
    true, predicted = np.random.default_rng(seed).choice([0, 2, 5, 9], (2, 5, 6))
    scores = metrics.label_iou(true.astype(np.uint32), predicted)
    names = [[label for label in np.unique(image) if label] for image in (true, predicted)]
    expected = [[metrics.iou(true == i, predicted == j) for j in names[1]] for i in names[0]]
    np.testing.assert_allclose(scores, np.reshape(expected, scores.shape))


def test_label_images_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 2\)"):
        metrics.label_iou(np.zeros((2, 3), int), np.zeros((3, 2), int))


def best_matching(scores, minimum):
    tall = scores if scores.shape[0] >= scores.shape[1] else scores.T
    kept = tall * (tall >= minimum)
    return max(
        sum(kept[i, j] for j, i in enumerate(rows))
        for rows in permutations(range(tall.shape[0]), tall.shape[1])
    )


@given(st.integers(0, 4), st.integers(0, 4), seeds, st.sampled_from([0, 0.3, 0.5]))
def test_matching_against_every_assignment(n, m, seed, minimum):
    rng = np.random.default_rng(seed)
    scores = rng.random((n, m)) * (rng.random((n, m)) < 0.7)
    pairs = metrics.match_scores(scores, minimum)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    taken = scores[pairs[:, 0], pairs[:, 1]]
    assert (taken > 0).all()
    assert (taken >= minimum).all()
    assert taken.sum() == pytest.approx(best_matching(scores, minimum))


def test_the_best_pair_is_given_up_for_two_that_sum_to_more():
    scores = [[0.8, 0.6], [0.7, 0.0]]
    assert metrics.match_scores(scores).tolist() == [[0, 1], [1, 0]]
    assert metrics.match_scores(scores, 0.65).tolist() == [[0, 0]]


def test_balanced_accuracy_weighs_classes_alike():
    true = ["a"] * 9 + ["b"]
    assert metrics.balanced_accuracy(true, ["a"] * 10) == 0.5
    assert metrics.balanced_accuracy(true, ["a"] * 8 + ["c", "b"]) == pytest.approx((8 / 9 + 1) / 2)
    assert np.isnan(metrics.balanced_accuracy([], []))


def discs(rng, count):
    """Label image of squares that may cover each other in part."""
    image = np.zeros((24, 24), int)
    for label in range(1, count + 1):
        y, x, side = *rng.integers(0, 20, 2), rng.integers(2, 9)
        image[y : y + side, x : x + side] = label * 3
    return image


def slow_aji(true, predicted):
    """The definition of Kumar et al., in sets of pixels."""
    cells = [set(np.flatnonzero(true == label)) for label in np.unique(true[true > 0])]
    found = [set(np.flatnonzero(predicted == n)) for n in np.unique(predicted[predicted > 0])]
    shared, union, taken = 0, 0, set()
    for cell in cells:
        scores = [len(cell & other) / len(cell | other) for other in found]
        if not scores or max(scores) == 0:
            union += len(cell)
            continue
        best = scores.index(max(scores))
        shared, union = shared + len(cell & found[best]), union + len(cell | found[best])
        taken.add(best)
    union += sum(len(other) for n, other in enumerate(found) if n not in taken)
    return shared / union if union else 1.0


@pytest.mark.parametrize("seed", range(30))
def test_aggregated_jaccard_is_that_of_its_definition(seed):
    rng = np.random.default_rng(seed)
    true, predicted = discs(rng, seed % 5), discs(rng, (seed // 5) % 4)
    assert metrics.aggregated_jaccard(true, predicted) == pytest.approx(slow_aji(true, predicted))


def test_aggregated_jaccard_by_hand():
    true = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    predicted = np.array([[5, 0, 7, 0], [5, 0, 7, 0]])
    assert metrics.aggregated_jaccard(true, predicted) == 2 / (4 + 2 + 2)
    assert metrics.aggregated_jaccard(true * 0, predicted * 0) == 1


@pytest.mark.parametrize(
    ("scores", "n_true", "n_predicted", "expected"),
    [
        ([1, 1], 2, 2, 1),
        ([0.8, 0.6, 0.4], 4, 3, 1.4 / (2 + 0.5 * 1 + 0.5 * 2)),
        ([], 0, 0, 1),
        ([0.5], 1, 1, 0),
        ([], 3, 0, 0),
    ],
)
def test_panoptic_quality_by_hand(scores, n_true, n_predicted, expected):
    found = metrics.panoptic_quality(scores, n_true, n_predicted)
    assert found == pytest.approx(expected)


def brute(true, found, limit):
    """Most pairs, and least total distance, over every one-to-one assignment."""
    away = np.hypot(*np.moveaxis(true[:, None] - found[None], -1, 0))
    padded = np.full((len(true), max(len(true), len(found)) + len(true)), np.inf)
    padded[:, : len(found)] = np.where(away <= limit[:, None], away, np.inf)
    best = (0, 0.0)
    for columns in permutations(range(len(found) + len(true)), len(true)):
        chosen = padded[np.arange(len(true)), columns]
        near = np.isfinite(chosen)
        best = min(best, (-int(near.sum()), float(chosen[near].sum())))
    return -best[0], best[1]


def score(true, found, pairs):
    return len(pairs), float(np.hypot(*(true[pairs[:, 0]] - found[pairs[:, 1]]).T).sum())


@pytest.mark.parametrize("seed", range(12))
def test_as_good_as_trying_everything(seed):
    random = np.random.default_rng(seed)
    true, found = random.uniform(0, 10, (4, 2)), random.uniform(0, 10, (3 + seed % 3, 2))
    limit = random.uniform(1, 6, len(true))
    pairs = match_points(true, found, limit)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    count, total = brute(true, found, limit)
    assert score(true, found, pairs) == (count, pytest.approx(total))


@pytest.mark.parametrize("seed", range(5))
def test_as_good_as_scipy_on_all_points_at_once(seed):
    random = np.random.default_rng(seed)
    true, found = random.uniform(0, 100, (60, 2)), random.uniform(0, 100, (75, 2))
    away = np.hypot(*np.moveaxis(true[:, None] - found[None], -1, 0))
    scores = np.where(away <= 9, 1000 - away, 0)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    near = scores[rows, columns] > 0
    pairs = match_points(true, found, 9)
    expected = (near.sum(), pytest.approx(away[rows, columns][near].sum()))
    assert score(true, found, pairs) == expected


def test_greed_would_lose_a_pair():
    assert match_points([[0, 0], [0, 4]], [[0, 3], [0, 9]], 6).tolist() == [[0, 0], [1, 1]]


def test_nothing_to_assign():
    for true, found in (([], []), ([[0, 0]], []), ([], [[0, 0]]), ([[0, 0]], [[9, 9]])):
        assert match_points(true, found, 1).shape == (0, 2)


def test_coinciding_points():
    assert len(match_points([[1, 1], [1, 1]], [[1, 1], [1, 1], [1, 1]], 0.5)) == 2


def test_two_thousand_points_are_quick():
    random = np.random.default_rng(0)
    true = random.uniform(0, 1000, (2000, 2))
    moved = random.permutation(true) + 0.1
    assert len(match_points(true, moved, 10)) == 2000


def test_figures_are_those_of_counting_pixels():
    random = np.random.default_rng(0)
    true, found = random.integers(0, 3, (2, 9, 9))
    table = class_scores(confusion_matrix(true, found, 3), ("background", "a", "b")).set_index(
        "class"
    )
    for number, name in enumerate(("background", "a", "b")):
        hits = np.sum((true == number) & (found == number))
        assert table["accuracy"][name] == pytest.approx(hits / np.sum(true == number))
        joined = np.sum((true == number) | (found == number))
        assert table["iou"][name] == pytest.approx(hits / joined)


def test_what_nobody_knows_does_not_count_and_absent_classes_are_left_out():
    true, found = np.array([0, 0, 1, 255]), np.array([0, 2, 1, 1])
    counts = confusion_matrix(true, found, 4)
    assert counts.sum() == 3
    table = class_scores(counts, ("background", "a", "b", "c"))
    assert table["class"].tolist() == ["background", "a", "b"]
    assert np.isnan(table["accuracy"].iloc[2])
    assert table["iou"].iloc[2] == 0


def test_maps_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        confusion_matrix(np.zeros((2, 2), int), np.zeros((2, 3), int), 2)
