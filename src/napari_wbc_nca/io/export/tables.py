"""Measures of imported cells, as ``segment`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_wbc_nca.io.export.centroids import centres
from napari_wbc_nca.io.export.items import Item, rows

if TYPE_CHECKING:
    import pandas as pd


def measured(one: Item) -> pd.DataFrame:
    """Table of cells with centroids, boxes and areas; columns as of a segmentation."""
    from scipy.ndimage import find_objects

    cells = rows(one)
    boxes = find_objects(cells, max_label=len(one.cells))
    middle = centres(one)
    area = np.bincount(cells.ravel(), minlength=len(one.cells) + 1)[1:]
    size = np.nan if one.pixel_size is None else one.pixel_size**2
    return one.cells.assign(
        centroid_y=middle[:, 0],
        centroid_x=middle[:, 1],
        box_y0=[y.start for y, _ in boxes],
        box_x0=[x.start for _, x in boxes],
        box_y1=[y.stop for y, _ in boxes],
        box_x1=[x.stop for _, x in boxes],
        area_px=area,
        area_um2=area * size,
    )
