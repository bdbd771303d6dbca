"""Labelled data as it lies on disk: crops with classes, fields with boxes, points or masks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from napari_wbc_nca.cell_types import NONE, WBC, canonical
from napari_wbc_nca.datasets.label_files import (
    Labels,
    read_columns,
    read_frames,
    read_points,
    read_types,
    read_voc,
    read_yolo,
)
from napari_wbc_nca.datasets.masks import STAIN, label_file, read_masks_beside, read_stain_beside
from napari_wbc_nca.datasets.samples import (
    LabelError,
    MaskedSample,
    Sample,
    as_label_errors,
    is_picture,
    picture_size,
)
from napari_wbc_nca.datasets.sources import Kind, Source, group_names, read_toml, select_pictures
from napari_wbc_nca.formats import yolo
from napari_wbc_nca.io._files import NameIndex, find_inside, fold, stem

Reader = tuple[Sequence[Path], Callable[[Path], Sample]]
"""Labelled pictures of a source, and how the sample of one is read."""
_POINTS, _CLASSES = "points.csv", "classes.csv"


def read(data: str | Path, classes: Sequence[str] = ()) -> list[Sample]:
    """Read the samples of a data set in any of the known forms, by source and file name.

    Parameters
    ----------
    data
        Folder, CSV of points, or ``.toml`` that lists several sources.
    classes
        Class names of YOLO indices, where no ``classes.txt`` gives them.

    Raises
    ------
    LabelError
        When something is missing or cannot be read, with file and line.
    """
    path = Path(data)
    if path.suffix.lower() == ".toml":
        return [sample for source in read_toml(path) for sample in read_source(source)]
    return read_source(Source(path, classes=tuple(classes)))


def read_source(source: Source) -> list[Sample]:
    """Read the samples of one source, selected, grouped and typed as it says."""
    if not source.path.exists():
        raise LabelError(f"{source.path} does not exist; expected a folder, a CSV or a .toml")
    for inner in ("train/images", "images/train", "images", "JPEGImages"):  # others are for testing
        folder = find_inside(source.path, inner)
        if folder is not None and folder.is_dir():
            source = replace(source, path=folder, name=source.name or source.path.name)
            break
    kind = _detect_kind(source.path) if source.kind == "auto" else source.kind
    if source.path.is_file() and kind in ("boxes", "folders", "masks", "stain"):
        raise LabelError(f"{source.path} is a file; {kind} are read from a folder")
    pictures, read_sample = _READERS[kind](source)
    samples = [read_sample(path) for path in select_pictures(pictures, source)]
    if not samples:
        raise LabelError(f"{source.path}: no picture is left after include and exclude")
    name = source.name or source.path.stem
    groups = group_names([sample.path for sample in samples], source)
    return [
        replace(sample, group=group, source=name, weight=source.weight)
        for sample, group in zip(samples, groups, strict=True)
    ]


def _detect_kind(path: Path) -> Kind:
    if path.is_file():
        return "points" if {"y", "x"} <= read_columns(path) else "crops"
    pictures = _pictures(path)
    if not pictures:
        if any(is_picture(file) for file in path.glob("*/*")):
            return "folders"
        raise LabelError(
            f"{path}: no pictures; expected a sub-folder of crops for each class, or pictures with "
            "label files (.txt, .xml), points.csv or classes.csv beside them"
        )
    if any(map(label_file, pictures)):
        return "masks"
    if any(map(_label_files, pictures)):
        return "boxes"
    if (path / _POINTS).exists():
        return "points"
    if any(label_file(picture, STAIN) for picture in pictures):
        return "stain"
    return "crops" if (path / _CLASSES).exists() else "boxes"


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_picture(path))


def _label_files(picture: Path) -> list[Path]:
    """List the label files of a picture: beside it, or in the folder of labels of a data set."""
    folders = [picture.parent, *(yolo.swap_folder(picture, *pair).parent for pair in _FOLDERS)]
    names = dict.fromkeys((fold(picture.stem), fold(stem(picture))))  # a.ome, and a
    indices = [
        _index_labels(folder, folder.stat().st_mtime_ns)
        for folder in dict.fromkeys(folders)
        if folder.is_dir()
    ]
    ends = (".txt", ".xml")
    found = (index.get(f"{name}{end}") for index in indices for end in ends for name in names)
    return [file for file in found if file is not None]


_FOLDERS = (("images", "labels"), ("images", "annotations"), ("JPEGImages", "Annotations"))
"""Folders of pictures, and those of their label files."""


@lru_cache(maxsize=16)
def _index_labels(folder: Path, changed: int) -> dict[str, Path]:
    """Map the names of the files in a folder, whatever their case, to the files."""
    return {fold(file.name): file for file in sorted(folder.iterdir())}


def _read_folders(source: Source) -> Reader:
    folders = sorted(folder for folder in source.path.iterdir() if folder.is_dir())

    def read_sample(path: Path) -> Sample:
        if _label_files(path):
            raise LabelError(
                f"{path} has a label file beside it, so {path.parent} holds fields and not crops "
                f"of one class; give {path.parent} itself"
            )
        return Sample(path, None, (canonical(path.parent.name),))

    return [path for folder in folders for path in _pictures(folder)], read_sample


def _read_boxes(source: Source) -> Reader:
    types = NameIndex(read_types(source.path / source.types) if source.types else {})

    def read_sample(path: Path) -> Sample:
        boxes, kinds = _read_labels(path, source)
        names = tuple(map(canonical, kinds))
        known = types.get(path)
        if known is not None and names.count(WBC) == 1:
            names = tuple(known if name == WBC else name for name in names)
        return Sample(path, boxes, names, kinds=kinds)

    return _pictures(source.path), read_sample


@as_label_errors()
def _read_labels(path: Path, source: Source) -> Labels:
    if not (found := _label_files(path)):
        raise LabelError(
            f"{path} has no label file; expected {path.stem}.txt or {path.stem}.xml beside it "
            "(an empty .txt where there are no cells), or leave the picture out"
        )
    if found[0].suffix.lower() == ".xml":
        return read_voc(found[0])
    classes = source.classes or tuple(yolo.find_classes(source.path).values())
    return read_yolo(found[0], picture_size(path), classes)


def _read_points(source: Source) -> Reader:
    table = source.path / _POINTS if source.path.is_dir() else source.path
    points = _by_frame(table) if "frame" in read_columns(table) else _by_name(table)

    def read_sample(path: Path) -> Sample:
        boxes, kinds = points[path]
        size = picture_size(path)
        if ((boxes < 0) | (boxes > (*size, *size))).any():
            raise LabelError(
                f"{table}: a point of {path.name} lies outside its {size} (height, width) pixels"
            )
        return Sample(path, boxes, tuple(map(canonical, kinds)), kinds=kinds)

    return sorted(points), read_sample


def _by_name(table: Path) -> dict[Path, Labels]:
    """Read the points of each picture that the table names, on whichever system it was written."""
    pictures = NameIndex({path: path for path in _pictures(table.parent)})
    points = {}
    for name, labels in read_points(table).items():
        path = pictures.get(name)
        if path is None:
            raise LabelError(f"{table} lists {name}, which is not in {table.parent}")
        if path in points:
            raise LabelError(
                f"{table} lists {path.name} under two names, such as {name}; use one of them"
            )
        points[path] = labels
    return points


def _by_frame(table: Path) -> dict[Path, Labels]:
    """Read the points of each picture whose name ends with the number of their frame."""
    pictures: dict[int, Path] = {}
    for path in _pictures(table.parent):
        if number := re.search(r"(\d+)$", path.stem):
            pictures.setdefault(int(number[1]), path)
    points = {}
    for frame, labels in read_frames(table).items():
        if frame not in pictures:
            raise LabelError(
                f"{table} lists frame {frame}, but no picture in {table.parent} has a name that "
                "ends with that number, such as t0012.tif for frame 12"
            )
        points[pictures[frame]] = labels
    return points


def _read_crops(source: Source) -> Reader:
    table = source.path / _CLASSES if source.path.is_dir() else source.path
    types = read_types(table)
    pictures, listed = _pictures(table.parent), NameIndex(types)
    present = NameIndex({path: path for path in pictures})
    if missing := [name for name in types if present.get(name) is None]:
        raise LabelError(f"{table} lists {min(missing)}, which is not in {table.parent}")
    known = {path: name for path in pictures if (name := listed.get(path)) is not None}
    return [*known], lambda path: Sample(path, None, (known[path],))


_READERS: Mapping[Kind, Callable[[Source], Reader]] = {
    "boxes": _read_boxes,
    "masks": lambda source: (_pictures(source.path), read_masks_beside),
    "folders": _read_folders,
    "points": _read_points,
    "crops": _read_crops,
    "stain": lambda source: (_pictures(source.path), read_stain_beside),
}


def read_masks(
    folder: str | Path, classes: Sequence[str] = ("wbc", "rbc", "platelet")
) -> list[MaskedSample]:
    """Read pictures with expert masks, for evaluation; LabelError where no picture has one.

    `folder` holds ``NAME.*`` and ``NAME_mask.png`` (0 background, 128 cytoplasm, 255 nucleus), and
    optionally ``classes.csv`` and YOLO files, whose indices stand for `classes`.
    """
    path = Path(folder)
    if not path.is_dir():
        raise LabelError(f"{path} is no folder; expected one with NAME_mask.png files")
    table = path / "classes.csv"
    types = NameIndex(read_types(table) if table.exists() else {})
    pictures = {file.stem: file for file in _pictures(path)}
    samples = []
    for mask in sorted(path.glob("*_mask.png")):
        picture = pictures.get(mask.stem.removesuffix("_mask"))
        if picture is None:
            raise LabelError(f"{mask} has no picture beside it")
        label = next(
            (file for file in _label_files(picture) if file.suffix.lower() == ".txt"), None
        )
        boxes = None
        if label is not None:
            found, kinds = read_yolo(label, picture_size(picture), classes)
            boxes = found[[canonical(kind) != NONE for kind in kinds]]
        samples.append(MaskedSample(picture, mask, types.get(picture), boxes))
    if not samples:
        raise LabelError(f"{path}: no NAME_mask.png")
    return samples
