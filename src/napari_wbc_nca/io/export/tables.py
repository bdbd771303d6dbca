"""Tables of imported cells, as ``segment`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_wbc_nca.ops.cell_features import measure

if TYPE_CHECKING:
    import pandas as pd

    from napari_wbc_nca.io.export.items import Item


def measured(one: Item) -> pd.DataFrame:
    """Table of an item's cells with centroids, boxes and areas."""
    sizes = measure(one.labels).reset_index(drop=True)  # ascending, as the table is
    area = np.nan if one.pixel_size is None else one.pixel_size**2
    return one.cells.assign(**sizes, area_um2=sizes["area_px"] * area)
