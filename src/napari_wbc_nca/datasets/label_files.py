"""Label files of one picture or one folder: YOLO rows, Pascal VOC, points, types."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

from napari_wbc_nca.cell_types import canonical
from napari_wbc_nca.datasets.samples import LabelError
from napari_wbc_nca.io import tables
from napari_wbc_nca.io.tables import Table, TableError, number

if TYPE_CHECKING:
    import numpy.typing as npt

Labels = tuple["npt.NDArray[np.float32]", tuple[str, ...]]
"""``(N, 4)`` boxes y0, x0, y1, x1 in pixels, and the name of each as written, lower case."""


CELL = "cell"
"""Class of a cell that has none in the file."""
SMALLEST = 3.0
"""Boxes narrower than this, in pixels, are slips of a labelling tool and left out."""


def _labels(boxes: Sequence[Sequence[float]], names: Sequence[str]) -> Labels:
    array = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    return array, tuple(name.strip().lower() for name in names)


def _drop_small(boxes: Sequence[Sequence[float]], names: Sequence[str]) -> Labels:
    array, known = _labels(boxes, names)
    keep = (array[:, 2:] - array[:, :2]).min(axis=1, initial=np.inf) >= SMALLEST
    return array[keep], tuple(name for name, kept in zip(known, keep, strict=True) if kept)


def read_text(path: Path) -> str:
    """Read a text file, with a :class:`LabelError` where that fails."""
    try:
        return tables.read_text(path)
    except TableError as error:
        raise LabelError(str(error)) from error


def read_names(path: Path) -> tuple[str, ...]:
    """Read names listed one a line; ``#`` begins a comment, a tab ends the name."""
    lines = (line.split("#")[0].split("\t")[0].strip() for line in read_text(path).splitlines())
    return tuple(line for line in lines if line)


def read_yolo(path: Path, size: tuple[int, int], classes: Sequence[str]) -> Labels:
    """Read the boxes of a YOLO file: rows of ``class cx cy w h``, relative to the picture's size.

    Parameters
    ----------
    path
        The label file; an empty one is a picture without cells.
    size
        Height and width of the picture in pixels.
    classes
        Class names in the order of the indices.

    Raises
    ------
    LabelError
        For a row that cannot be read, or an index without a class.
    """
    boxes, names = [], []
    for row, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {row}"
        index, values = _yolo_row(line, where)
        if not 0 <= index < len(classes):
            raise LabelError(
                f"{where}: class index {index}, but there are {len(classes)} classes "
                f"({', '.join(classes)}); give all class names"
            )
        boxes.append(_clipped(values, size))
        names.append(classes[index])
    return _drop_small(boxes, names)


def _yolo_row(line: str, where: str) -> tuple[int, list[float]]:
    cells = line.split()
    try:
        index, values = int(cells[0]), [float(cell) for cell in cells[1:]]
    except ValueError:
        values = []
    if len(values) != 4 or not all(-0.5 <= value <= 1.5 for value in values):
        raise LabelError(
            f"{where}: {line.strip()!r}; expected 'class cx cy w h' with an integer and four "
            "numbers in 0-1, relative to the picture's size"
        )
    return index, values


def _clipped(values: Sequence[float], size: tuple[int, int]) -> tuple[float, ...]:
    """Clip a box to the picture, in pixels; labels of cut cells often reach outside."""
    cx, cy, width, height = values
    corners = (cy - height / 2, cx - width / 2, cy + height / 2, cx + width / 2)
    return tuple(
        float(np.clip(corner, 0, 1)) * size[axis % 2] for axis, corner in enumerate(corners)
    )


def read_voc(path: Path) -> Labels:
    """Read the boxes of a Pascal VOC file, in pixels as they are written there.

    Raises
    ------
    LabelError
        When the file is no XML, or an object has no name or box.
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
        if name is None or len(box) != 4:
            raise LabelError(
                f"{path}, object {row}: expected a name and a bndbox with ymin, xmin, ymax, "
                f"xmax; found name {name!r} and {texts}"
            )
        boxes.append(box)
        names.append(name)
    return _drop_small(boxes, names)


def read_points(path: Path) -> dict[str, Labels]:
    """Read points by picture name, from a table with columns ``image, y, x, class`` in any order.

    Returns
    -------
    dict
        Picture name as written to its points, as boxes without extent. A row with neither
        ``y`` nor ``x`` lists a picture without cells.

    Raises
    ------
    LabelError
        For a missing column or a row that cannot be read.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    names: dict[str, list[str]] = {}
    for where, row in _rows(path, ("image", "y", "x", "class")):
        image = row["image"]
        points.setdefault(image, [])
        names.setdefault(image, [])
        if not row["y"] and not row["x"]:
            continue
        if not row["class"]:
            raise LabelError(f"{where}: no class is named")
        points[image].append(_point(row, where))
        names[image].append(row["class"])
    return {image: _labels([[*p, *p] for p in points[image]], names[image]) for image in points}


def read_frames(path: Path) -> dict[int, Labels]:
    """Read points by frame, from a table with columns ``frame, x, y`` in any order, of WSISPDR.

    A column ``class`` may name each point's; where there is none, all are `CELL`.

    Raises
    ------
    LabelError
        For a missing column or a row that cannot be read.
    """
    points: dict[int, list[tuple[float, float]]] = {}
    names: dict[int, list[str]] = {}
    for where, row in _rows(path, ("frame", "x", "y")):
        try:
            frame = int(number(row["frame"]))
        except ValueError as error:
            raise LabelError(
                f"{where}: frame is {row['frame']!r}; expected the number of a picture"
            ) from error
        points.setdefault(frame, []).append(_point(row, where))
        names.setdefault(frame, []).append(row.get("class") or CELL)
    return {frame: _labels([[*p, *p] for p in points[frame]], names[frame]) for frame in points}


def _point(row: Mapping[str, str], where: str) -> tuple[float, float]:
    try:
        y, x = number(row["y"]), number(row["x"])
    except ValueError:
        y = x = math.nan
    if not math.isfinite(y + x):
        raise LabelError(
            f"{where}: y is {row['y']!r} and x is {row['x']!r}; expected two numbers in pixels"
        )
    return y, x


def read_types(path: Path) -> dict[str, str]:
    """Read the class of each picture, from a table with columns ``image, class``."""
    rows = _rows(path, ("image", "class"))
    return {row["image"]: canonical(row["class"]) for _, row in rows if row["class"]}


def read_cells(path: Path) -> dict[int, str]:
    """Read the class of each label, from a table with columns ``label, class``.

    Raises
    ------
    LabelError
        For a missing column, or a label that is no integer above 0.
    """
    classes = {}
    for where, row in _rows(path, ("label", "class")):
        try:
            label = int(number(row["label"]))
        except (ValueError, OverflowError):
            label = 0
        if label < 1:
            raise LabelError(f"{where}: label is {row['label']!r}; expected an integer above 0")
        classes[label] = row["class"]
    return classes


def read_columns(path: Path) -> tuple[str, ...]:
    """Read the names of a table's columns, lower case."""
    return tuple(name.lower() for name in read_table(path).columns)


def read_table(path: Path) -> Table:
    """Read a table, with a :class:`LabelError` where that fails."""
    try:
        return tables.read_table(path)
    except TableError as error:
        raise LabelError(str(error)) from error


def _rows(path: Path, expected: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Iterate over the rows of a table with its file and line, checked for `expected` columns."""
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
