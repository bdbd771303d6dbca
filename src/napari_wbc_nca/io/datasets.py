"""Weakly labelled data as it lies on disk: crops by class, fields with boxes or points."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from napari_wbc_nca.io.labelfiles import (
    LabelError,
    Labels,
    read_names,
    read_points,
    read_types,
    read_voc,
    read_yolo,
)
from napari_wbc_nca.io.samples import (
    NONE,
    TYPES,
    WBC,
    MaskedSample,
    Sample,
    canonical,
    is_picture,
    picture_size,
    read_rgb,
)
from napari_wbc_nca.io.sources import Kind, Source, read_toml

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
    """Samples of a data set in any of the forms that are understood.

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
    """Samples of one source, selected, grouped and typed as it says."""
    if not source.path.exists():
        raise LabelError(f"{source.path} does not exist; expected a folder or a CSV of points")
    kind = _detected(source.path) if source.kind == "auto" else source.kind
    if kind == "folders":
        samples = _read_folders(source)
    elif kind == "points":
        samples = _read_points(source)
    else:
        samples = _read_boxes(source)
    if not samples:
        raise LabelError(f"{source.path}: no picture is left after include and exclude")
    name = source.name or source.path.stem
    return [replace(_grouped(s, source.group), source=name, weight=source.weight) for s in samples]


def _detected(path: Path) -> Kind:
    if path.is_file():
        return "points"
    files = [file for file in path.iterdir() if file.is_file()]
    if any(is_picture(file) for file in files):
        labelled = any(file.suffix in (".txt", ".xml") and _picture_of(file) for file in files)
        return "points" if not labelled and _points_table(path).exists() else "boxes"
    if any(is_picture(file) for file in path.glob("*/*")):
        return "folders"
    raise LabelError(
        f"{path}: no pictures; expected a sub-folder of crops for each class, or pictures with "
        "label files (.txt, .xml) or points.csv beside them"
    )


def _points_table(folder: Path) -> Path:
    return folder / "points.csv"


def _picture_of(label: Path) -> Path | None:
    others = label.parent.glob(f"{_escaped(label.stem)}.*")
    return next((path for path in others if is_picture(path)), None)


def _escaped(text: str) -> str:
    return re.sub(r"([\[\]*?])", r"[\1]", text)


def _read_folders(source: Source) -> list[Sample]:
    folders = sorted(folder for folder in source.path.iterdir() if folder.is_dir())
    pictures = [path for folder in folders for path in sorted(folder.iterdir()) if is_picture(path)]
    samples = []
    for path in _selected(pictures, source):
        if any(path.with_suffix(suffix).exists() for suffix in (".txt", ".xml")):
            raise LabelError(
                f"{path} has a label file beside it, so {path.parent} holds fields and not crops "
                f"of one class; give {path.parent} itself"
            )
        samples.append(Sample(path, None, (canonical(path.parent.name),)))
    return samples


def _read_boxes(source: Source) -> list[Sample]:
    pictures = sorted(path for path in source.path.iterdir() if is_picture(path))
    types = read_types(source.path / source.types) if source.types else {}
    samples = []
    for path in _selected(pictures, source):
        boxes, names = _read_labels(path, source)
        known = types.get(path.stem, types.get(path.name))
        samples.append(Sample(path, boxes, _typed(names, known)))
    return samples


def _read_labels(path: Path, source: Source) -> Labels:
    text, xml = path.with_suffix(".txt"), path.with_suffix(".xml")
    if text.exists():
        return read_yolo(text, picture_size(path), _yolo_classes(source))
    if xml.exists():
        return read_voc(xml)
    raise LabelError(
        f"{path} has no label file; expected {text.name} or {xml.name} beside it "
        "(an empty .txt where there are no cells), or leave the picture out"
    )


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
    """`names` with the type of the only white blood cell, where it is `known`."""
    if known is None or names.count(WBC) != 1:
        return names
    return tuple(known if name == WBC else name for name in names)


def _read_points(source: Source) -> list[Sample]:
    table = _points_table(source.path) if source.path.is_dir() else source.path
    if not table.exists():
        raise LabelError(f"{table} does not exist; expected columns image, y, x, class")
    points = read_points(table)
    pictures = {table.parent / name: labels for name, labels in points.items()}
    for path, (boxes, _) in pictures.items():
        if not path.exists():
            raise LabelError(f"{table} lists {path.name}, which is not in {path.parent}")
        if ((boxes < 0) | (boxes > (*picture_size(path), *picture_size(path)))).any():
            raise LabelError(
                f"{table}: a point of {path.name} lies outside the picture of "
                f"{picture_size(path)} (height, width) pixels"
            )
    return [Sample(path, *pictures[path]) for path in _selected(sorted(pictures), source)]


def _selected(pictures: Sequence[Path], source: Source) -> list[Path]:
    """Pictures that `include` takes and `exclude` does not; each pattern must match one."""
    left = [path for path in pictures if not source.include or _matches(path, source.include)]
    for pattern in (*source.include, *source.exclude):
        if not any(_matches(path, (pattern,)) for path in pictures):
            raise LabelError(
                f"{source.path}: include or exclude names {pattern!r}, which matches none"
            )
    return [path for path in left if not _matches(path, source.exclude)]


def _matches(path: Path, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, p) for p in patterns for name in (path.name, path.stem))


def _grouped(sample: Sample, pattern: str) -> Sample:
    if not pattern:
        return replace(sample, group=sample.path.stem)
    found = re.search(pattern, sample.path.name)
    if found is None or not found.groups():
        raise LabelError(
            f"{sample.path}: the group {pattern!r} finds nothing in its name; expected a regular "
            "expression with one group in parentheses"
        )
    return replace(sample, group=found.group(1))


def read_masks(
    folder: str | Path, classes: Sequence[str] = ("wbc", "rbc", "platelet")
) -> list[MaskedSample]:
    """Pictures with expert masks, for evaluation.

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
    table = path / "classes.csv"
    types: Mapping[str, str] = read_types(table) if table.exists() else {}
    samples = []
    for mask in sorted(path.glob("*_mask.png")):
        picture = _picture_of(mask.with_name(mask.name.replace("_mask", "")))
        if picture is None:
            raise LabelError(f"{mask} has no picture beside it")
        label = picture.with_suffix(".txt")
        boxes = None
        if label.exists():
            found, names = read_yolo(label, picture_size(picture), classes)
            boxes = found[[name != NONE for name in names]]
        samples.append(MaskedSample(picture, mask, types.get(picture.stem), boxes))
    if not samples:
        raise LabelError(f"{path}: no NAME_mask.png")
    return samples
