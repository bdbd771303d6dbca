"""YOLO: pictures, and a row for each cell with its box or its outline, relative to the picture.

``data.yaml`` names the classes. A row has one outline without holes: holes are filled, pieces
joined by a line. What nobody reviewed is grey in the picture. Of foreign data sets the layouts of
Ultralytics, Roboflow and labelImg are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from napari_wbc_nca.formats import files
from napari_wbc_nca.formats.geometry import CellShape, draw_cells
from napari_wbc_nca.formats.items import ExportError, Item, row_image
from napari_wbc_nca.io._files import find_inside, fold
from napari_wbc_nca.io.tables import TableError, read_text
from napari_wbc_nca.ops.outlines import join_rings, trace_outlines

CONFIG = "data.yaml"
Numbers = dict[int, npt.NDArray[np.float64]]
"""Numbers of each label's row, x before y, 0 to 1."""
_LISTS = ("classes", "obj", "train", "val", "valid", "test", "readme", "notes", "requirements")
"""Names of text files that hold no labels."""


def write_boxes(items: Sequence[Item], classes: Sequence[str], folder: Path) -> None:
    """Write boxes: centre, width and height."""
    _write(items, classes, folder, _boxes)


def write_segments(items: Sequence[Item], classes: Sequence[str], folder: Path) -> None:
    """Write outlines."""
    _write(items, classes, folder, _segments)


def _write(
    items: Sequence[Item],
    classes: Sequence[str],
    folder: Path,
    measure: Callable[[Item], Numbers],
) -> None:
    for one in items:
        split, numbers = one.split or "train", measure(one)
        if one.pixels is not None:
            picture = folder / "images" / split / f"{one.name}.png"
            files.write_png(picture, files.to_colours(one, hide=True))
        lines = [
            " ".join([str(classes.index(name)), *(f"{n:.8f}" for n in numbers[label])])
            for label, name in one.classes().items()
        ]
        path = files.make_folder(folder / "labels" / split) / f"{one.name}.txt"
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

    boxes = find_objects(row_image(one), max_label=len(one.cells))
    first = np.array([(x.start, y.start) for y, x in boxes]).reshape(-1, 2)
    last = np.array([(x.stop, y.stop) for y, x in boxes]).reshape(-1, 2)
    rows = np.hstack([(first + last) / 2, last - first]) / np.tile(one.shape[::-1], 2)
    return dict(zip(one.cells["label"].tolist(), rows, strict=True))


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
        classes, found = find_classes(place), [path]
    else:
        classes = _read_classes(place)
        found = [file for file in sorted(place.rglob("*")) if _is_label_file(file)]
    items, missing = [], []
    for file in found:
        own = files.read_picture(_find_picture(file))[0] if pixels is None else pixels
        if own is None:
            missing.append(file)
        else:
            items.append(_read(file, classes, own))
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


def find_classes(folder: Path) -> Mapping[int, str]:
    """Find the class names of a folder of labels, in it or in one of the two above."""
    above = (folder, *folder.parents[:2])
    places = (place for place in above if any(map(_names_classes, place.glob("*"))))
    return _read_classes(next(places, folder))


def _read_classes(place: Path) -> Mapping[int, str]:
    """Read class names from ``data.yaml``, another YAML file, or ``classes.txt``."""
    configs = [*place.glob(CONFIG), *sorted(place.glob("*.yaml")), *sorted(place.glob("*.yml"))]
    for config in configs:
        try:
            # All scalars as texts: a class may be called no, 01 or null.
            content = yaml.load(read_text(config), Loader=yaml.BaseLoader)
            names = content.get("names") if isinstance(content, dict) else None
            if isinstance(names, dict):
                return {int(number): str(name) for number, name in names.items()}
        except (yaml.YAMLError, TableError, ValueError) as error:
            raise ExportError(f"{config} names no classes: {error}") from error
        if isinstance(names, list):
            return dict(enumerate(map(str, names)))
    lists = sorted(place.rglob("classes.txt")) or sorted(place.rglob("obj.names"))
    if lists:
        return dict(enumerate(read_names(lists[0])))
    if configs:
        raise ExportError(f"{configs[0]} names no classes; expected a list under names")
    raise ExportError(
        f"{place}: no class names; write them into classes.txt, one a line in the order of their "
        f"indices, or give a folder with {CONFIG}"
    )


def read_names(path: Path) -> tuple[str, ...]:
    """Read names listed one a line; ``#`` begins a comment, a tab ends the name."""
    lines = (line.split("#")[0].split("\t")[0].strip() for line in read_text(path).splitlines())
    return tuple(line for line in lines if line)


def _names_classes(path: Path) -> bool:
    return path.suffix.lower() in (".yaml", ".yml") or path.name in ("classes.txt", "obj.names")


def _is_label_file(path: Path) -> bool:
    name = path.stem.lower()
    listed = name in _LISTS or name.startswith("readme")
    return path.suffix.lower() == ".txt" and not (listed and _find_picture(path) is None)


def _find_picture(label: Path) -> Path | None:
    """Find the picture of a label file: in ``images`` for ``labels``, else beside it."""
    folders = (swap_folder(label, "labels", "images").parent, label.parent)
    names = (label.stem, f"{label.stem}.tif")  # a.ome.txt belongs to a.ome.tif
    found = (files.find_picture(folder, name) for folder in folders for name in names)
    return next(filter(None, found), None)


def swap_folder(path: Path, old: str, new: str) -> Path:
    """Replace the last folder called `old` in a path by `new`, in whichever case they are."""
    for folder in path.parents:
        if fold(folder.name) == fold(old):
            other = find_inside(folder.parent, new) or folder.with_name(new)
            return other / path.relative_to(folder)
    return path


def _read(file: Path, classes: Mapping[int, str], pixels: Any) -> Item:
    shape = (int(pixels.shape[0]), int(pixels.shape[1]))
    # To pixels: what is written with eight digits may miss an edge by a little.
    cells = [
        CellShape(name, [[np.round(ring * shape, 3)]]) for name, ring in read_rows(file, classes)
    ]
    return replace(draw_cells(file.stem, cells, shape, pixels), split=files.split_of(file.parent))


def read_rows(
    path: Path, classes: Mapping[int, str]
) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    """Read the rows of a label file, ``class cx cy w h`` or ``class x1 y1 x2 y2 …``.

    Yields the class of a cell by `classes`, and ``(K, 2)`` y, x of its outline or of the corners
    of its box, 0–1 of the picture's sides. ExportError or TableError for a row that cannot be
    read, an index without a class, or a file that is no text.
    """
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            index, *values = map(float, line.split())
        except ValueError:
            index, values = 0, []
        if len(values) < 4 or index % 1 or not all(-0.5 <= value <= 1.5 for value in values):
            raise ExportError(
                f"{where}: {line.strip()!r}; expected 'class cx cy w h' or 'class x1 y1 x2 y2 …' "
                "with an integer and at least 4 numbers in 0-1, relative to the picture's size"
            )
        if index not in classes:
            raise ExportError(
                f"{where}: class index {index:.0f}, but there are {len(classes)} classes "
                f"({', '.join(classes.values())}); give all class names"
            )
        yield classes[int(index)], _ring(values)


def _ring(values: Sequence[float]) -> npt.NDArray[np.float64]:
    if len(values) in (4, 5):  # predictions have their confidence at the end
        x, y, width, height = values[:4]
        left, right, top, bottom = x - width / 2, x + width / 2, y - height / 2, y + height / 2
        return np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
    return np.array(values[: len(values) // 2 * 2]).reshape(-1, 2)[:, ::-1]
