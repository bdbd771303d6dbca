from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_wbc_nca.ops.doubt import (
    REASONS,
    SMALL,
    DoubtParams,
    calibrated,
    doubt,
    missed_doubt,
    unusual,
)


def cells(**columns):
    base = {
        "class": ["neutrophil"] * 6,
        "p_neutrophil": [0.9] * 6,
        "p_monocyte": [0.08] * 6,
        "p_none": [0.02] * 6,
        "area_px": [100] * 6,
        "nucleus_area_px": [50] * 6,
    }
    for name, value in [("box_y0", 10), ("box_x0", 10), ("box_y1", 20), ("box_x1", 20)]:
        base[name] = [value] * 6
    return pd.DataFrame(base | columns, index=range(11, 17))


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"p_neutrophil": [0.5] + [0.95] * 5, "p_monocyte": [0.48] + [0.03] * 5}, "margin"),
        ({"rotation_agreement": [0.25] + [1] * 5}, "agreement"),
        ({"outline_agreement": [0.7] + [0.97] * 5}, "outline_agreement"),
        ({"contrast": [0.0] + [0.9] * 5}, "contrast"),
        ({"roundness": [0.6] + [0.9] * 5}, "roundness"),
        ({"centre_offset": [0.3] + [0.02] * 5}, "offset"),
        ({"surroundings": [0.5] + [0.1] * 5}, "surroundings"),
        ({"relative_diameter": [0.5] + [1.0] * 5}, "diameter"),
        ({"box_y0": [0] + [10] * 5}, "border"),
        ({"area_px": [900, 101, 99, 100, 102, 98]}, "size"),
        ({"nucleus_area_px": [99, 50, 51, 49, 50, 50]}, "nc_ratio"),
    ],
)
def test_the_strange_cell_is_the_most_doubtful_and_says_why(columns, part):
    found = doubt(cells(**columns), (100, 100), DoubtParams(**{part: 1.0}))
    assert found["doubt"].idxmax() == 11
    assert found.loc[11, "reason"] == REASONS[part]
    assert (found["doubt"].between(0, 1)).all()


def test_weights_decide_what_counts():
    found = doubt(cells(box_x1=[100] + [20] * 5), (100, 100), DoubtParams(border=0))
    assert found["doubt"].nunique() == 1
    assert found["touches_border"].tolist() == [True] + [False] * 5


def test_a_table_without_probabilities_or_rows_can_be_rated():
    assert doubt(pd.DataFrame({"class": ["wbc"], "area_px": [3]}))["doubt"].tolist() == [0]
    assert len(doubt(cells().iloc[:0], (5, 5))) == 0


def test_temperature_divides_logits():
    table = cells()
    logits = np.log(table[["p_neutrophil", "p_monocyte"]].to_numpy())
    soft = np.exp(logits / 2.5)
    found, names = calibrated(table, 2.5)
    assert names == ["neutrophil", "monocyte"]
    assert found == pytest.approx(soft / soft.sum(1, keepdims=True))
    assert doubt(table, temperature=20, params=DoubtParams(unsure_below=0.6))["unsure"].all()


def test_doubt_is_the_probability_that_one_of_the_signs_is_right():
    only = dict.fromkeys(REASONS, 0.0) | {"roundness": 0.5, "contrast": 0.4}
    table = pd.DataFrame({"class": ["wbc"], "roundness": [0.2], "contrast": [0.0]})
    found = doubt(table, params=DoubtParams(**only))
    assert found["doubt"][0] == pytest.approx(1 - 0.5 * 0.6)
    assert found["reason"][0] == REASONS["roundness"]


def test_a_small_cell_that_was_rejected_is_likelier_missed_than_a_weak_peak():
    assert missed_doubt(0.99, SMALL) > missed_doubt(0.44, "nearly") > missed_doubt(0.21, "nearly")


def test_few_values_are_never_unusual():
    assert unusual(np.array([1.0, 100.0, np.nan]))[:2].tolist() == [0, 0]
    assert unusual(np.array([1.0, 1.0, 1.0, 1.0, 9.0])).tolist() == [0, 0, 0, 0, 1]
