"""YOLO: pictures, and a row for each cell with its box or its outline, relative to the picture.

``data.yaml`` names the classes. A row has one outline without holes: holes are filled, pieces
joined by a line. What nobody reviewed is grey in the picture. Of foreign data sets the layouts of
Ultralytics, Roboflow and labelImg are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from napari_wbc_nca.formats.files import (
    find_picture,
    make_folder,
    read_picture,
    split_of,
    to_colours,
    write_png,
)
from napari_wbc_nca.formats.geometry import CellShape, draw_cells
from napari_wbc_nca.formats.items import ExportError, Item, row_image
from napari_wbc_nca.io.tables import TableError, read_text
from napari_wbc_nca.ops.outlines import join_rings, trace_outlines

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.formats.params import ExportParams

CONFIG = "data.yaml"
Numbers = dict[int, "npt.NDArray[np.float64]"]
"""Numbers of each label's row, x before y, 0 to 1."""
_LISTS = ("classes", "obj", "train", "val", "valid", "test", "readme", "notes", "requirements")
"""Names of text files that hold no labels."""


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
            write_png(folder / "images" / split / f"{one.name}.png", to_colours(one, hide=True))
        lines = [
            " ".join([str(classes.index(name)), *(f"{n:.8f}" for n in numbers[one.name][label])])
            for label, name in one.classes().items()
        ]
        path = make_folder(folder / "labels" / split) / f"{one.name}.txt"
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
    boxes = find_objects(row_image(one), max_label=len(one.cells))
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
    """Read a data set; a box becomes a rectangle, an outline the cell."""
    place = path.parent if path.is_file() else path
    if path.suffix.lower() == ".txt":
        above = (place, *place.parents[:2])
        places = (one for one in above if any(map(_names_classes, one.glob("*"))))
        classes, files = _read_classes(next(places, place)), [path]
    else:
        classes = _read_classes(place)
        files = [file for file in sorted(place.rglob("*")) if _is_label_file(file)]
    found = [(file, _find_picture(file)) for file in files]
    items = [
        _read(file, picture, classes, pixels)
        for file, picture in found
        if picture is not None or pixels is not None
    ]
    missing = [file for file, picture in found if picture is None and pixels is None]
    if not items:
        raise ExportError(
            f"{place}: "
            + (f"{missing[0]} has no picture" if missing else "no label file (.txt)")
            + "; expected images/NAME.png and labels/NAME.txt, or NAME.txt beside NAME.png"
        )
    if not missing:
        return items
    note = f"{len(missing)} label files without a picture are left out, such as {missing[0].name}"
    return [replace(items[0], notes=(*items[0].notes, note)), *items[1:]]


def _read_classes(place: Path) -> Mapping[int, str]:
    """Class names of ``data.yaml`` or another YAML file that has them, or of ``classes.txt``."""
    configs = [*place.glob(CONFIG), *sorted(place.glob("*.yaml")), *sorted(place.glob("*.yml"))]
    for config in configs:
        try:
            content = yaml.safe_load(read_text(config))
        except (yaml.YAMLError, TableError) as error:
            raise ExportError(f"{config} names no classes: {error}") from error
        names = content.get("names") if isinstance(content, dict) else None
        if isinstance(names, dict):
            return {int(number): str(name) for number, name in names.items()}
        if isinstance(names, list):
            return dict(enumerate(map(str, names)))
    lists = sorted(place.rglob("classes.txt")) or sorted(place.rglob("obj.names"))
    if lists:
        return dict(enumerate(line.strip() for line in read_text(lists[0]).strip().splitlines()))
    if configs:
        raise ExportError(f"{configs[0]} names no classes; expected a list under names")
    raise ExportError(f"{place}: no {CONFIG} or classes.txt; give the folder of a YOLO data set")


def _names_classes(path: Path) -> bool:
    return path.suffix.lower() in (".yaml", ".yml") or path.name in ("classes.txt", "obj.names")


def _is_label_file(path: Path) -> bool:
    name = path.stem.lower()
    listed = name in _LISTS or name.startswith("readme")
    return path.suffix.lower() == ".txt" and not (listed and _find_picture(path) is None)


def _find_picture(label: Path) -> Path | None:
    """Picture of a label file: in ``images`` where that is in ``labels``, else beside it."""
    parts = list(label.parent.parts)
    if "labels" in parts:
        parts[len(parts) - 1 - parts[::-1].index("labels")] = "images"
    return find_picture(Path(*parts), label.stem) or find_picture(label.parent, label.stem)


def _read(file: Path, picture: Path | None, classes: Mapping[int, str], pixels: Any) -> Item:
    own = read_picture(picture)[0] if pixels is None else pixels
    shape = (int(own.shape[0]), int(own.shape[1]))
    cells = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            kind, values = line.split()[0], [float(text) for text in line.split()[1:]]
            if len(values) < 4:
                raise ValueError("expected a class and at least 4 numbers")
            if (index := int(float(kind))) not in classes:
                raise ValueError(f"class {kind} is not one of the {len(classes)} that are named")
            cells.append(CellShape(classes[index], [[_ring(values, shape)]]))
        except ValueError as error:
            raise ExportError(f"{file}, line {number}: {line!r} cannot be read: {error}") from error
    return replace(draw_cells(file.stem, cells, shape, own), split=split_of(file.parent))


def _ring(values: Sequence[float], shape: tuple[int, int]) -> Any:
    if len(values) in (4, 5):  # predictions have their confidence at the end
        x, y, width, height = values[:4]
        left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
        corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
        # To pixels: what is written with eight digits may miss an edge by a little.
        return np.round(np.array(corners) * shape, 3)
    return np.round(np.array(values[: len(values) // 2 * 2]).reshape(-1, 2)[:, ::-1] * shape, 3)
