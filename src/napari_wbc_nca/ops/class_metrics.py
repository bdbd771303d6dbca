"""Agreement of class maps, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Counts = npt.NDArray[np.int64]


def confusion(true: npt.NDArray[Any], found: npt.NDArray[Any], classes: int) -> Counts:
    """Pixels ``(classes, classes)`` of each true class, in rows, and found class, in columns.

    Pixels whose true class is `classes` or more count nowhere: nobody knows them.

    Raises
    ------
    ValueError
        When the shapes differ.

    Examples
    --------
    >>> confusion(np.array([0, 1, 1, 9]), np.array([0, 1, 0, 1]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    if true.shape != found.shape:
        raise ValueError(f"class maps differ in shape: {true.shape} and {found.shape}")
    known = true < classes
    pairs = true[known].astype(np.int64) * classes + found[known].astype(np.int64)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def by_class(counts: Counts, names: Sequence[str]) -> pd.DataFrame:
    r"""Accuracy and IoU of each class that is in the truth or was found.

    .. math:: \mathrm{accuracy} = \frac{TP}{TP + FN}, \qquad
              \mathrm{IoU} = \frac{TP}{TP + FN + FP}

    Parameters
    ----------
    counts
        As :func:`confusion` gives them, summed over pictures.
    names
        Of the classes.

    Returns
    -------
    DataFrame
        class, accuracy (NaN where the class is not in the truth), iou, pixels.
    """
    import pandas as pd

    right = np.diag(counts).astype(float)
    true, found = counts.sum(1), counts.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        table = pd.DataFrame(
            {
                "class": list(names),
                "accuracy": right / true,
                "iou": right / (true + found - right),
                "pixels": true,
            }
        )
    seen: pd.DataFrame = table[(true > 0) | (found > 0)].reset_index(drop=True)
    return seen
