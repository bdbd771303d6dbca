from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from napari_wbc_nca.ops.differential import TOTAL, UNSURE, differential, wilson_interval


@pytest.mark.parametrize(("hits", "total"), [(0, 1), (1, 1), (0, 40), (17, 40), (40, 40)])
def test_wilson_interval_is_scipys(hits, total):
    low, high = wilson_interval(np.array([hits]), total)
    expected = binomtest(hits, total).proportion_ci(method="wilson")
    assert (low[0], high[0]) == pytest.approx(tuple(expected), abs=1e-12)


def test_no_cells_give_a_table_of_zeros():
    table = differential(pd.DataFrame({"class": []}))
    assert table["n"].tolist() == [0] * 6
    assert (table["low"].iloc[0], table["high"].iloc[0]) == (0, 100)


def test_cells_that_are_not_white_or_rejected_are_left_out():
    cells = pd.DataFrame(
        {
            "class": ["neutrophil", "rbc", "erythroblast", "monocyte", "blast", UNSURE],
            "status": ["accepted", "auto", "auto", "rejected", "auto", "edited"],
            "doubtful": [False, True, True, True, True, None],
            "touches_border": [True, False, False, False, True, False],
        }
    )
    table = differential(cells, ["neutrophil", "monocyte"]).set_index("class")
    assert table.index.tolist() == ["neutrophil", "monocyte", "blast", UNSURE, TOTAL]
    assert table["n"].tolist() == [1, 0, 1, 1, 3]
    assert table.loc[TOTAL, ["reviewed", "doubtful", "border"]].tolist() == [2, 1, 2]
    assert table.loc[TOTAL, "percent"] == 100
    assert table.loc["blast", "percent"] == pytest.approx(100 / 3)
