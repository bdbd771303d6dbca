"""Which found points are which true ones: optimal, one to one, within a distance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


def assign(
    true: npt.ArrayLike, found: npt.ArrayLike, distance: npt.ArrayLike
) -> npt.NDArray[np.intp]:
    """Pairs of as many points as possible that are near each other, and of these the nearest.

    Parameters
    ----------
    true
        ``(N, 2)`` points.
    found
        ``(M, 2)`` points.
    distance
        Greatest distance of a pair; one number, or ``(N,)`` one for each true point.

    Returns
    -------
    ndarray
        ``(K, 2)`` indices into `true` and `found`, in the order of `true`.

    Examples
    --------
    >>> assign([[0, 0], [0, 4]], [[0, 3], [0, 9]], distance=6).tolist()
    [[0, 0], [1, 1]]
    """
    truth = np.asarray(true, np.float64).reshape(-1, 2)
    guess = np.asarray(found, np.float64).reshape(-1, 2)
    limit = np.broadcast_to(np.asarray(distance, np.float64), len(truth))
    rows, columns = _near(truth, guess, limit)
    if not len(rows):
        return np.empty((0, 2), np.intp)
    away = np.hypot(*(truth[rows] - guess[columns]).T)
    size = len(truth) + len(guess)
    graph = coo_array((np.ones(len(rows)), (rows, columns + len(truth))), shape=(size, size))
    group = connected_components(graph, directed=False)[1][rows]
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    pairs = np.concatenate([_best(rows[p], columns[p], away[p]) for p in parts])
    return pairs[np.argsort(pairs[:, 0])]


def _near(
    truth: npt.NDArray[np.float64], guess: npt.NDArray[np.float64], limit: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices of all pairs within the limit of the first."""
    if not len(truth) or not len(guess):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    near = cKDTree(guess).query_ball_point(truth, limit)
    rows = np.repeat(np.arange(len(truth)), [len(found) for found in near])
    return rows, np.concatenate([np.asarray(found, np.intp) for found in near])


def _best(
    rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], away: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """Best pairs of points that compete with each other."""
    truth, row = np.unique(rows, return_inverse=True)
    guess, column = np.unique(columns, return_inverse=True)
    # One more pair is worth more than any distance of all others.
    worth = (min(len(truth), len(guess)) + 1) * (float(away.max()) + 1)
    scores = np.zeros((len(truth), len(guess)))
    scores[row, column] = worth - away
    chosen = linear_sum_assignment(scores, maximize=True)
    real = scores[chosen] > 0
    return np.stack([truth[chosen[0][real]], guess[chosen[1][real]]], 1)
