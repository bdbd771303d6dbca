"""Which pictures of a source are taken, and which must stay on one side of a split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wbc_nca.io.samples import LabelError

if TYPE_CHECKING:
    from napari_wbc_nca.io.sources import Source


def selected(pictures: Sequence[Path], source: Source) -> list[Path]:
    """Pictures that ``include`` takes and ``exclude`` does not.

    Raises
    ------
    LabelError
        For a pattern that matches no picture: a slip in it would let a picture through.
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


def grouped(pictures: Sequence[Path], source: Source) -> list[str]:
    """Group of each picture: what ``group`` finds in its name, or its own stem.

    Raises
    ------
    LabelError
        When ``group`` is no regular expression with one group, or finds nothing.
    """
    if not source.group:
        return [path.stem for path in pictures]
    pattern = _pattern(source)
    groups = []
    for path in pictures:
        found = pattern.search(path.name)
        if found is None or found.group(1) is None:
            raise LabelError(f"{path}: the group {source.group!r} finds nothing in its name")
        groups.append(found.group(1))
    return groups


def _pattern(source: Source) -> re.Pattern[str]:
    try:
        pattern = re.compile(source.group)
    except re.error as error:
        raise LabelError(
            f"{source.path}: the group {source.group!r} is no regular expression: {error}"
        ) from error
    if pattern.groups != 1:
        raise LabelError(
            f"{source.path}: the group {source.group!r} has {pattern.groups} pairs of "
            "parentheses; expected one, around what names the group"
        )
    return pattern
