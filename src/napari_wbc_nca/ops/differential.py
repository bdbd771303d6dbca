"""Differential count of white blood cells, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_wbc_nca.cell_types import (
    AUTO,
    BACKGROUND,
    NONE,
    PLATELET,
    RBC,
    REJECTED,
    TYPES,
    UNSURE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Cells = pd.DataFrame | Mapping[str, np.ndarray]

NOT_WHITE = frozenset({NONE, RBC, PLATELET, BACKGROUND, "erythroblast"})
"""Classes that are not part of a differential of white cells."""
TOTAL = "all white cells"


def differential(cells: Cells, classes: Iterable[str] = TYPES) -> pd.DataFrame:
    """Count cells by class.

    Percentages are shares of all white cells, unsure ones included; red cells, platelets and
    erythroblasts are not counted, nor are cells that were rejected. Intervals are Wilson's, of
    95 % (Wilson, J. Am. Stat. Assoc. 22, 1927).

    Parameters
    ----------
    cells
        One row a cell, or an array a column, with ``class``; where they are there, ``status``
        (``rejected`` leaves a cell out, ``auto`` is not reviewed), ``doubtful`` and
        ``touches_border`` are counted.
    classes
        Classes that are listed even where no cell has them, in this order; others follow by name,
        `UNSURE` and the total come last.

    Returns
    -------
    DataFrame
        One row a class with ``class``, ``n``, ``percent``, ``low``, ``high`` (of the percentage),
        ``reviewed``, ``doubtful`` and ``border``.

    Examples
    --------
    >>> cells = pd.DataFrame({"class": ["neutrophil"] * 3 + ["monocyte"]})
    >>> differential(cells, ["neutrophil"])[["class", "n", "percent"]].values.tolist()
    [['neutrophil', 3, 75.0], ['monocyte', 1, 25.0], ['all white cells', 4, 100.0]]
    """
    status = _column(cells, "status", AUTO)
    names = _column(cells, "class", NONE)
    codes, found = pd.factorize(names)  # by numbers: grouping takes ten times as long
    counted = ~np.isin(found, list(NOT_WHITE))[codes] & (status != REJECTED)
    present = {str(found[code]) for code in np.unique(codes[counted])}
    order = list(dict.fromkeys(name for name in classes if name != UNSURE))
    order += sorted(present - {*order, UNSURE}) + [UNSURE] * (UNSURE in present)
    at = {str(name): number for number, name in enumerate(found)}
    marks = {
        "n": counted,
        "reviewed": counted & (status != AUTO),
        "doubtful": counted & _column(cells, "doubtful", False).astype(bool),
        "border": counted & _column(cells, "touches_border", False).astype(bool),
    }
    sums = {}
    for name, mark in marks.items():
        known = np.append(np.bincount(codes[mark], minlength=len(found)), 0)
        numbers = known[[at.get(kind, -1) for kind in order]]
        sums[name] = np.append(numbers, numbers.sum()).astype(int)
    total = int(sums["n"][-1])
    low, high = wilson_interval(sums["n"], total)
    shares = {"percent": sums["n"] / max(total, 1), "low": low, "high": high}
    columns = {"n": sums.pop("n"), **{name: 100 * share for name, share in shares.items()}, **sums}
    return pd.DataFrame({"class": [*order, TOTAL], **columns})


def wilson_interval(
    hits: np.ndarray, total: int, z: float = 1.959963984540054
) -> tuple[np.ndarray, np.ndarray]:
    """Compute Wilson's interval of a share, without continuity correction.

    The ``(N,)`` lower and upper ends are in 0–1, of ``(N,)`` counts `hits` out of `total`, of which
    0 gives the interval from 0 to 1. `z` is the quantile of the normal distribution, for 95 %.

    Examples
    --------
    >>> low, high = wilson_interval(np.array([5]), 10)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.237], [0.763])
    """
    counts = np.asarray(hits, float)
    if total == 0:
        return np.zeros_like(counts), np.ones_like(counts)
    share, square = counts / total, z**2 / total
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * np.sqrt(share * (1 - share) / total + square / (4 * total))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def _column(cells: Cells, name: str, default: object) -> np.ndarray:
    """Return values of a column ``(N,)``; `default` where the column, or a value, is missing."""
    if name not in cells:
        size = len(cells) if isinstance(cells, pd.DataFrame) else len(cells["class"])
        return np.full(size, default, object)
    values = np.asarray(cells[name])
    missing = pd.isna(values)
    if missing.any():
        values = values.astype(object)
        values[missing] = default
    return values
