"""COCO: pictures, and one JSON of instances for each split.

``segmentation`` is run lengths, which hold anything, or polygons along the edges of pixels.
Polygons have no holes: cells with holes are cut into several. What nobody reviewed is a crowd
region of each category, which evaluation leaves out, and grey in the picture. Of foreign files
boxes without an outline become rectangles, and pictures are found by their names alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.cell_types import WBC
from napari_wbc_nca.formats import files, geometry
from napari_wbc_nca.formats.items import (
    LARGEST,
    ExportError,
    Item,
    item,
    note_hidden,
    row_image,
    table_from_rows,
)
from napari_wbc_nca.io._files import stem
from napari_wbc_nca.ops.outlines import rings_without_holes, trace_outlines

_FARTHEST = 2**20
"""Coordinate in pixels that no outline reaches."""


def write_polygons(items: Sequence[Item], classes: Sequence[str], folder: Path) -> None:
    """Write polygons."""
    write(items, classes, folder, polygons=True)


def write(
    items: Sequence[Item], classes: Sequence[str], folder: Path, *, polygons: bool = False
) -> None:
    """Write run lengths, or polygons."""
    categories = [
        {"id": number, "name": name, "supercategory": "cell"}
        for number, name in enumerate(classes, start=1)
    ]
    for split in dict.fromkeys(one.split for one in items):
        images, annotations = [], list[dict[str, Any]]()
        mine = (one for one in items if one.split == split)
        for number, one in enumerate(mine, start=1):
            file = f"{one.name}.png"
            if one.pixels is not None:
                files.write_png(folder / "images" / split / file, files.to_colours(one, hide=True))
            height, width = one.shape
            images.append({"id": number, "file_name": file, "height": height, "width": width})
            for some in _annotations(one, classes, polygons=polygons):
                annotations.append({"image_id": number, **some, "id": 1 + len(annotations)})
        content = {
            "info": {"description": "Cells of blood smears", "version": "1.0"},
            "licenses": [],
            "images": images,
            "annotations": annotations,
            "categories": categories,
        }
        name = f"instances_{split}.json" if split else "instances.json"
        files.write_json(files.make_folder(folder / "annotations") / name, content)


def _annotations(one: Item, classes: Sequence[str], *, polygons: bool) -> list[dict[str, Any]]:
    cells, rows = row_image(one), one.rows()
    found = _describe(cells, len(rows), _polygons(one) if polygons else None)
    for annotation, cell in zip(found, rows, strict=True):
        annotation |= {
            "category_id": 1 + classes.index(cell.kind),
            "iscrowd": 0,
            "label": cell.label,
            "origin": cell.origin,
            **({"attributes": cell.others} if cell.others else {}),
        }
    if one.ignore is None or not one.ignore.any():
        return found
    (crowd,) = _describe(one.ignore.astype(np.uint8), 1)
    crowds = [{**crowd, "category_id": n, "iscrowd": 1} for n in range(1, 1 + len(classes))]
    return found + crowds


def _describe(
    numbers: npt.NDArray[Any], count: int, segments: Sequence[Any] | None = None
) -> list[dict[str, Any]]:
    """Describe the objects 1 to `count`: segmentation, run lengths by default, area and box."""
    from scipy.ndimage import find_objects

    area = np.bincount(numbers.ravel(), minlength=1)[1:].tolist()
    listed = geometry.encode_rle(numbers, count) if segments is None else segments
    return [
        {
            "segmentation": segment,
            "area": size,
            "bbox": [x.start, y.start, x.stop - x.start, y.stop - y.start],
        }
        for segment, size, (y, x) in zip(listed, area, find_objects(numbers), strict=True)
    ]


def _polygons(one: Item) -> list[Any]:
    """Return rings ``[x, y, x, y, …]`` of each cell."""
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
    """Read a folder, or one JSON file."""
    patterns = ["annotations/instances*.json", "annotations/*.json", "**/*.coco.json", "*.json"]
    hint = "no annotations/*.json; give a COCO JSON file or its folder"
    return [one for f in files.find_files(path, patterns, hint) for one in _read(f, pixels)]


def _read(path: Path, pixels: Any) -> list[Item]:
    content = files.read_json(path)
    try:
        names = {str(one["id"]): str(one["name"]) for one in content.get("categories") or []}
        annotations: dict[str, list[Any]] = {str(one["id"]): [] for one in content["images"]}
        lost = 0
        for one in content["annotations"]:
            lost += str(one["image_id"]) not in annotations
            annotations.setdefault(str(one["image_id"]), []).append(one)
        found = [
            _item(path, image, annotations[str(image["id"])], names, pixels)
            for image in content["images"]
        ]
    except ExportError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise ExportError(
            f"{path} is no COCO file of instances: {error!r}; expected images, annotations and "
            "categories"
        ) from error
    if not lost:
        return found
    if not found:
        raise ExportError(f"{path} lists {lost} annotations, but none of their images")
    note = f"{path.name}: {lost} annotations of images that it does not list are left out"
    return [replace(found[0], notes=(*found[0].notes, note)), *found[1:]]


def _item(
    path: Path, image: Any, annotations: Sequence[Any], names: Mapping[str, str], pixels: Any
) -> Item:
    from pycocotools import mask

    name = str(image.get("file_name") or image.get("path") or image["id"])
    split = files.split_of(Path(path.stem.rpartition("_")[2])) or files.split_of(path.parent)
    if pixels is None:
        pixels = _picture(path, split, name)
    size = image if pixels is None else dict(zip(("height", "width"), pixels.shape, strict=False))
    height, width = (int(image.get(side) or size.get(side) or 0) for side in ("height", "width"))
    shape = height, width
    if not all(shape):
        raise ExportError(
            f"{path}: the image {name} has no height and width there, and no picture of this name "
            "is found; put it beside the file, or give --image"
        )
    segments = [(one, _segmentation(path, one, shape)) for one in annotations]
    cells = [(one, part) for one, part in segments if part and not one.get("iscrowd")]
    listed = [one.get("label") for one, _ in cells]
    own = [n if isinstance(n, int) and 0 < n <= LARGEST else 0 for n in listed]
    if len(set(own)) < len(own) or min(own, default=1) < 1:
        own = list(range(1, len(own) + 1))
    labels, ignore = np.zeros(shape, np.uint32), np.zeros(shape, np.uint8)
    for one, part in segments:
        if part and one.get("iscrowd"):
            geometry.paint_rle(ignore, 1, part)
    sizes = [mask.area(part) for _, part in cells]
    for number in np.argsort(np.negative(sizes), kind="stable").tolist():  # small ones on top
        geometry.paint_rle(labels, own[number], cells[number][1])
    title = stem(name)
    left_out = Counter(
        "of keypoints" if one.get("keypoints") else "without outline and box"
        for one, part in segments
        if not part
    )
    notes = [f"{title}: {n} annotations {kind} are left out" for kind, n in left_out.items()]
    if pixels is None:
        notes.append(f"{title}: its picture {name} is not found; give it with --image")
    rows = [_row(label, one, names) for label, (one, _) in zip(own, cells, strict=True)]
    return replace(
        item(title, labels, table_from_rows(rows), pixels),
        ignore=ignore > 0 if ignore.any() else None,
        split=split,
        notes=(*notes, *note_hidden(own, labels)),
    )


def _row(label: int, annotation: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    category = annotation.get("category_id")
    kind = "" if category is None else str(category)
    others = annotation.get("attributes")
    columns = {str(k): v for k, v in others.items()} if isinstance(others, Mapping) else {}
    core = {"label": label, "class": names.get(kind, kind if names else WBC)}
    return {**columns, **core, "origin": annotation.get("origin")}


def _picture(path: Path, split: str, name: str) -> Any:
    """Read the picture called `name`, beside the file or in a folder of the data set."""
    place = path.resolve().parent
    root = place.parent if place.name == "annotations" else place
    part = path.stem.rpartition("_")[2]  # val2017 of instances_val2017
    inner = (f"images/{split}", f"images/{part}", part, "images", ".")
    folders = [root / one for one in inner] + [place]
    folders += [folder for depth in ("*/", "*/*/") for folder in sorted(root.glob(depth))]
    found = next((file for folder in folders if (file := files.find_picture(folder, name))), None)
    return files.read_picture(found)[0]


def _segmentation(
    path: Path, annotation: Mapping[str, Any], shape: tuple[int, int]
) -> dict[str, Any] | None:
    """Encode the mask of an annotation, its polygons, or else its box, as run lengths."""
    from pycocotools import mask

    segment = annotation.get("segmentation")
    found: dict[str, Any]
    if isinstance(segment, dict) and (counts := segment.get("counts")):
        found = mask.frPyObjects(segment, *shape) if isinstance(counts, list) else segment
        lengths = geometry.decode_counts(found["counts"])
        size = list(segment.get("size") or shape)
        if size != list(shape) or min(lengths) < 0 or sum(lengths) != shape[0] * shape[1]:
            raise ExportError(
                f"{path}: the run lengths of annotation {annotation.get('id')} are {sum(lengths)} "
                f"pixels of size {size}, its image has the size {list(shape)}; export both again"
            )
        return found
    listed = segment if isinstance(segment, list) else []
    flat = [listed] if listed and not isinstance(listed[0], list) else listed
    polygons = [np.ravel(polygon).astype(float).tolist() for polygon in flat]
    polygons = [polygon for polygon in polygons if len(polygon) >= 6 and len(polygon) % 2 == 0]
    box = [float(value) for value in annotation.get("bbox") or ()]
    if not polygons and len(box) == 4 and box[2] > 0 and box[3] > 0:
        left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
        polygons = [[left, top, right, top, right, bottom, left, bottom]]
    # Coordinates that are no number, or far outside, crash pycocotools.
    polygons = [one for one in polygons if np.max(np.abs(one)) < _FARTHEST]
    if not polygons:
        return None
    found = mask.merge(mask.frPyObjects(polygons, *shape))
    return found
