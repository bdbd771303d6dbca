"""COCO: pictures, and one JSON of instances for each split.

``segmentation`` is run lengths, which hold anything, or polygons along the edges of pixels.
Polygons have no holes: cells with holes are cut into several. What nobody reviewed is a crowd
region of each category, which evaluation leaves out, and grey in the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_wbc_nca.formats import geometry
from napari_wbc_nca.formats.files import made, read_json, read_picture, rgb, write_json, write_png
from napari_wbc_nca.formats.items import ExportError, Item, item, rows
from napari_wbc_nca.ops.outlines import rings_without_holes, trace_outlines

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.formats.params import ExportParams

Segments = list[Any]
"""Segmentation of each row of an item's table."""


def write(
    items: Sequence[Item], classes: Sequence[str], folder: Path, params: ExportParams
) -> None:
    """Write run lengths."""
    _write(items, classes, folder, polygons=False)


def write_polygons(
    items: Sequence[Item], classes: Sequence[str], folder: Path, params: ExportParams
) -> None:
    """Write polygons."""
    _write(items, classes, folder, polygons=True)


def _write(items: Sequence[Item], classes: Sequence[str], folder: Path, *, polygons: bool) -> None:
    categories = [
        {"id": number, "name": name, "supercategory": "cell"}
        for number, name in enumerate(classes, start=1)
    ]
    for split in dict.fromkeys(one.split for one in items):
        mine = [one for one in items if one.split == split]
        images, annotations = [], []
        for number, one in enumerate(mine, start=1):
            file = f"{one.name}.png"
            if one.pixels is not None:
                write_png(folder / "images" / split / file, rgb(one, hide=True))
            height, width = one.shape
            images.append({"id": number, "file_name": file, "height": height, "width": width})
            found = _annotations(one, classes, polygons=polygons)
            annotations += [{"image_id": number, **some} for some in found]
        for number, some in enumerate(annotations, start=1):
            some["id"] = number
        name = f"instances_{split}.json" if split else "instances.json"
        content = {"images": images, "annotations": annotations, "categories": categories}
        info = {"description": "Cells of blood smears", "version": "1.0"}
        write_json(made(folder / "annotations") / name, {"info": info, "licenses": [], **content})


def _annotations(one: Item, classes: Sequence[str], *, polygons: bool) -> list[dict[str, Any]]:
    from scipy.ndimage import find_objects

    number = {name: 1 + index for index, name in enumerate(classes)}
    cells = rows(one)
    segments = _polygons(one) if polygons else geometry.encode(cells, len(one.cells))
    area = np.bincount(cells.ravel(), minlength=1)[1:].tolist()
    found = [
        {
            "category_id": number[name],
            "segmentation": segment,
            "area": size,
            "bbox": _bbox(box),
            "iscrowd": 0,
            "label": label,
            "origin": origin,
        }
        for (label, name, origin), segment, size, box in zip(
            one.cells.itertuples(index=False), segments, area, find_objects(cells), strict=True
        )
    ]
    return found + [_crowd(one.ignore, number[name]) for name in classes if _some(one.ignore)]


def _some(ignore: npt.NDArray[np.bool_] | None) -> bool:
    return ignore is not None and bool(ignore.any())


def _crowd(ignore: Any, category: int) -> dict[str, Any]:
    from scipy.ndimage import find_objects

    (segment,) = geometry.encode(ignore.astype(np.uint8), 1)
    (box,) = find_objects(ignore.astype(np.uint8))
    return {
        "category_id": category,
        "segmentation": segment,
        "area": int(ignore.sum()),
        "bbox": _bbox(box),
        "iscrowd": 1,
    }


def _bbox(box: tuple[slice, slice]) -> list[int]:
    y, x = box
    return [x.start, y.start, x.stop - x.start, y.stop - y.start]


def _polygons(one: Item) -> Segments:
    """Rings ``[x, y, x, y, …]`` of each cell."""
    found = []
    for label, polygons in trace_outlines(one.labels).items():
        rings = [polygon[0] for polygon in polygons]
        if any(len(polygon) > 1 for polygon in polygons):
            low = np.min([ring.min(axis=0) for ring in rings], axis=0)
            high = np.max([ring.max(axis=0) for ring in rings], axis=0)
            crop = one.labels[low[0] : high[0], low[1] : high[1]] == label
            rings = [ring + low for ring in rings_without_holes(crop)]
        found.append([ring[:, ::-1].ravel().tolist() for ring in rings])
    return found


def read(path: Path, pixels: Any = None) -> list[Item]:
    """Items of a folder, or of one JSON file."""
    files = [path] if path.is_file() else sorted(path.glob("annotations/*.json"))
    if not files:
        raise ExportError(f"{path}: no annotations/*.json; give a COCO JSON file or its folder")
    return [one for file in files for one in _read(file, pixels)]


def _read(path: Path, pixels: Any) -> list[Item]:
    content = read_json(path)
    try:
        names = {some["id"]: some["name"] for some in content["categories"]}
        by_image: dict[Any, list[Any]] = {some["id"]: [] for some in content["images"]}
        for some in content["annotations"]:
            by_image[some["image_id"]].append(some)
        return [
            _item(path, image, by_image[image["id"]], names, pixels) for image in content["images"]
        ]
    except (KeyError, TypeError) as error:
        raise ExportError(
            f"{path} is no COCO file of instances: {error} is missing or unknown; expected images, "
            "annotations and categories"
        ) from error


def _item(
    path: Path, image: Any, annotations: Sequence[Any], names: dict[Any, str], pixels: Any
) -> Item:
    labels = np.zeros((image["height"], image["width"]), np.uint32)
    ignore = np.zeros(labels.shape, np.uint8)
    table: list[tuple[int, str, str | None]] = []
    own = [some.get("label", 0) for some in annotations if not some.get("iscrowd")]
    kept = len(set(own)) == len(own) and min(own, default=1) > 0
    for some in annotations:
        segment = _compressed(some["segmentation"], labels.shape)
        if some.get("iscrowd"):
            geometry.paint(ignore, 1, segment)
            continue
        label = int(some["label"]) if kept else len(table) + 1
        geometry.paint(labels, label, segment)
        table.append((label, names[some["category_id"]], some.get("origin")))
    split = path.stem.removeprefix("instances_") if "_" in path.stem else ""
    if pixels is None:
        pixels = _picture(path, split, image["file_name"])
    cells = pd.DataFrame(table, columns=["label", "class", "origin"])
    one = item(Path(image["file_name"]).stem, labels, cells, pixels)
    return Item(
        one.name,
        one.labels,
        one.cells,
        one.pixels,
        ignore=ignore > 0 if ignore.any() else None,
        split=split if split in ("train", "val", "test") else "",
    )


def _picture(path: Path, split: str, name: str) -> Any:
    for folder in (path.parents[1] / "images" / split, path.parents[1] / "images", path.parent):
        if (folder / name).exists():
            return read_picture(folder / name)[0]
    return None


def _compressed(segment: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """Run lengths of a segmentation of any form."""
    from pycocotools import mask

    if isinstance(segment, dict):
        return segment
    found: dict[str, Any] = mask.merge(mask.frPyObjects(segment, *shape))
    return found
