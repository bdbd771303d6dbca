"""ImageJ: one zip of ROIs for each image, to be opened with the ROI Manager.

A cell is a traced polygon, or a composite where it has holes or several pieces. Its group is its
class, its properties hold label, class, origin and the other columns of the table. Of foreign
files areas and points become cells; lines and texts are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from napari_wbc_nca.formats import files
from napari_wbc_nca.formats.geometry import CellShape, import_shapes
from napari_wbc_nca.formats.items import ExportError, Item
from napari_wbc_nca.io.tables import to_value
from napari_wbc_nca.ops.outlines import Polygon, Ring, trace_outlines

if TYPE_CHECKING:
    from roifile import ImagejRoi


IGNORE = "ignore"
END, ROI = ".zip", ".roi"
_MOVE, _LINE, _CLOSE = 0, 1, 4
"""What the next numbers of a composite's path do."""


def write(items: Sequence[Item], classes: Sequence[str], folder: Path) -> None:
    """Write a zip for each image, in a folder for each split."""
    from roifile import roiwrite

    palette = files.class_rgb(classes)
    for one in items:
        shapes = trace_outlines(one.labels)
        rois = []
        for label, name, origin, others in one.rows():
            roi = _roi(shapes[label], f"{label:05d} {name}".replace("/", "_"))
            columns = {"label": label, "class": name, "origin": origin, **others}
            roi.properties = {_line(key, ":"): _line(value) for key, value in columns.items()}
            roi.group = 1 + classes.index(name)
            roi.stroke_color = bytes([255, *palette[name]])
            rois.append(roi)
        if one.ignore is not None and one.ignore.any():
            rois.append(_roi(trace_outlines(one.ignore.astype(np.uint8))[1], IGNORE))
        path = files.make_folder(folder / one.split) / f"{one.name}{END}"
        if rois:
            roiwrite(path, rois)
        else:
            path.write_bytes(_EMPTY)


def _line(value: Any, forbidden: str = "\n") -> Any:
    """Return a value without what would end a key or a line of a ROI's properties."""
    return " ".join(value.replace(forbidden, " ").split()) if isinstance(value, str) else value


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
    """Read a folder of zips, one file, or a folder of the ROIs of one image."""
    hint = f"no {END} of ROIs; save them in ImageJ's ROI Manager"
    found = files.find_files(path, [f"**/*{END}", f"*{ROI}"], hint)
    if path.is_dir() and found[0].suffix == ROI:
        found = [path]
    return [_read(file, pixels) for file in found]


def _read(path: Path, pixels: Any) -> Item:
    cells: list[CellShape] = []
    hidden: list[Polygon] = []
    left_out: Counter[str] = Counter()
    for roi in _read_rois(path):
        rings = [ring[:, ::-1] for ring in roi.coordinates(multi=True) if len(ring)]
        if roi.name == IGNORE:
            hidden.append(rings)
        elif kind := _no_cell(roi, rings):
            left_out[f"of type {kind}"] += 1
        else:
            cells.append(_cell(roi, rings))
    return import_shapes(path, cells, hidden, left_out, pixels)


def _read_rois(path: Path) -> list[ImagejRoi]:
    from roifile import ImagejRoi

    try:
        if path.is_dir():
            return [ImagejRoi.frombytes(file.read_bytes()) for file in sorted(path.glob(f"*{ROI}"))]
        if path.suffix.lower() in (".tif", ".tiff"):
            stored = ImagejRoi.fromfile(path)
            return stored if isinstance(stored, list) else [stored]
        if path.suffix.lower() != END:
            return [ImagejRoi.frombytes(path.read_bytes())]
        with ZipFile(path) as archive:
            names = files.entries(archive, (ROI,))
            if not names and archive.namelist():
                raise ValueError(f"its files are {', '.join(archive.namelist()[:3])}")
            return [ImagejRoi.frombytes(archive.read(name)) for name in names]
    except (ValueError, BadZipFile, OSError) as error:
        raise ExportError(f"{path} holds no ROIs that can be read: {error}") from error


def _no_cell(roi: ImagejRoi, rings: Sequence[Ring]) -> str:
    """Type of a ROI that is neither an area nor points; empty for cells."""
    from roifile import ROI_SUBTYPE, ROI_TYPE

    if roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE, ROI_SUBTYPE.ARROW):
        return str(roi.subtype.name).lower()
    if roi.roitype == ROI_TYPE.POINT:
        return "" if rings else "point"
    areas = (ROI_TYPE.POLYGON, ROI_TYPE.RECT, ROI_TYPE.OVAL, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED)
    if roi.roitype in areas and any(len(ring) > 2 for ring in rings):
        return ""
    return str(roi.roitype.name).lower()


def _cell(roi: ImagejRoi, rings: Sequence[Ring]) -> CellShape:
    from roifile import ROI_TYPE

    lines = [line.partition(":") for line in roi.props.splitlines() if ":" in line]
    texts = {key.strip(): text.strip() for key, _, text in lines}
    label, kind = texts.pop("label", ""), texts.pop("class", "")
    number = int(label) if label.isdecimal() else 0
    others = {key: to_value(key, text) for key, text in texts.items()}
    if roi.roitype == ROI_TYPE.POINT:
        points = [(float(y), float(x)) for ring in rings for y, x in ring]
        return CellShape(kind, (), points, number, (), others)
    return CellShape(kind, [[ring for ring in rings if len(ring) > 2]], (), number, (), others)
