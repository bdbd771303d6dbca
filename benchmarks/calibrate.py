"""Calibrate a model of types on cells that did not train it, and measure how well.

    python benchmarks/calibrate.py TYPES.csv OUTPUT SET ... [--each]

``TYPES.csv`` is what ``measure_types.py`` wrote: each cell as the program finds, outlines and types
it. The temperature, and the threshold of *unsure*, the least above which 95 % of the cells are
typed right, with ``--each`` of the cells of each set, are fitted on the SETs, none of whose cells
trained the model; each type of each set counts alike in the temperature. It is 1 or more, since to
be surer in one laboratory does not make it right in another.
``OUTPUT/calibration.json`` has them, and for each set the expected calibration error, the accuracy
of the cells above the threshold, and their share; ``OUTPUT/types.md`` is the table of the docs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from measure_types import balanced, five
from scipy.optimize import minimize_scalar

from napari_wbc_nca.cell_types import TYPES
from napari_wbc_nca.ops.doubt import scale_by_temperature

Values = npt.NDArray[np.float64]

ACCURACY = 0.95
BINS, DRAWS = 10, 1000


def main(predictions: Path, output: Path, fitted: list[str], each: bool) -> None:
    """Fit on some sets and measure on all, from the table that ``measure_types.py`` wrote."""
    table = pd.read_csv(predictions)
    sets = {str(name): five(part) for name, part in table.groupby("data")}
    known = pd.concat([sets[name] for name in fitted])
    temperature = max(1.0, fit_temperature(known))
    parts = [sets[name] for name in fitted] if each else [known]
    threshold = max(unsure_threshold(*confidence(part, temperature)) for part in parts)
    found: dict[str, Any] = {"temperature": temperature, "unsure_threshold": threshold, "sets": {}}
    for name, part in sets.items():
        own, right = confidence(part, temperature)
        kept = own >= threshold
        low, high = error_interval(own, right)
        found["sets"][name] = {
            "cells": len(part),
            "balanced": balanced(part),
            "calibration_error": calibration_error(own, right),
            "interval": [low, high],
            "accuracy_above": float(right[kept].mean()) if kept.any() else None,
            "share_above": float(kept.mean()),
            "coverage": [[round(v, 3) for v in pair] for pair in coverage(own, right)],
        }
    text = json.dumps(found, indent=2) + "\n"
    (output / "calibration.json").write_text(text, encoding="utf-8")
    rows = "\n".join([*_table(sets, found["sets"]), ""])
    (output / "types.md").write_text(rows, encoding="utf-8")
    print(rows)


def _table(sets: dict[str, pd.DataFrame], found: dict[str, Any]) -> list[str]:
    """Rows of Markdown, one a set."""
    rows = [
        "| set | cells | balanced | by `wbc-smear` itself | calibration error | right above the "
        "threshold | share above |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, part in sets.items():
        own = found[name]
        low, high = own["interval"]
        rows.append(
            f"| `{name}` | {len(part)} | {balanced(part):.3f} | {balanced(part, 'before'):.3f} | "
            f"{own['calibration_error']:.3f} ({low:.3f} to {high:.3f}) | "
            f"{own['accuracy_above']:.3f} | {own['share_above']:.2f} |"
        )
    return rows


def found_cells(part: pd.DataFrame) -> pd.DataFrame:
    """Keep the cells that were found."""
    return part.dropna(subset=[f"p_{name}" for name in TYPES])


def probabilities(found: pd.DataFrame) -> tuple[Values, npt.NDArray[np.intp]]:
    """``(N, 5)`` probabilities of cells, and the numbers of their true types."""
    values = found[[f"p_{name}" for name in TYPES]].to_numpy(float)
    return values, np.array([TYPES.index(name) for name in found["true"]])


def fit_temperature(part: pd.DataFrame) -> float:
    """Find the temperature of the least cross-entropy, each type of each set counted alike."""
    found = found_cells(part)
    values, true = probabilities(found)
    weights = 1 / found.groupby(["data", "true"])["true"].transform("size").to_numpy(float)

    def loss(log: float) -> float:
        chosen = scale_by_temperature(values, float(np.exp(log)))[np.arange(len(true)), true]
        return float(-(weights * np.log(chosen.clip(1e-12))).sum() / weights.sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def confidence(part: pd.DataFrame, temperature: float) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Calibrated probability of the likeliest type of each cell, and whether it is the true one."""
    values, true = probabilities(found_cells(part))
    after = scale_by_temperature(values, temperature)
    return after.max(1), after.argmax(1) == true


def unsure_threshold(own: Values, right: npt.NDArray[np.bool_]) -> float:
    """Find the least threshold above which the asked share is right; 1 where none is."""
    order = np.argsort(-own, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(own) + 1)
    enough = np.flatnonzero(share >= ACCURACY)
    return float(own[order][enough[-1]]) if len(enough) else 1.0


def calibration_error(own: Values, right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error over bins of equal numbers of cells."""
    parts = np.array_split(np.argsort(own, kind="stable"), min(BINS, len(own)))
    gaps = [abs(own[part].mean() - right[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(own))


def error_interval(own: Values, right: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """95 % bootstrap interval of the expected calibration error."""
    rng = np.random.default_rng(0)
    draws = (rng.integers(len(own), size=len(own)) for _ in range(DRAWS))
    low, high = np.quantile([calibration_error(own[d], right[d]) for d in draws], [0.025, 0.975])
    return float(low), float(high)


def coverage(own: Values, right: npt.NDArray[np.bool_]) -> list[list[float]]:
    """Share kept, and its accuracy, of the surest tenth, fifth and so on of the cells."""
    order = np.argsort(-own, kind="stable")
    counts = [max(1, round(len(own) * share / 10)) for share in range(1, 11)]
    return [[count / len(own), float(right[order[:count]].mean())] for count in counts]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("fitted", nargs="+")
    parser.add_argument("--each", action="store_true")
    main(**vars(parser.parse_args()))
