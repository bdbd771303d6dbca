"""Doubt about segmented cells: which of them a reviewer should look at first, and why."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_wbc_nca.cell_types import NONE, UNSURE
from napari_wbc_nca.params import bounded

Values = npt.NDArray[np.float64]

REASONS = {
    "probability": "no type is likely",
    "margin": "two types are nearly as likely",
    "agreement": "the type changes when the cell is rotated",
    "outline_agreement": "the outline changes when the cell is rotated",
    "contrast": "the outline is faint",
    "roundness": "the outline is not round",
    "offset": "the outline lies to one side of where the cell was found",
    "surroundings": "the model sees more of the cell outside of the outline",
    "diameter": "it is smaller or larger than cells of this image should be",
    "size": "its size is unusual among the cells here",
    "nc_ratio": "its N:C ratio is unusual for its type here",
    "border": "the image's border cuts the cell",
}
"""Part of the doubt to the reason that a reviewer reads."""

_RAMPS = {
    "outline_agreement": ("outline_agreement", 0.96, 0.89),
    "contrast": ("contrast", 0.38, 0.11),
    "roundness": ("roundness", 0.86, 0.65),
    "offset": ("centre_offset", 0.04, 0.16),
    "surroundings": ("surroundings", 0.23, 0.36),
}
"""Part to the column it is made of, the value up to which that is usual, and from which extreme."""
_DIAMETER = 0.05, 0.3  # logarithm of a usual and of an extreme diameter over that of the run


@dataclass(frozen=True)
class DoubtParams:
    """How the parts of the doubt are weighted, and when a type is unsure."""

    probability: float = bounded(1.0, "Weight of a low probability", 0, 1)
    margin: float = bounded(0.1, "Weight of a small margin between two types", 0, 1)
    agreement: float = bounded(0.5, "Weight of types that change on rotation", 0, 1)
    outline_agreement: float = bounded(0.3, "Weight of outlines that change on rotation", 0, 1)
    contrast: float = bounded(0.3, "Weight of a faint outline", 0, 1)
    roundness: float = bounded(0.3, "Weight of an outline that is not round", 0, 1)
    offset: float = bounded(0.3, "Weight of an outline beside where the cell was found", 0, 1)
    surroundings: float = bounded(0.3, "Weight of signs of the cell around its outline", 0, 1)
    diameter: float = bounded(0.3, "Weight of a diameter unlike that of the run", 0, 1)
    size: float = bounded(0.1, "Weight of a size unlike the other cells'", 0, 1)
    nc_ratio: float = bounded(0.1, "Weight of an unusual N:C ratio", 0, 1)
    border: float = bounded(0.05, "Weight of a cell that the border cuts", 0, 1)
    unsure_below: float = bounded(
        0.5, "Calibrated probability below which a type is 'unsure'", 0, 1
    )
    doubtful_above: float = bounded(
        0.5, "Doubt above which a cell is to be reviewed, as unsure ones are", 0, 1
    )


def doubt(
    cells: pd.DataFrame,
    shape: tuple[int, int] | None = None,
    params: DoubtParams | None = None,
    temperature: float = 1.0,
) -> pd.DataFrame:
    r"""Rate how doubtful each cell is.

    .. math:: d = 1 - \prod_i (1 - w_i x_i)

    with the parts :math:`x_i`, 0 where usual and 1 where extreme, and their weights: the
    probability that something is wrong if each part, where extreme, is a sign of it by itself with
    probability :math:`w_i`.

    Parameters
    ----------
    cells
        One row a cell: the table of :class:`~napari_wbc_nca.types.Segmentation`. Parts whose
        columns are missing do not count.
    shape
        Height and width of the image; None takes no cell to be cut by the border.
    params
        Weights and thresholds.
    temperature
        Divides the logits of the probabilities: calibration of the model, 1 none.

    Returns
    -------
    DataFrame
        By the index of `cells`: ``doubt`` in 0–1, ``reason`` (that of the part that contributes
        most), ``doubtful``, ``touches_border``, ``probability`` (calibrated, of the likeliest
        type), ``second`` and ``second_probability``, ``unsure``, and each part in 0–1 under its
        name in `REASONS` with the prefix ``doubt_``.
    """
    weights = params or DoubtParams()
    probabilities, names = calibrated(cells, temperature)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rows = np.arange(len(cells))
    best = probabilities[rows, order[:, 0]] if names else np.full(len(cells), np.nan)
    several = len(names) > 1
    second = probabilities[rows, order[:, 1]] if several else np.full(len(cells), np.nan)
    border = touches_border(cells, shape)
    known: dict[str, Values] = {
        "probability": 1 - best,
        "margin": 1 - (best - second),
        "agreement": 1 - _numbers(cells, "rotation_agreement"),
        **{part: _ramp(_numbers(cells, name), *ends) for part, (name, *ends) in _RAMPS.items()},
        "diameter": _ramp(np.abs(np.log(_numbers(cells, "relative_diameter"))), *_DIAMETER),
        "size": unusual(np.log(_numbers(cells, "area_px").clip(min=1))),
        "nc_ratio": _unusual_by_class(cells),
        "border": border.astype(float),
    }
    parts = pd.DataFrame({name: known[name] for name in REASONS}, index=cells.index).clip(0, 1)
    weight = np.array([getattr(weights, name) for name in REASONS])
    weighted = np.nan_to_num(parts.to_numpy() * weight)
    total = 1 - np.prod(1 - weighted, axis=1)
    strongest = weighted.argmax(1) if len(cells) else np.zeros(0, int)
    out = pd.DataFrame({"doubt": total}, index=cells.index)
    out["reason"] = [list(REASONS.values())[n] for n in strongest]
    out["touches_border"] = border
    out["probability"] = best
    out["second"] = [names[n] for n in order[:, 1]] if several else ""
    out["second_probability"] = second
    out["unsure"] = best < weights.unsure_below
    out["doubtful"] = (total > weights.doubtful_above) | out["unsure"]
    return out.join(parts.add_prefix("doubt_"))


def _ramp(values: Values, usual: float, extreme: float) -> Values:
    """Rise from 0 at a usual value to 1 at an extreme one; NaN stays."""
    return np.asarray(((values - usual) / (extreme - usual)).clip(0, 1))


SMALL = "it is small for a white cell"
"""Reason by which a place that the model takes for a cell is none of the result."""
_MISSED = 0.2  # doubt at such a place
_NEARLY = 0.1  # doubt at any other place, per score


def missed_doubt(score: float, reason: str) -> float:
    """Rate how likely a cell is missed at a place, 0–1, from its score and why it is no cell."""
    return _MISSED if reason == SMALL else _NEARLY * float(np.clip(score, 0, 1))


def calibrated(cells: pd.DataFrame, temperature: float = 1.0) -> tuple[Values, list[str]]:
    """Calibrate the probabilities of the types, without *none*, by a temperature.

    Returns ``(N, types)`` probabilities that sum to 1, and the types' names.
    """
    columns = [name for name in cells if str(name).startswith("p_") and name != f"p_{NONE}"]
    found = scale_by_temperature(cells[columns].to_numpy(float), temperature)
    return found, [str(name)[2:] for name in columns]


def scale_by_temperature(probabilities: Values, temperature: float) -> Values:
    r"""Divide the logits of probabilities ``(N, C)`` by a temperature T.

    :math:`p_i^{1/T} / \sum_j p_j^{1/T}`, the softmax of the logits over T (Guo et al., ICML 2017).
    """
    powers = np.maximum(probabilities, 1e-12) ** (1 / temperature)
    sums = powers.sum(1, keepdims=True)
    return np.asarray(powers / np.where(sums > 0, sums, 1))


_LISTED = 0.05
"""Least addition to the doubt that is listed as a reason."""


def reasons(row: Mapping[Any, Any], params: DoubtParams | None = None) -> list[tuple[str, float]]:
    """List what makes a cell doubtful, with what each adds to its doubt, the most first.

    Examples
    --------
    >>> reasons({"doubt_contrast": 0.5, "doubt_probability": 0.4, "doubt_margin": 0.2})
    [('no type is likely', 0.4), ('the outline is faint', 0.15)]
    """
    weights = params or DoubtParams()
    added = {name: getattr(weights, name) * row.get(f"doubt_{name}", 0.0) for name in REASONS}
    listed = sorted((n for n in added if added[n] > _LISTED), key=lambda n: -added[n])
    return [(REASONS[name], float(added[name])) for name in listed]


def describe_type(row: pd.Series | Mapping[Hashable, Any]) -> str:
    """Write a type as every list shows it: an unsure one never as a bare fact.

    Examples
    --------
    >>> describe_type(pd.Series({"class": "neutrophil", "unsure": False}))
    'neutrophil'
    >>> row = {"class": "neutrophil", "probability": 0.54, "unsure": True}
    >>> describe_type(pd.Series(row | {"second": "eosinophil", "second_probability": 0.31}))
    'unsure (neutrophil 0.54, eosinophil 0.31)'
    """
    if not row.get("unsure"):
        return str(row["class"])
    first = f"{row['class']} {row['probability']:.2f}"
    if not row.get("second"):
        return f"{UNSURE} ({first})"
    return f"{UNSURE} ({first}, {row['second']} {row['second_probability']:.2f})"


def touches_border(cells: pd.DataFrame, shape: Sequence[int] | None) -> npt.NDArray[np.bool_]:
    """Find the cells whose boxes reach the border of an image of `shape`."""
    if shape is None or not {"box_y0", "box_x0", "box_y1", "box_x1"} <= set(cells):
        return np.zeros(len(cells), bool)
    y0, x0, y1, x1 = (cells[f"box_{name}"].to_numpy() for name in ("y0", "x0", "y1", "x1"))
    reached = (y0 <= 0) | (x0 <= 0) | (y1 >= shape[0]) | (x1 >= shape[1])
    return np.asarray(reached, bool)


def unusual(values: Values) -> Values:
    """Rate how far values lie from their median: 0 within two deviations, 1 from six on.

    The deviation is 1.4826 times the median distance from the median, at least 0.05. Of fewer
    than four values none is unusual.
    """
    known = values[np.isfinite(values)]
    if len(known) < 4:
        return np.where(np.isfinite(values), 0.0, np.nan)
    middle = np.median(known)
    deviation = max(1.4826 * float(np.median(np.abs(known - middle))), 0.05)
    return np.asarray(((np.abs(values - middle) / deviation - 2) / 4).clip(0, 1))


def _unusual_by_class(cells: pd.DataFrame) -> Values:
    """Rate how unusual the share of the nucleus is among cells of the same class."""
    ratio = _numbers(cells, "nucleus_area_px") / _numbers(cells, "area_px").clip(min=1)
    if "class" not in cells:
        return unusual(ratio)
    out = np.full(len(cells), np.nan)
    for _, rows in cells.groupby("class").indices.items():
        out[rows] = unusual(ratio[rows])
    return out


def _numbers(cells: pd.DataFrame, name: str) -> Values:
    return cells[name].to_numpy(float) if name in cells else np.full(len(cells), np.nan)
