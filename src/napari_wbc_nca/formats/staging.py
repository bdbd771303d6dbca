"""Folders that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from napari_wbc_nca.formats.files import RECORD
from napari_wbc_nca.formats.items import ExportError

PROGRAM = "napari-wbc-nca"
_ROOM = 2**16
"""Bytes below which a disk counts as full: libraries do not always say why they failed."""
_REMEDIES = {
    errno.ENOSPC: "there is no room left; make room, or choose a folder on another disk",
    errno.EDQUOT: "your share of the disk is used up; make room, or choose another disk",
    errno.EACCES: "you have no right to write there; choose another folder",
    errno.EPERM: "you have no right to write there; choose another folder",
    errno.EROFS: "it cannot be written to; choose a folder on another disk",
}


@contextmanager
def staged(targets: Sequence[Path], *, overwrite: bool) -> Iterator[list[Path]]:
    """Temporary folders beside `targets`, which get their names when all is well.

    Parameters
    ----------
    targets
        Folders in one parent.
    overwrite
        Whether exports of that name are replaced.

    Raises
    ------
    ExportError
        When a name exists, or something cannot be written; then everything is as it was.
    """
    for target in targets:
        _check_free(target, overwrite=overwrite)
    parent = targets[0].parent
    parts = [parent / f".{target.name}.{os.getpid()}.part" for target in targets]
    before = parent if parent.exists() else None
    try:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
        yield parts
        _rename(parts, targets)
    except OSError as error:
        raise ExportError(f"{parent}: {_why(error, parent)}; nothing was exported") from error
    finally:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)
        if before is None and parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()


def _check_free(target: Path, *, overwrite: bool) -> None:
    """Refuse a name that exists; only exports of this program are ever replaced."""
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise ExportError(
            f"{target} exists; choose another folder, or ask for it to be overwritten"
        )
    if not _ours(target):
        raise ExportError(
            f"{target} exists and is no export of this program, so that it is not overwritten; "
            "choose another folder"
        )


def _ours(target: Path) -> bool:
    try:
        found = json.loads((target / RECORD).read_text(encoding="utf-8"))
        return str(found["program"]).startswith(PROGRAM)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _rename(parts: Sequence[Path], targets: Sequence[Path]) -> None:
    """Give all names, or put back what was there."""
    old = {target: part.with_suffix(".old") for part, target in zip(parts, targets, strict=True)}
    moved: list[Path] = []
    placed: list[Path] = []
    try:
        for part, target in zip(parts, targets, strict=True):
            if target.exists():
                os.replace(target, old[target])
                moved.append(target)
            os.replace(part, target)
            placed.append(target)
    except OSError:
        for target in placed:
            shutil.rmtree(target, ignore_errors=True)
        for target in moved:
            os.replace(old[target], target)
        raise
    for target in moved:
        shutil.rmtree(old[target], ignore_errors=True)


def _why(error: OSError, folder: Path) -> str:
    """What went wrong and what to do."""
    code = error.errno
    if code is None and _room(folder) < _ROOM:
        code = errno.ENOSPC
    remedy = _REMEDIES.get(code or 0, "choose another folder")
    return f"{error.strerror or error}: {remedy}"


def _room(folder: Path) -> int:
    known = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    return shutil.disk_usage(known).free
