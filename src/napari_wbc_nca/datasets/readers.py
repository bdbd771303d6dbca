"""Labelled data as it lies on disk: crops with classes, fields with boxes, points or masks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from napari_wbc_nca.cell_types import NONE, TYPES, WBC, canonical
from napari_wbc_nca.datasets.label_files import (
    Labels,
    read_columns,
    read_frames,
    read_names,
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
    is_picture,
    picture_size,
    read_rgb,
)
from napari_wbc_nca.datasets.sources import Kind, Source, group_names, read_toml, select_pictures
from napari_wbc_nca.io._files import NameIndex

__all__ = [
    "NONE",
    "TYPES",
    "WBC",
    "LabelError",
    "MaskedSample",
    "Sample",
    "Source",
    "read",
    "read_masks",
    "read_rgb",
    "read_source",
]


def read(data: str | Path, classes: Sequence[str] = ()) -> list[Sample]:
    """Read the samples of a data set in any of the known forms.

    Parameters
    ----------
    data
        Folder, CSV of points, or ``.toml`` that lists several sources.
    classes
        Class names of YOLO indices, where no ``classes.txt`` gives them.

    Returns
    -------
    list of Sample
        In the order of their sources and file names.

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
    for inner in ("train/images", "images"):  # of an export; its other parts are for testing
        if (source.path / inner).is_dir():
            name = source.name or source.path.name
            source = replace(source, path=source.path / inner, name=name)
    kind = _detected(source.path) if source.kind == "auto" else source.kind
    if source.path.is_file() and kind in ("boxes", "folders", "masks", "stain"):
        raise LabelError(f"{source.path} is a file; {kind} are read from a folder")
    samples = _READERS[kind](source)
    if not samples:
        raise LabelError(f"{source.path}: no picture is left after include and exclude")
    name = source.name or source.path.stem
    groups = group_names([sample.path for sample in samples], source)
    return [
        replace(sample, group=group, source=name, weight=source.weight)
        for sample, group in zip(samples, groups, strict=True)
    ]


def _detected(path: Path) -> Kind:
    if path.is_file():
        return "points" if {"y", "x"} <= set(read_columns(path)) else "crops"
    if any(is_picture(file) for file in path.iterdir()):
        return _detected_beside(path)
    if any(is_picture(file) for file in path.glob("*/*")):
        return "folders"
    raise LabelError(
        f"{path}: no pictures; expected a sub-folder of crops for each class, or pictures with "
        "label files (.txt, .xml), points.csv or classes.csv beside them"
    )


def _detected_beside(folder: Path) -> Kind:
    pictures = [path for path in folder.iterdir() if is_picture(path)]
    if any(label_file(path) for path in pictures):
        return "masks"
    if any(label.exists() for path in pictures for label in _label_files(path)):
        return "boxes"
    if (folder / _POINTS).exists():
        return "points"
    if any(label_file(path, STAIN) for path in pictures):
        return "stain"
    return "crops" if (folder / _CLASSES).exists() else "boxes"


_POINTS, _CLASSES = "points.csv", "classes.csv"


def _label_files(picture: Path) -> list[Path]:
    """List the possible label files of a picture: beside it, or in ``labels`` beside ``images``."""
    folders = [picture.parent]
    parts = picture.parent.parts
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        folders.append(Path(*parts[:last], "labels", *parts[last + 1 :]))
    return [folder / f"{picture.stem}{end}" for folder in folders for end in (".txt", ".xml")]


def _read_folders(source: Source) -> list[Sample]:
    folders = sorted(folder for folder in source.path.iterdir() if folder.is_dir())
    pictures = [path for folder in folders for path in sorted(folder.iterdir()) if is_picture(path)]
    samples = []
    for path in select_pictures(pictures, source):
        if any(label.exists() for label in _label_files(path)):
            raise LabelError(
                f"{path} has a label file beside it, so {path.parent} holds fields and not crops "
                f"of one class; give {path.parent} itself"
            )
        samples.append(Sample(path, None, (canonical(path.parent.name),)))
    return samples


def _read_boxes(source: Source) -> list[Sample]:
    pictures = sorted(path for path in source.path.iterdir() if is_picture(path))
    table = source.path / source.types if source.types else None
    types = NameIndex(read_types(table) if table else {})
    samples = []
    for path in select_pictures(pictures, source):
        boxes, kinds = _read_labels(path, source)
        names = _typed(tuple(map(canonical, kinds)), types.get(path))
        samples.append(Sample(path, boxes, names, kinds=kinds))
    return samples


def _read_labels(path: Path, source: Source) -> Labels:
    label = next((file for file in _label_files(path) if file.exists()), None)
    if label is None:
        raise LabelError(
            f"{path} has no label file; expected {path.stem}.txt or {path.stem}.xml beside it "
            "(an empty .txt where there are no cells), or leave the picture out"
        )
    if label.suffix == ".xml":
        return read_voc(label)
    return read_yolo(label, picture_size(path), _yolo_classes(source))


def _yolo_classes(source: Source) -> tuple[str, ...]:
    listed = source.path / "classes.txt"
    if source.classes:
        return source.classes
    if listed.exists():
        return read_names(listed)
    raise LabelError(
        f"{source.path}: no class names; write them into classes.txt, one a line in the order "
        "of their indices, or give classes"
    )


def _typed(names: tuple[str, ...], known: str | None) -> tuple[str, ...]:
    """Give the only white blood cell among `names` its type, where that is `known`."""
    if known is None or names.count(WBC) != 1:
        return names
    return tuple(known if name == WBC else name for name in names)


def _read_masks(source: Source) -> list[Sample]:
    pictures = sorted(path for path in source.path.iterdir() if is_picture(path))
    return [read_masks_beside(path) for path in select_pictures(pictures, source)]


def _read_points(source: Source) -> list[Sample]:
    table = source.path / _POINTS if source.path.is_dir() else source.path
    if "frame" in read_columns(table):
        points = _by_frame(table)
    else:
        points = _by_name(table)
    for path, (boxes, _) in points.items():
        size = picture_size(path)
        if ((boxes < 0) | (boxes > (*size, *size))).any():
            raise LabelError(
                f"{table}: a point of {path.name} lies outside its {size} (height, width) pixels"
            )
    samples = []
    for path in select_pictures(sorted(points), source):
        boxes, kinds = points[path]
        samples.append(Sample(path, boxes, tuple(map(canonical, kinds)), kinds=kinds))
    return samples


def _read_stain(source: Source) -> list[Sample]:
    pictures = sorted(path for path in source.path.iterdir() if is_picture(path))
    return [read_stain_beside(path) for path in select_pictures(pictures, source)]


def _by_name(table: Path) -> dict[Path, Labels]:
    """Read the points of each picture that the table names, on whichever system it was written."""
    pictures = NameIndex({path: path for path in table.parent.iterdir() if is_picture(path)})
    points = {}
    for name, labels in read_points(table).items():
        path = pictures.get(name)
        if path is None:
            raise LabelError(f"{table} lists {name}, which is not in {table.parent}")
        points[path] = labels
    return points


def _by_frame(table: Path) -> dict[Path, Labels]:
    """Read the points of each picture whose name ends with the number of their frame."""
    pictures: dict[int, Path] = {}
    for path in sorted(table.parent.iterdir()):
        if is_picture(path) and (number := re.search(r"(\d+)$", path.stem)):
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


def _read_crops(source: Source) -> list[Sample]:
    table = source.path / _CLASSES if source.path.is_dir() else source.path
    types = read_types(table)
    pictures = [path for path in sorted(table.parent.iterdir()) if is_picture(path)]
    present = NameIndex({path: path for path in pictures})
    if missing := [name for name in types if present.get(name) is None]:
        raise LabelError(f"{table} lists {min(missing)}, which is not in {table.parent}")
    known = {path: name for path in pictures if (name := NameIndex(types).get(path)) is not None}
    return [Sample(path, None, (known[path],)) for path in select_pictures([*known], source)]


_READERS: Mapping[Kind, Callable[[Source], list[Sample]]] = {
    "boxes": _read_boxes,
    "masks": _read_masks,
    "folders": _read_folders,
    "points": _read_points,
    "crops": _read_crops,
    "stain": _read_stain,
}


def read_masks(
    folder: str | Path, classes: Sequence[str] = ("wbc", "rbc", "platelet")
) -> list[MaskedSample]:
    """Read pictures with expert masks, for evaluation.

    Parameters
    ----------
    folder
        Holds ``NAME.*`` and ``NAME_mask.png`` (0 background, 128 cytoplasm, 255 nucleus), and
        optionally ``classes.csv`` and YOLO files.
    classes
        Class names of YOLO indices.

    Raises
    ------
    LabelError
        When no picture has a mask.
    """
    path = Path(folder)
    if not path.is_dir():
        raise LabelError(f"{path} is no folder; expected one with NAME_mask.png files")
    table = path / "classes.csv"
    types = NameIndex(read_types(table) if table.exists() else {})
    pictures = {file.stem: file for file in path.iterdir() if is_picture(file)}
    samples = []
    for mask in sorted(path.glob("*_mask.png")):
        picture = pictures.get(mask.stem.removesuffix("_mask"))
        if picture is None:
            raise LabelError(f"{mask} has no picture beside it")
        label = picture.with_suffix(".txt")
        boxes = None
        if label.exists():
            found, kinds = read_yolo(label, picture_size(picture), classes)
            boxes = found[[canonical(kind) != NONE for kind in kinds]]
        samples.append(MaskedSample(picture, mask, types.get(picture), boxes))
    if not samples:
        raise LabelError(f"{path}: no NAME_mask.png")
    return samples
