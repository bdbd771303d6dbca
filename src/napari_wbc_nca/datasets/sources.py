"""Sources of a data set, and the ``.toml`` that lists them."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, get_args

from napari_wbc_nca.datasets.label_files import read_names
from napari_wbc_nca.datasets.samples import LabelError

Kind = Literal["auto", "boxes", "folders", "points", "crops", "masks", "stain"]


@dataclass(frozen=True)
class Source:
    """Source of labelled pictures and how to read it.

    Attributes
    ----------
    path
        Folder, or CSV of points or classes.
    kind
        ``folders``: a sub-folder of crops for each class. ``crops``: a CSV of ``image, class``,
        ``classes.csv`` in a folder. ``boxes``: a YOLO ``.txt`` or Pascal VOC ``.xml`` beside each
        picture, or in ``labels`` where the picture is in ``images``. ``points``: a CSV of
        ``image, y, x, class``, ``points.csv`` in a folder. ``masks``: a label image beside each
        picture, ``NAME_labels.tif``, with ``NAME_cells.csv`` of ``label, class``. ``stain``:
        an image of stained nuclei beside each picture, ``NAME_stain.tif``; its blobs are the
        cells. ``auto`` recognises which it is.
    classes
        Class names of YOLO indices; those in ``classes.txt`` where empty.
    group
        Regular expression on the file name with one group, which keeps together what must not be
        split, such as a slide; each picture stands alone where empty.
    types
        CSV of ``image, class`` that gives the type of a picture's only white blood cell; taken
        relative to `path`, or to the ``.toml`` where that holds it.
    include, exclude
        File names, stems or patterns of the pictures to take and to leave out; in a ``.toml``
        also ``.txt`` files that list them.
    weight
        How often its samples are drawn, relative to other sources.
    name
        Name of the data set; the folder's where empty.
    """

    path: Path
    kind: Kind = "auto"
    classes: tuple[str, ...] = ()
    group: str = ""
    types: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    weight: float = 1.0
    name: str = ""


def read_toml(path: Path) -> list[Source]:
    """Read the sources that a file of ``[[source]]`` tables lists, which hold fields of `Source`.

    ``path`` may hold ``~`` and environment variables; ``path``, and the ``.txt`` files of
    ``include`` and ``exclude``, are relative to the ``.toml``. LabelError where the file cannot be
    read, or a field is unknown or has a wrong type.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LabelError(f"{path} cannot be read as TOML: {error}") from error
    tables = document.get("source")
    if not isinstance(tables, list) or not tables:
        raise LabelError(f"{path}: no [[source]] table; expected at least one with a path")
    return [
        _source(table, path.parent, f"{path}, source {number}")
        for number, table in enumerate(tables, start=1)
    ]


def _source(table: Any, base: Path, where: str) -> Source:
    if not isinstance(table, Mapping):
        raise LabelError(f"{where}: {table!r}; expected a table")
    known = {field.name: field.type for field in fields(Source)}
    for name, value in table.items():
        if name not in known:
            raise LabelError(f"{where}: unknown field {name!r}; known are {', '.join(known)}")
        if not _fits(name, value):
            raise LabelError(f"{where}: {name} is {value!r}; expected {_EXPECTED[name]}")
    if "path" not in table:
        raise LabelError(f"{where}: no path")
    values = dict(table)
    values["path"] = base / os.path.expandvars(Path(table["path"]).expanduser())
    values["classes"] = tuple(table.get("classes", ()))
    if (beside := base / table.get("types", "")).is_file():
        values["types"] = str(beside.resolve())
    values |= {name: _patterns(table.get(name, ()), base, where) for name in ("include", "exclude")}
    return Source(**values)


_EXPECTED = {
    **dict.fromkeys(("path", "group", "types", "name"), "a text"),
    **dict.fromkeys(("include", "exclude"), "names, patterns or .txt files that list them"),
    "kind": f"one of {', '.join(get_args(Kind))}",
    "classes": "a list of texts",
    "weight": "a number above 0",
}


def _fits(name: str, value: object) -> bool:
    listed = isinstance(value, list) and all(isinstance(item, str) for item in value)
    if name == "kind":
        return value in get_args(Kind)
    if name == "weight":
        return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    if name == "classes":
        return listed
    return isinstance(value, str) or (listed and name in ("include", "exclude"))


def _patterns(value: str | Sequence[str], base: Path, where: str) -> tuple[str, ...]:
    patterns: list[str] = []
    for item in [value] if isinstance(value, str) else value:
        path = base / item
        if not item.endswith(".txt"):
            patterns.append(item)
        elif path.is_file():
            patterns.extend(read_names(path))
        else:
            raise LabelError(f"{where}: {path} does not exist; expected a file that lists names")
    return tuple(patterns)


def select_pictures(pictures: Sequence[Path], source: Source) -> list[Path]:
    """Select the pictures that match ``include`` and not ``exclude``.

    LabelError for a pattern that matches no picture: a slip in it would let a picture through.
    """
    for pattern in (*source.include, *source.exclude):
        if not any(_matches(path, (pattern,)) for path in pictures):
            raise LabelError(
                f"{source.path}: include or exclude names {pattern!r}, which matches none"
            )
    left = [path for path in pictures if not source.include or _matches(path, source.include)]
    return [path for path in left if not _matches(path, source.exclude)]


def _matches(path: Path, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, p) for p in patterns for name in (path.name, path.stem))


def group_names(pictures: Sequence[Path], source: Source) -> list[str]:
    """Name the group of each picture by the regular expression ``group``, or by its stem.

    LabelError where ``group`` is no regular expression with one group, or finds nothing.
    """
    if not source.group:
        return [path.stem for path in pictures]
    where = f"{source.path}: the group {source.group!r}"
    try:
        pattern = re.compile(source.group)
    except re.error as error:
        raise LabelError(f"{where} is no regular expression: {error}") from error
    if pattern.groups != 1:
        raise LabelError(
            f"{where} has {pattern.groups} pairs of parentheses; expected one, around what names "
            "the group"
        )
    groups = []
    for path in pictures:
        found = pattern.search(path.name)
        if found is None or found.group(1) is None:
            raise LabelError(f"{path}: the group {source.group!r} finds nothing in its name")
        groups.append(found.group(1))
    return groups
