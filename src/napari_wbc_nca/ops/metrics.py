"""Agreement of masks, boxes, points and classes with the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    import pandas as pd

Mask = npt.NDArray[np.bool_]
Matrix = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.intp]


def iou(a: Mask, b: Mask) -> float:
    """Compute the intersection over union of two masks; 1 when both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def dice(a: Mask, b: Mask) -> float:
    """Compute twice the intersection over the sum of two masks' areas; 1 when both are empty."""
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / total if total else 1.0


def box_iou(a: npt.ArrayLike, b: npt.ArrayLike) -> Matrix:
    """Compute the ``(N, M)`` IoU of boxes ``(N, 4)`` and ``(M, 4)``, each ``y0, x0, y1, x1``.

    Examples
    --------
    >>> box_iou([[0, 0, 2, 2]], [[0, 1, 2, 3], [5, 5, 6, 6]]).round(3).tolist()
    [[0.333, 0.0]]
    """
    first = np.asarray(a, np.float64).reshape(-1, 1, 4)
    second = np.asarray(b, np.float64).reshape(1, -1, 4)
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clip(0).prod(axis=-1)
    areas = ((box[..., 2:] - box[..., :2]).clip(0).prod(axis=-1) for box in (first, second))
    union = sum(areas) - shared
    matrix: Matrix = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return matrix


def label_iou(true: npt.ArrayLike, predicted: npt.ArrayLike) -> Matrix:
    """Compute the ``(N, M)`` IoU of the labels of two label images of one shape.

    Rows and columns follow the sorted labels of either image, 0 left out. Raises ValueError when
    the shapes differ.
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    if true.shape != predicted.shape:
        raise ValueError(f"label images differ in shape: {true.shape} and {predicted.shape}")
    rows, row = np.unique(true, return_inverse=True)
    columns, column = np.unique(predicted, return_inverse=True)
    pairs = row.ravel() * columns.size + column.ravel()
    shared = np.bincount(pairs, minlength=rows.size * columns.size).reshape(rows.size, -1)
    union = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0) - shared
    matrix: Matrix = (shared / union)[np.ix_(rows != 0, columns != 0)]
    return matrix


def match_scores(scores: npt.ArrayLike, minimum: float = 0.0) -> Pairs:
    """Match rows and columns of ``(N, M)`` scores one to one so that their sum is the largest.

    Pairs need a positive score of at least `minimum`. Returns ``(K, 2)`` row and column indices, in
    the order of the rows.
    """
    values = np.asarray(scores, np.float64)
    allowed = (values >= minimum) & (values > 0)
    pairs: Pairs = np.stack(linear_sum_assignment(values * allowed, maximize=True), axis=1)
    return pairs[allowed[pairs[:, 0], pairs[:, 1]]]


def match_points(true: npt.ArrayLike, found: npt.ArrayLike, distance: npt.ArrayLike) -> Pairs:
    """Match as many points as possible one to one within a distance, the nearest of these.

    Returns ``(K, 2)`` indices into `true`, ``(N, 2)``, and `found`, ``(M, 2)``, in the order of
    `true`. The greatest `distance` of a pair is one number, or ``(N,)`` one for each true point.

    Examples
    --------
    >>> match_points([[0, 0], [0, 4]], [[0, 3], [0, 9]], distance=6).tolist()
    [[0, 0], [1, 1]]
    """
    truth = np.asarray(true, np.float64).reshape(-1, 2)
    guess = np.asarray(found, np.float64).reshape(-1, 2)
    limit = np.broadcast_to(np.asarray(distance, np.float64), len(truth))
    near = cKDTree(guess).query_ball_point(truth, limit) if len(guess) else []
    rows = np.repeat(np.arange(len(near)), np.fromiter(map(len, near), np.intp))
    if not len(rows):
        return np.empty((0, 2), np.intp)
    columns = np.concatenate([np.asarray(others, np.intp) for others in near])
    away = np.hypot(*(truth[rows] - guess[columns]).T)
    # Only points that are connected by near pairs compete: each group is matched by itself.
    size = len(truth) + len(guess)
    graph = coo_array((np.ones(len(rows)), (rows, columns + len(truth))), shape=(size, size))
    group = connected_components(graph, directed=False)[1][rows]
    order = np.argsort(group, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    pairs = np.concatenate([_match_group(rows[g], columns[g], away[g]) for g in groups])
    return pairs[np.argsort(pairs[:, 0])]


def _match_group(rows: Pairs, columns: Pairs, away: Matrix) -> Pairs:
    """Match the points of one group, listed as all of its near pairs."""
    truth, row = np.unique(rows, return_inverse=True)
    guess, column = np.unique(columns, return_inverse=True)
    scores = np.zeros((len(truth), len(guess)))
    # One more pair is worth more than any distance of all others.
    scores[row, column] = (min(scores.shape) + 1) * (float(away.max()) + 1) - away
    pairs = match_scores(scores)
    return np.stack([truth[pairs[:, 0]], guess[pairs[:, 1]]], 1)


def f1(hits: int, n_true: int, n_predicted: int) -> float:
    """Compute the harmonic mean of precision and recall; 1 without any object."""
    return 2 * hits / (n_true + n_predicted) if n_true + n_predicted else 1.0


def panoptic_quality(scores: npt.ArrayLike, n_true: int, n_predicted: int) -> float:
    r"""Compute the panoptic quality of instances, after Kirillov et al. (2019).

    .. math:: PQ = \frac{\sum_{TP} IoU}{TP + FP / 2 + FN / 2}

    Of the pairs' IoU, `scores`, those above 0.5 are true positives, as no two can share a cell.
    `n_true` and `n_predicted` count the instances.

    Examples
    --------
    >>> panoptic_quality([0.8, 0.4], 2, 3)
    0.32
    """
    values = np.asarray(scores, np.float64)
    total = n_true + n_predicted
    return float(2 * values[values > 0.5].sum() / total) if total else 1.0


def aggregated_jaccard(true: npt.ArrayLike, predicted: npt.ArrayLike) -> float:
    r"""Compute the aggregated Jaccard index of two label images, after Kumar et al. (2017).

    .. math:: AJI = \frac{\sum_i |G_i \cap P_{j(i)}|}
        {\sum_i |G_i \cup P_{j(i)}| + \sum_{k \notin j} |P_k|}

    Each true cell G takes the predicted cell P of largest IoU, whatever others take; a predicted
    cell that none takes only adds to the denominator, as does a true cell that meets none. It is 1
    when both images are empty.
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    scores = label_iou(true, predicted)
    true_area, area = (np.unique(x[x != 0], return_counts=True)[1] for x in (true, predicted))
    rows = np.flatnonzero(scores.any(axis=1))
    best = scores[rows].argmax(axis=1) if rows.size else rows
    overlap = scores[rows, best]
    shared = ((true_area[rows] + area[best]) * overlap / (1 + overlap)).sum()
    free = np.delete(area, best).sum()
    union = true_area.sum() + area[best].sum() - shared + free
    return float(shared / union) if union else 1.0


def balanced_accuracy(true: Sequence[str], predicted: Sequence[str]) -> float:
    """Compute the mean recall over the true classes; NaN without any cell.

    By hand, as scikit-learn warns of classes that were predicted only.

    Examples
    --------
    >>> balanced_accuracy(["a", "a", "a", "b"], ["a", "a", "a", "a"])
    0.5
    """
    truth, guess = np.asarray(true, dtype=object), np.asarray(predicted, dtype=object)
    recalls = [float(np.mean(guess[truth == name] == name)) for name in sorted(set(true))]
    return float(np.mean(recalls)) if recalls else float("nan")


def confusion_matrix(true: npt.NDArray[Any], found: npt.NDArray[Any], classes: int) -> Counts:
    """Count pixels ``(classes, classes)`` by true class, in rows, and found class, in columns.

    Pixels whose true class is `classes` or more are unknown and count nowhere. By hand, as
    scikit-learn sorts all pixels. Raises ValueError when the shapes differ.

    Examples
    --------
    >>> confusion_matrix(np.array([0, 1, 1, 9]), np.array([0, 1, 0, 1]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    if true.shape != found.shape:
        raise ValueError(f"class maps differ in shape: {true.shape} and {found.shape}")
    known = true < classes
    pairs = true[known].astype(np.int64) * classes + found[known].astype(np.int64)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def class_scores(counts: Counts, names: Sequence[str]) -> pd.DataFrame:
    r"""Score each class that is in the truth or was found.

    .. math:: \mathrm{accuracy} = \frac{TP}{TP + FN}, \qquad
              \mathrm{IoU} = \frac{TP}{TP + FN + FP}

    Columns are class, accuracy (NaN where the class is not in the truth), iou and pixels; `counts`
    are those of :func:`confusion_matrix`, summed over pictures.
    """
    import pandas as pd

    right = np.diag(counts).astype(float)
    true, found = counts.sum(1), counts.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        accuracy, overlap = right / true, right / (true + found - right)
    columns = {"class": list(names), "accuracy": accuracy, "iou": overlap, "pixels": true}
    present: pd.DataFrame = pd.DataFrame(columns)[(true > 0) | (found > 0)]
    return present.reset_index(drop=True)
