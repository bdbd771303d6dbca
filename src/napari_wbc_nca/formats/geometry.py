"""Cells as shapes: GeoJSON geometries, run lengths, and shapes of foreign files made labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.cell_types import WBC
from napari_wbc_nca.formats import files
from napari_wbc_nca.formats.items import (
    LARGEST,
    ExportError,
    Item,
    item,
    note_hidden,
    table_from_rows,
)
from napari_wbc_nca.io import images
from napari_wbc_nca.ops.outlines import Polygon, fill_polygons

GEOJSON = ".geojson"
_FARTHEST = 2**16
"""Coordinate in pixels above which labels of unknown size are refused."""


def to_geometry(polygons: Sequence[Polygon]) -> dict[str, Any]:
    """Convert to a Polygon, or a MultiPolygon of several pieces; rings are closed, x before y."""
    parts = [
        [np.vstack([ring, ring[:1]])[:, ::-1].tolist() for ring in polygon] for polygon in polygons
    ]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def read_features(path: Path) -> list[Mapping[str, Any]]:
    """Read the features of a GeoJSON file, however collected; ExportError where it is none."""
    content = files.read_json(path)
    if isinstance(content, dict):
        content = content.get("features", [content])
        content = [{"geometry": one} if "coordinates" in one else one for one in content]
    if not isinstance(content, list) or not all(isinstance(some, dict) for some in content):
        raise ExportError(f"{path}: expected a FeatureCollection of polygons")
    return content


def split_geometry(
    geometry: Mapping[str, Any] | None, where: str
) -> tuple[list[Polygon], list[tuple[float, float]]]:
    """Read the polygons and the points y, x of a geometry; lines have neither.

    ExportError where its coordinates cannot be read.
    """
    kind = (geometry or {}).get("type")
    if geometry is None or not kind:
        return [], []
    try:
        if kind == "GeometryCollection":
            parts = [split_geometry(part, where) for part in geometry["geometries"]]
            polygons, points = zip(*parts, strict=True) if parts else ((), ())
            return list(chain(*polygons)), list(chain(*points))
        if kind in ("Point", "MultiPoint"):
            listed = geometry["coordinates"] if kind == "MultiPoint" else [geometry["coordinates"]]
            return [], [(float(point[1]), float(point[0])) for point in listed]
        if kind not in ("Polygon", "MultiPolygon"):
            return [], []
        listed = [geometry["coordinates"]] if kind == "Polygon" else geometry["coordinates"]
        return [[np.array(ring, float)[:, 1::-1] for ring in part] for part in listed if part], []
    except (ValueError, IndexError, TypeError, KeyError) as error:
        raise ExportError(
            f"{where}: the coordinates of a {kind} cannot be read: {error}; export it again"
        ) from error


def read_regions(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Read the regions that were reviewed in full: ``(Y, X)`` pixels of labels of `shape`.

    The file `path` holds polygons in pixels as GeoJSON, or is an image, 0 where nobody reviewed.
    ExportError where it cannot be read or has another size.
    """
    if path.suffix.lower() in (GEOJSON, ".json"):
        geometries = (one.get("geometry", one) for one in read_features(path))
        polygons = (split_geometry(one, str(path))[0] for one in geometries)
        return region_mask(list(chain(*polygons)), shape)
    try:
        mask, _ = images.read_labels(path)
    except images.ImageError:  # regions drawn in colours on black
        mask = np.asarray(images.read(path).pixels)
        mask = mask.max(axis=-1) if mask.ndim == 3 else mask
    if mask.shape != shape:
        raise ExportError(
            f"{path} is {mask.shape[0]} × {mask.shape[1]} pixels and the labels are "
            f"{shape[0]} × {shape[1]}; draw the regions on the same image"
        )
    return np.asarray(mask > 0)


def region_mask(polygons: Sequence[Polygon], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Find the pixels that lie in any of `polygons`."""
    return fill_polygons(polygons, [1] * len(polygons), shape) > 0


@dataclass(frozen=True)
class CellShape:
    """A cell of a foreign file: its outlines, or y, x of points, each of which is a cell.

    Class and label are empty and 0 where the file has none; `others` are further columns.
    """

    kind: str
    polygons: Sequence[Polygon] = ()
    points: Sequence[tuple[float, float]] = ()
    label: int = 0
    nucleus: Sequence[Polygon] = ()
    others: Mapping[str, Any] = field(default_factory=dict)


def draw_cells(
    name: str,
    shapes: Sequence[CellShape],
    size: tuple[int, int],
    pixels: Any = None,
    notes: Sequence[str] = (),
) -> Item:
    """Draw the cells of a foreign file as labels of an image of `size` (height, width).

    Smaller cells lie over larger ones. A point becomes a cell of one pixel, unless it lies in an
    outlined cell. Labels of the file are kept where all cells have one and no two the same.
    """
    outlined = [one for one in shapes if one.polygons]
    clicked = [(one, at) for one in shapes for at in one.points]
    labels = [*(one.label for one in outlined), *(one.label for one, _ in clicked)]
    if len(set(labels)) < len(labels) or not all(0 < label <= LARGEST for label in labels):
        labels = list(range(1, len(labels) + 1))
    largest_first = sorted(range(len(outlined)), key=lambda n: -_area(outlined[n].polygons))
    image = _fill([(labels[n], outlined[n].polygons) for n in largest_first], size)
    covered = 0
    for label, (_, at) in zip(labels[len(outlined) :], clicked, strict=True):
        y, x = (min(max(floor(value), 0), side - 1) for value, side in zip(at, size, strict=True))
        covered += image[y, x] > 0
        image[y, x] = image[y, x] or label
    nuclei = [(label, one.nucleus) for label, one in zip(labels, outlined, strict=False)]
    nucleus = _fill(nuclei, size) if any(part for _, part in nuclei) else None
    rows = [
        {"label": label, "class": one.kind or WBC, **one.others}
        for label, one in zip(labels, [*outlined, *(one for one, _ in clicked)], strict=True)
    ]
    said = [*notes]
    if covered:
        said.append(f"{covered} points lie in cells that are there already, and are left out")
    hidden = labels[: len(outlined)] if covered else labels
    said += note_hidden(hidden, image)
    one = item(name, image, table_from_rows(rows), pixels)
    return replace(one, nucleus=nucleus, notes=tuple(said))


def import_shapes(
    path: Path,
    shapes: Sequence[CellShape],
    hidden: Sequence[Polygon],
    left_out: Mapping[str, int],
    pixels: Any,
) -> Item:
    """Draw the cells of a file that holds shapes and not the size of its image.

    `hidden` are regions that nobody reviewed, `left_out` counts the objects of each kind that are
    no cells; without `pixels` those of a picture beside the file are taken.
    """
    name = path.name if path.is_dir() else Path(path.name.removesuffix(".gz")).stem
    if pixels is None:
        pixels = files.read_picture(files.find_picture(path.parent, name))[0]
    corners = [ring for polygon in hidden for ring in polygon]
    for one in shapes:
        corners += [ring for polygon in one.polygons for ring in polygon]
        corners += [np.array(one.points) + 1] if one.points else []
    notes = [f"{path.name}: {n} objects {kind} are left out" for kind, n in left_out.items()]
    size = files.recorded_size(path) if pixels is None else pixels.shape[:2]
    if size is None:
        size = _reach(path, corners)
        notes.append(
            f"{path.name}: its image is not known, so that the labels have {size[0]} × {size[1]} "
            "pixels, as far as the outlines reach; give the image with --image"
        )
    drawn = draw_cells(name, shapes, size, pixels, notes)
    ignore = region_mask(hidden, drawn.shape) if hidden else None
    return replace(drawn, ignore=ignore, split=files.split_of(path.parent))


def _reach(path: Path, rings: Sequence[npt.NDArray[Any]]) -> tuple[int, int]:
    """Return the height and width in pixels that hold all corners."""
    reach = np.max([[1, 1], *(ring.max(axis=0) for ring in rings)], axis=0)
    if not (reach < _FARTHEST).all():
        raise ExportError(
            f"{path}: its outlines reach to y {reach[0]:g} and x {reach[1]:g}; expected pixels of "
            "an image: export it again, or give the image with --image"
        )
    return ceil(reach[0]), ceil(reach[1])


def _area(polygons: Sequence[Polygon]) -> float:
    """Compute the area of the outer rings, by the shoelace formula."""
    rings = (np.asarray(polygon[0], float).T for polygon in polygons)
    return sum(abs(float(y @ np.roll(x, 1) - x @ np.roll(y, 1))) / 2 for y, x in rings)


def _fill(
    cells: Sequence[tuple[int, Sequence[Polygon]]], size: tuple[int, int]
) -> npt.NDArray[np.uint32]:
    pairs = [(polygon, label) for label, polygons in cells for polygon in polygons]
    return fill_polygons([polygon for polygon, _ in pairs], [label for _, label in pairs], size)


def encode_rle(numbers: npt.NDArray[Any], count: int) -> list[dict[str, Any]]:
    """Encode each of the cells 1 to `count` in compressed run lengths, all in one pass.

    Each of them has a pixel in `numbers`, ``(Y, X)`` integers that are 0 outside of all cells.
    """
    from pycocotools import mask

    if not count:
        return []
    height, width = numbers.shape
    flat = numbers.ravel(order="F")
    start = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    length = np.diff(np.append(start, len(flat)))
    order = np.argsort(flat[start], kind="stable")  # by cell, then by place
    order = order[flat[start[order]] > 0]
    start, length, cell = start[order], length[order], flat[start[order]]
    begin = np.searchsorted(cell, np.arange(1, count + 2))
    gap = start.copy()
    gap[1:] -= (start + length)[:-1]
    gap[begin[:-1]] = start[begin[:-1]]
    pairs = np.stack([gap, length], axis=1)
    rest = height * width - (start + length)[begin[1:] - 1]
    counts = [
        [*pairs[a:b].ravel().tolist(), *([left] if left else [])]
        for a, b, left in zip(begin[:-1], begin[1:], rest.tolist(), strict=True)
    ]
    found = mask.frPyObjects(
        [{"counts": some, "size": [height, width]} for some in counts], height, width
    )
    return [{"size": one["size"], "counts": one["counts"].decode("ascii")} for one in found]


def paint_rle(labels: npt.NDArray[Any], label: int, rle: dict[str, Any]) -> None:
    """Write `label` into the ``(Y, X)`` `labels` where compressed run lengths have pixels."""
    ends = np.cumsum([0, *decode_counts(rle["counts"])])
    for start, stop in zip(ends[1::2].tolist(), ends[2::2].tolist(), strict=False):
        at = np.arange(start, stop)
        labels[at % len(labels), at // len(labels)] = label


def decode_counts(counts: str | bytes) -> list[int]:
    """Decode COCO's compressed run lengths: six bits a character, differences to two before."""
    text = counts.encode("ascii") if isinstance(counts, str) else counts
    found: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value |= -1 << shift
        found.append(value + (found[-2] if len(found) > 2 else 0))
        value = shift = 0
    return found
