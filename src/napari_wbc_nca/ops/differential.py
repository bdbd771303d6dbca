"""Differential count of white blood cells, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_wbc_nca.cell_types import BACKGROUND, NONE, PLATELET, RBC, REJECTED, TYPES, UNSURE

if TYPE_CHECKING:
    from collections.abc import Iterable

NOT_WHITE = frozenset({NONE, RBC, PLATELET, BACKGROUND, "erythroblast"})
"""Classes that are not part of a differential of white cells."""
TOTAL = "all white cells"


def differential(cells: pd.DataFrame, classes: Iterable[str] = TYPES) -> pd.DataFrame:
    """Count cells by class.

    Percentages are shares of all white cells, unsure ones included; red cells, platelets and
    erythroblasts are not counted, nor are cells that were rejected. Intervals are Wilson's, of
    95 % (Wilson, J. Am. Stat. Assoc. 22, 1927).

    Parameters
    ----------
    cells
        One row a cell with ``class``; where they are there, ``status`` (``rejected`` leaves a
        cell out, ``auto`` is not reviewed), ``doubtful`` and ``touches_border`` are counted.
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
    status = _column(cells, "status", "auto").astype(str)
    names = _column(cells, "class", NONE).astype(str)
    counted = ~names.isin(NOT_WHITE) & (status != REJECTED)
    table = pd.DataFrame(
        {
            "class": names,
            "reviewed": status != "auto",
            "doubtful": _column(cells, "doubtful", False).astype(bool),
            "border": _column(cells, "touches_border", False).astype(bool),
        }
    )[counted]
    found = set(table["class"])
    order = list(dict.fromkeys(name for name in classes if name != UNSURE))
    order += sorted(found - {*order, UNSURE}) + [UNSURE] * (UNSURE in found)
    sums = table.groupby("class").sum().reindex(order, fill_value=0)
    sums.insert(0, "n", table["class"].value_counts().reindex(order, fill_value=0))
    sums.loc[TOTAL] = sums.sum()
    low, high = wilson_interval(sums["n"].to_numpy(), len(table))
    share = sums["n"] / max(len(table), 1)
    percent = pd.DataFrame({"percent": share, "low": low, "high": high}, sums.index) * 100
    out = pd.concat([sums[["n"]], percent, sums[["reviewed", "doubtful", "border"]]], axis=1)
    whole = ["n", "reviewed", "doubtful", "border"]
    return out.astype(dict.fromkeys(whole, int)).rename_axis("class").reset_index()


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


def _column(cells: pd.DataFrame, name: str, default: object) -> pd.Series:
    """Return values of a column; `default` where the column, or a value, is missing."""
    if name not in cells:
        return pd.Series(default, cells.index)
    return cells[name].where(cells[name].notna(), default)
