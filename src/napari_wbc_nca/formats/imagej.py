"""ImageJ: one zip of ROIs for each image, to be opened with the ROI Manager.

A cell is a traced polygon, or a composite where it has holes or several pieces. Its group is its
class, its properties hold label, class and origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_wbc_nca.cell_types import WBC, colours
from napari_wbc_nca.cell_types import rgb as numbers
from napari_wbc_nca.formats.files import made, size_of
from napari_wbc_nca.formats.items import ExportError, Item, item
from napari_wbc_nca.ops.outlines import Polygon, Ring, fill_polygons, trace_outlines

if TYPE_CHECKING:
    from roifile import ImagejRoi

    from napari_wbc_nca.formats.params import ExportParams

IGNORE = "ignore"
END = ".zip"
_MOVE, _LINE, _CLOSE = 0, 1, 4
"""What the next numbers of a composite's path do."""


def write(
    items: Sequence[Item], classes: Sequence[str], folder: Path, params: ExportParams
) -> None:
    """Write a zip for each image, in a folder for each split."""
    from roifile import roiwrite

    palette = {name: bytes([255, *numbers(colour)]) for name, colour in colours(classes).items()}
    for one in items:
        shapes = trace_outlines(one.labels)
        rois = []
        for label, name, origin in one.cells.itertuples(index=False):
            roi = _roi(shapes[label], f"{label:05d} {name}".replace("/", "_"))
            roi.properties = {"label": label, "class": name, "origin": origin}
            roi.group = 1 + classes.index(name)
            roi.stroke_color = palette[name]
            rois.append(roi)
        if one.ignore is not None and one.ignore.any():
            rois.append(_roi(trace_outlines(one.ignore.astype(np.uint8))[1], IGNORE))
        path = made(folder / one.split) / f"{one.name}{END}"
        if rois:
            roiwrite(path, rois)
        else:
            path.write_bytes(_EMPTY)


_EMPTY = b"PK\x05\x06" + bytes(18)
"""A zip without entries: an image without cells."""


def _roi(polygons: Sequence[Polygon], name: str) -> ImagejRoi:
    from roifile import ROI_TYPE, ImagejRoi

    rings = [ring[:, ::-1] for polygon in polygons for ring in polygon]
    if len(rings) == 1:
        roi = ImagejRoi.frompoints(rings[0], name=name)
        roi.roitype = ROI_TYPE.TRACED
        roi.right, roi.bottom = roi.right - 1, roi.bottom - 1  # corners, not pixels
        return roi
    corners = np.concatenate(rings)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    path = np.concatenate([_path(ring) for ring in rings]).astype(np.float32)
    return ImagejRoi(
        roitype=ROI_TYPE.RECT,
        name=name,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        shape_roi_size=len(path),
        multi_coordinates=path,
    )


def _path(ring: Ring) -> Ring:
    steps = np.concatenate([np.full((len(ring), 1), _LINE), ring], axis=1)
    steps[0, 0] = _MOVE
    return np.append(steps.ravel(), _CLOSE)


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Items of a folder of zips, or of one; parameters as of QuPath's."""
    files = [path] if path.is_file() else sorted(path.rglob(f"*{END}"))
    if not files:
        raise ExportError(f"{path}: no {END} of ROIs; save them in ImageJ's ROI Manager")
    return [_read(file, pixels) for file in files]


def _read(path: Path, pixels: Any) -> Item:
    from zipfile import BadZipFile

    from roifile import roiread

    try:
        found = roiread(path)
    except (ValueError, BadZipFile, OSError) as error:
        raise ExportError(f"{path} holds no ROIs that can be read: {error}") from error
    rois = found if isinstance(found, list) else [found]
    cells, polygons, rings = [], [], []
    for roi in rois:
        parts = [ring[:, ::-1] for ring in roi.coordinates(multi=True) if len(ring) > 2]
        rings += parts
        if parts and roi.name != IGNORE:
            own = roi.properties
            label = own.get("label", 0)
            cells.append((label, str(own.get("class") or WBC), own.get("origin")))
            polygons.append(parts)
    table = pd.DataFrame(cells, columns=["label", "class", "origin"])
    if table["label"].duplicated().any() or not (table["label"] > 0).all():
        table["label"] = range(1, len(table) + 1)
    area = size_of(path, pixels, rings)
    one = item(path.stem, fill_polygons(polygons, table["label"].tolist(), area), table, pixels)
    hidden = [
        [ring[:, ::-1] for ring in roi.coordinates(multi=True)]
        for roi in rois
        if roi.name == IGNORE
    ]
    return replace(one, ignore=fill_polygons(hidden, [1], area) > 0) if hidden else one
