"""Table of cells as a review shows and counts them: doubt, status, and type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from napari_wbc_nca.cell_types import AUTO, UNSURE
from napari_wbc_nca.ops.doubt import DoubtParams, describe_type, doubt

ADDED_COLUMNS = ("status", "reviewer", "reviewed_at")
"""Columns that a review adds to the table of cells."""


def rate(
    cells: pd.DataFrame,
    shape: tuple[int, int] | None,
    params: DoubtParams | None = None,
    temperature: float = 1.0,
) -> pd.DataFrame:
    """Rate the cells of an image for a review.

    Parameters
    ----------
    cells
        One row a cell, with the label as ``index`` or ``label``, ``class`` and ``area_px``.
    shape, params, temperature
        As in :func:`~napari_wbc_nca.ops.doubt.doubt`.

    Returns
    -------
    DataFrame
        One row a cell by label: `cells`, the columns of :func:`~napari_wbc_nca.ops.doubt.doubt`,
        ``nc_ratio``, ``status``, ``reviewer``, ``reviewed_at``, ``type`` (the class as lists show
        it) and ``group`` (the class by which it is counted: *unsure* where it is).
    """
    labels = cells["index" if "index" in cells else "label"].rename("index").astype(int)
    table = cells.set_index(labels).drop(columns="index", errors="ignore")
    for name in ADDED_COLUMNS:
        known = table[name] if name in table else pd.Series(index=table.index, dtype=object)
        table[name] = known.astype(object).where(known.notna(), "")
    origin = table["origin"] if "origin" in table else AUTO
    table["status"] = table["status"].where(table["status"] != "", origin)
    if {"nucleus_area_px", "area_px"} <= set(table):
        cytoplasm = (table["area_px"] - table["nucleus_area_px"]).clip(lower=1)
        table["nc_ratio"] = (table["nucleus_area_px"] / cytoplasm).round(2)
    rated = doubt(table, shape, params, temperature)
    reviewed = (table["status"] != AUTO).to_numpy()
    rated.loc[reviewed, ["unsure", "doubtful"]] = False
    table = table.drop(columns=[name for name in rated if name in table]).join(rated)
    unsure = table["unsure"].to_numpy(bool)
    table["group"] = table["class"].astype(object).where(~unsure, UNSURE)
    table["type"] = table["class"].astype(object)
    columns = ["class", "probability", "second", "second_probability", "unsure"]
    # By dictionaries: making a Series of each row takes a hundred times longer.
    rows = table.loc[unsure, columns].to_dict("records")
    table.loc[unsure, "type"] = [describe_type(row) for row in rows]
    return table


def calibration(record: Mapping[str, Any]) -> tuple[float, DoubtParams]:
    """Return temperature and thresholds of the model of a run's `record`, else the defaults."""
    found = record.get("calibration", {})
    default = DoubtParams()
    below = float(found.get("unsure_below", default.unsure_below))
    return float(found.get("temperature", 1.0)), replace(default, unsure_below=below)
