"""Parts of a data set for cross-validation."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence


def stratified_folds(
    groups: Sequence[str], classes: Sequence[Sequence[str]], folds: int, seed: int = 0
) -> npt.NDArray[np.intp]:
    """Fold of each sample, so that groups stay whole and each fold has its share of each class.

    Groups are taken in turn, those that hold the largest share of some class first, equals in
    random order. Each goes to the fold that keeps the sum of the squared shares smallest.

    Parameters
    ----------
    groups
        Group of each sample, such as its slide.
    classes
        Classes of each sample's cells.
    folds
        How many.
    seed
        Of the random order.

    Raises
    ------
    ValueError
        When there are fewer groups than folds.
    """
    names, group = np.unique(np.asarray(groups, object), return_inverse=True)
    if len(names) < folds:
        raise ValueError(
            f"{len(names)} groups cannot make {folds} folds; ask for fewer folds, or for a group "
            "that divides the samples further"
        )
    kinds = sorted({name for some in classes for name in some})
    counts = np.zeros((len(names), len(kinds)))
    for row, some in zip(group, classes, strict=True):
        for name, count in Counter(some).items():
            counts[row, kinds.index(name)] += count
    share = counts / counts.sum(axis=0)
    fold, held, sizes = np.zeros(len(names), np.intp), np.zeros((folds, len(kinds))), [0] * folds
    order = np.random.default_rng(seed).permutation(len(names))
    for item in order[np.argsort(-share[order].max(axis=1, initial=0), kind="stable")]:
        # What the fold's squared shares grow by, apart from a term that is the same for all.
        growth = held @ share[item]
        chosen = int(np.lexsort((sizes, growth))[0])
        fold[item] = chosen
        held[chosen] += share[item]
        sizes[chosen] += 1
    return fold[group]
