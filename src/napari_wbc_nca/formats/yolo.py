"""YOLO: pictures, and a row for each cell with its box or its outline, relative to the picture.

``data.yaml`` names the classes. A row has one outline without holes: holes are filled, pieces
joined by a line. What nobody reviewed is grey in the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from napari_wbc_nca.formats.files import beside, made, read_picture, rgb, write_png
from napari_wbc_nca.formats.items import ExportError, Item, item, rows
from napari_wbc_nca.ops.outlines import fill_polygons, join_rings, trace_outlines

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.formats.params import ExportParams

CONFIG = "data.yaml"
Numbers = dict[int, "npt.NDArray[np.float64]"]
"""Numbers of each label's row, x before y, 0 to 1."""


def write_boxes(
    items: Sequence[Item], classes: Sequence[str], folder: Path, params: ExportParams
) -> None:
    """Write boxes: centre, width and height."""
    _write(items, classes, folder, {one.name: _boxes(one) for one in items})


def write_segments(
    items: Sequence[Item], classes: Sequence[str], folder: Path, params: ExportParams
) -> None:
    """Write outlines."""
    _write(items, classes, folder, {one.name: _segments(one) for one in items})


def _write(
    items: Sequence[Item], classes: Sequence[str], folder: Path, numbers: dict[str, Numbers]
) -> None:
    for one in items:
        split = one.split or "train"
        if one.pixels is not None:
            write_png(folder / "images" / split / f"{one.name}.png", rgb(one, hide=True))
        lines = [
            " ".join([str(classes.index(name)), *(f"{n:.8f}" for n in numbers[one.name][label])])
            for label, name, _ in one.cells.itertuples(index=False)
        ]
        path = made(folder / "labels" / split) / f"{one.name}.txt"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    splits = {one.split or "train" for one in items}
    config = {
        "path": ".",
        "train": "images/train",
        "val": "images/val" if "val" in splits else "images/train",
        **({"test": "images/test"} if "test" in splits else {}),
        "names": dict(enumerate(classes)),
    }
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    (folder / CONFIG).write_text(text, encoding="utf-8")


def _boxes(one: Item) -> Numbers:
    from scipy.ndimage import find_objects

    height, width = one.shape
    found = {}
    boxes = find_objects(rows(one), max_label=len(one.cells))
    for label, (y, x) in zip(one.cells["label"].tolist(), boxes, strict=True):
        centre = (x.start + x.stop) / 2 / width, (y.start + y.stop) / 2 / height
        sides = (x.stop - x.start) / width, (y.stop - y.start) / height
        found[label] = np.array([*centre, *sides])
    return found


def _segments(one: Item) -> Numbers:
    sides = np.array(one.shape)
    return {
        label: (join_rings([polygon[0] for polygon in polygons]) / sides)[:, ::-1].ravel()
        for label, polygons in trace_outlines(one.labels).items()
    }


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Items of a data set; a box becomes a rectangle, an outline the cell."""
    place = path.parent if path.is_file() else path
    config = place / CONFIG
    if not config.exists():
        raise ExportError(f"{place}: no {CONFIG}; give the folder of a YOLO data set")
    try:
        names = yaml.safe_load(config.read_text(encoding="utf-8"))["names"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise ExportError(f"{config} names no classes: {error}") from error
    classes = dict(enumerate(names)) if isinstance(names, list) else names
    files = sorted(file for file in (place / "labels").rglob("*.txt"))
    return [_read(place, file, classes, pixels) for file in files]


def _read(place: Path, file: Path, classes: dict[int, str], pixels: Any) -> Item:
    folder = place / "images" / file.parent.relative_to(place / "labels")
    own = read_picture(beside(folder, file.stem))[0] if pixels is None else pixels
    if own is None:
        raise ExportError(f"{file} has no picture in {folder}, so that its size is unknown")
    shape = (int(own.shape[0]), int(own.shape[1]))
    names, polygons = [], []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            kind, values = line.split()[0], [float(text) for text in line.split()[1:]]
            names.append(classes[int(kind)])
            polygons.append([_ring(values, shape)])
        except (ValueError, KeyError, IndexError) as error:
            raise ExportError(f"{file}, line {number}: {line!r} cannot be read: {error}") from error
    labels = fill_polygons(polygons, range(1, len(names) + 1), shape)
    cells = pd.DataFrame({"label": range(1, len(names) + 1), "class": names})
    split = file.parent.name
    one = item(file.stem, labels, cells, own)
    return replace(one, split=split if split in ("train", "val", "test") else "")


def _ring(values: Sequence[float], shape: tuple[int, int]) -> Any:
    if len(values) == 4:
        x, y, width, height = values
        left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
        corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
        # To pixels: what is written with eight digits may miss an edge by a little.
        return np.round(np.array(corners) * shape, 3)
    return np.round(np.array(values).reshape(-1, 2)[:, ::-1] * shape, 3)
