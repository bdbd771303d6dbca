"""Label files of a picture or a folder: YOLO rows, Pascal VOC, tables of points, boxes, types."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.cell_types import canonical
from napari_wbc_nca.datasets.samples import LabelError, as_label_errors
from napari_wbc_nca.formats import yolo
from napari_wbc_nca.io import tables
from napari_wbc_nca.io._files import NameIndex
from napari_wbc_nca.io.tables import number

Labels = tuple[npt.NDArray[np.float32], tuple[str, ...]]
"""``(N, 4)`` boxes y0, x0, y1, x1 in pixels, and the name of each as written, lower case."""


CELL = "cell"
"""Class of a cell that has none in the file."""
SMALLEST = 3.0
"""Boxes narrower than this, in pixels, are slips of a labelling tool and left out."""
POINTS = (("y", "x"), ("axis-0", "axis-1"), ("centroid_y", "centroid_x"))
"""Columns of points: plain, of a Points layer that napari saved, of our table of cells."""
BOXES = (("y0", "x0", "y1", "x1"), ("box_y0", "box_x0", "box_y1", "box_x1"))
"""Columns of boxes: plain, of our table of cells."""

read_names = as_label_errors()(yolo.read_names)
read_text = as_label_errors()(tables.read_text)
read_table = as_label_errors()(tables.read_table)


def _labels(boxes: Sequence[Sequence[float]], names: Sequence[str]) -> Labels:
    array = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    return array, tuple(name.strip().lower() for name in names)


def _drop_small(boxes: Sequence[Sequence[float]], names: Sequence[str]) -> Labels:
    array, known = _labels(boxes, names)
    keep = (array[:, 2:] - array[:, :2]).min(axis=1, initial=np.inf) >= SMALLEST
    return array[keep], tuple(name for name, kept in zip(known, keep, strict=True) if kept)


def _points(cells: Sequence[tuple[float, float, str]]) -> Labels:
    """Return the labels of points, which are boxes without extent."""
    return _labels([(y, x, y, x) for y, x, _ in cells], [name for *_, name in cells])


@as_label_errors()
def read_yolo(path: Path, size: tuple[int, int], classes: Sequence[str]) -> Labels:
    """Read the boxes of a YOLO file, or those around its outlines, clipped to the picture.

    `size` is the picture's height and width in pixels, `classes` are in the order of the indices.
    LabelError for a row that cannot be read, or an index without a class.
    """
    rows = list(yolo.read_rows(path, dict(enumerate(classes))))
    corners = [np.clip([ring.min(axis=0), ring.max(axis=0)], 0, 1) * size for _, ring in rows]
    return _drop_small([box.ravel().tolist() for box in corners], [name for name, _ in rows])


def read_voc(path: Path) -> Labels:
    """Read the boxes of a Pascal VOC file, in pixels as they are written there.

    LabelError where the file is no XML, or an object has no name or box.
    """
    try:
        root = ElementTree.fromstring(read_text(path))
    except ElementTree.ParseError as error:
        raise LabelError(f"{path} is no readable XML: {error}") from error
    boxes, names = [], []
    for row, item in enumerate(root.iter("object"), start=1):
        name = item.findtext("name")
        texts = [item.findtext(f"bndbox/{edge}") for edge in ("ymin", "xmin", "ymax", "xmax")]
        try:
            box = [float(text) for text in texts if text is not None]
        except ValueError:
            box = []
        if name is None or len(box) != 4 or not (box[0] <= box[2] and box[1] <= box[3]):
            raise LabelError(
                f"{path}, object {row}: expected a name and a bndbox with ymin < ymax and xmin < "
                f"xmax; found name {name!r} and ymin, xmin, ymax, xmax {texts}"
            )
        boxes.append(box)
        names.append(name)
    return _drop_small(boxes, names)


def read_points(path: Path) -> dict[str, Labels]:
    """Read points by picture name, from a table with columns ``image, y, x, class`` in any order.

    A row with neither ``y`` nor ``x`` lists a picture without cells. LabelError for a missing
    column or a row that cannot be read.
    """
    cells: dict[str, list[tuple[float, float, str]]] = {}
    for where, row in read_rows(path, ("image", "y", "x", "class")):
        found = cells.setdefault(row["image"], [])
        if not row["y"] and not row["x"]:
            continue
        if not row["class"]:
            raise LabelError(f"{where}: no class is named")
        found.append((*_point(row, where), row["class"]))
    return {image: _points(found) for image, found in cells.items()}


def read_frames(path: Path) -> dict[int, Labels]:
    """Read points by frame, from a table with columns ``frame, x, y`` in any order, of WSISPDR.

    A column ``class`` may name each point's; where there is none, all are `CELL`. LabelError for a
    missing column or a row that cannot be read.
    """
    cells: dict[int, list[tuple[float, float, str]]] = {}
    for where, row in read_rows(path, ("frame", "x", "y")):
        try:
            frame = int(number(row["frame"]))
        except ValueError as error:
            raise LabelError(
                f"{where}: frame is {row['frame']!r}; expected the number of a picture"
            ) from error
        cells.setdefault(frame, []).append((*_point(row, where), row.get("class") or CELL))
    return {frame: _points(found) for frame, found in cells.items()}


def _point(row: Mapping[str, str], where: str) -> tuple[float, float]:
    y, x = _numbers([row["y"], row["x"]])
    if not math.isfinite(y + x):
        raise LabelError(
            f"{where}: y is {row['y']!r} and x is {row['x']!r}; expected two numbers in pixels"
        )
    return y, x


def _numbers(texts: Sequence[str]) -> list[float]:
    """Convert texts to numbers, all NaN where one is none."""
    try:
        return [number(text) for text in texts]
    except ValueError:
        return [math.nan] * len(texts)


def read_types(path: Path) -> dict[str, str]:
    """Read the class of each picture, from a table with columns ``image, class``."""
    rows = read_rows(path, ("image", "class"))
    return {row["image"]: canonical(row["class"]) for _, row in rows if row["class"]}


def read_columns(path: Path) -> set[str]:
    """Read the names of a table's columns, lower case."""
    return {name.lower() for name in read_table(path).columns}


def read_rows(path: Path, expected: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Iterate over file and line, and texts by column in lower case, of each row of a table.

    LabelError for a missing column of `expected`, or an empty ``image``.
    """
    table = read_table(path)
    found = [name.lower() for name in table.columns]
    missing = [name for name in expected if name not in found]
    if missing:
        raise LabelError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(found)}, "
            f"expected {', '.join(expected)}"
        )
    for at, texts in enumerate(table.rows):
        row = dict(zip(found, texts.values(), strict=True))
        if not row.get("image", "-"):
            raise LabelError(f"{table.where(at)}: no image is named")
        yield table.where(at), row


@dataclass(frozen=True, eq=False)
class Prompts:
    """Points ``(N, 2)`` y, x or boxes ``(N, 4)`` y0, x0, y1, x1 in pixels, from the file `path`.

    `images` names the image of each row; it is empty where the file has no column ``image``.
    """

    path: Path
    values: npt.NDArray[np.float64]
    images: tuple[str, ...] = ()

    def of(self, image: Path, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
        """Return the prompts of one image; LabelError where one lies outside of its `shape`."""
        index = NameIndex({image: True})
        listed = [index.get(name) is not None for name in self.images]
        if listed and not any(listed):
            raise LabelError(
                f"{self.path} has no row for {image.name}; it lists {', '.join(self.images[:3])}: "
                "add rows, or leave the image out"
            )
        found: npt.NDArray[np.float64] = self.values[listed or slice(None)]
        limits = np.tile(shape, found.shape[1] // 2)
        outside = ((found < 0) | (found > limits)).any(axis=1)
        if outside.any():
            raise LabelError(
                f"{self.path}: {_text(found[outside][0])} lies outside {image.name}, which is "
                f"{shape[0]} by {shape[1]} pixels; coordinates are rows and columns in pixels"
            )
        return found


def read_prompts(path: Path, forms: Sequence[Sequence[str]]) -> Prompts:
    """Read points or boxes from the columns of one of `forms`, and perhaps ``image``.

    LabelError for a missing file or column, or a row that cannot be read.
    """
    table = read_table(path)
    names = [name.lower() for name in table.columns]
    columns = next((form for form in forms if set(form) <= set(names)), None)
    if columns is None or "axis-2" in names:
        expected = " or ".join(",".join(form) for form in forms)
        raise LabelError(
            f"{path} has the columns {','.join(table.columns)}; expected {expected}, and image "
            "where there are several images"
        )
    rows = [dict(zip(names, row.values(), strict=True)) for row in table.rows]
    values = [_row(table.where(at), [row[name] for name in columns]) for at, row in enumerate(rows)]
    images = tuple(row["image"] for row in rows) if "image" in names else ()
    return Prompts(path, np.array(values, np.float64).reshape(-1, len(columns)), images)


def _row(where: str, texts: Sequence[str]) -> list[float]:
    values = _numbers(texts)
    if not all(map(math.isfinite, values)):
        raise LabelError(f"{where}: {texts}; expected numbers in pixels")
    if len(values) == 4 and not (values[0] < values[2] and values[1] < values[3]):
        raise LabelError(f"{where}: {_text(values)}; expected y0 < y1 and x0 < x1")
    return values


def _text(values: Sequence[float] | npt.NDArray[np.float64]) -> str:
    return f"({', '.join(f'{value:g}' for value in values)})"
