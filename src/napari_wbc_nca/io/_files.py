"""What all files share: names, reasons of failure, writing whole or not at all, hashes, JSON."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import shutil
import threading
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import takewhile
from pathlib import Path, PureWindowsPath
from typing import Any, Generic, TypeVar

import numpy as np

Entry = TypeVar("Entry")

SUFFIXES = (
    *(".ome.tif", ".ome.tiff", ".ome.zarr", ".tif", ".tiff", ".btf", ".tf8", ".zarr"),
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".jp2", ".ppm", ".pgm", ".avif"),
    *(".svs", ".ndpi", ".scn", ".lsm", ".stk", ".czi"),
)
"""What the name of an image file ends with, lower case; the longer of two comes first."""


def base_name(path: str | Path) -> str:
    r"""Return the last part of a path that any system wrote, its suffix in lower case.

    Examples
    --------
    >>> base_name("C:\\Users\\me\\Slide 1.TIF"), base_name("/data/a.png")
    ('Slide 1.tif', 'a.png')
    """
    name = PureWindowsPath(path).name
    suffix = _suffix(name)
    return name.removesuffix(name[len(name) - len(suffix) :]) + suffix


def stem(path: str | Path) -> str:
    r"""Return the name of an image without folders and suffixes of images.

    Examples
    --------
    >>> stem("C:\\images\\a.OME.TIF"), stem("a"), stem("cells.2024.png")
    ('a', 'a', 'cells.2024')
    """
    name = base_name(path)
    return name.removesuffix(_suffix(name))


def _suffix(name: str) -> str:
    found = next((end for end in SUFFIXES if name.lower().endswith(end)), "")
    return found if len(found) < len(name) else ""


HOME = "NAPARI_WBC_NCA_HOME"
"""Environment variable that names the folder of the user's own files, if it is not the usual."""


def user_data() -> Path:
    """Return the folder of the user's own models, projects and settings; it need not exist."""
    from platformdirs import user_data_path

    home = os.environ.get(HOME)
    return Path(home) if home else user_data_path("napari-wbc-nca", appauthor=False)


class NameIndex(Generic[Entry]):
    r"""Find what a table, a record or a folder lists under the name of an image.

    One rule for every file: the same base name, whichever slash, case of the suffix and form of
    Unicode it was written with; else the same name without suffix; else the same but for its case.
    Of several entries of one name, that whose folders agree furthest.

    Examples
    --------
    >>> index = NameIndex({"D:\\smears\\001.JPG": "neutrophil", "002": "lymphocyte"})
    >>> index.get("/home/me/001.jpg"), index.get("002.png"), index.get("003.png")
    ('neutrophil', 'lymphocyte', None)
    """

    def __init__(self, entries: Mapping[Any, Entry]) -> None:
        self._keys: defaultdict[tuple[int, str], list[tuple[str, Entry]]] = defaultdict(list)
        for name, entry in entries.items():
            for key in _keys(name):
                self._keys[key].append((str(name), entry))

    def get(self, name: str | Path) -> Entry | None:
        """Return the entry of `name`, or None."""
        for key in _keys(name):
            if found := self._keys.get(key):
                return max(found, key=lambda item: _shared_folders(item[0], name))[1]
        return None


def _keys(name: str | Path) -> list[tuple[int, str]]:
    text = unicodedata.normalize("NFC", str(name))
    return [(0, base_name(text)), (1, stem(text)), (2, stem(text).casefold())]


def fold(name: str) -> str:
    """Return a name in the one form for all cases and, since macOS decomposes ``ü``, of Unicode."""
    return unicodedata.normalize("NFC", name).casefold()


def find_inside(folder: Path, path: str) -> Path | None:
    """Find `path`, with slashes, below a folder, in whichever case its parts are written."""
    for part in path.split("/"):
        exact = folder / part
        if not exact.exists():
            listed = sorted(folder.iterdir()) if folder.is_dir() else []
            found = next((one for one in listed if fold(one.name) == fold(part)), None)
            if found is None:
                return None
            exact = found
        folder = exact
    return folder


def _shared_folders(first: str | Path, second: str | Path) -> int:
    """Count the innermost folders that two paths share."""
    folders = (reversed(PureWindowsPath(path).parent.parts) for path in (first, second))
    pairs = zip(*folders, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def name_outputs(paths: Iterable[Path]) -> dict[Path, str]:
    """Name the outputs of each image: its stem, or more of its path where stems are equal.

    Examples
    --------
    >>> [*name_outputs([Path("a/x.png"), Path("b/x.png"), Path("b/y.png")]).values()]
    ['a_x.png', 'b_x.png', 'y']
    """
    order = list(paths)
    found: dict[Path, str] = {}
    for form in _FORMS:
        left = {path: form(path) for path in order if path not in found}
        # Folded, since some file systems take X.json and x.json for one.
        counts = Counter(map(fold, (*left.values(), *found.values())))
        found |= {path: name for path, name in left.items() if counts[fold(name)] == 1}
    return {path: found[path] for path in order}


_FORMS: tuple[Callable[[Path], str], ...] = (
    stem,
    lambda path: path.name,
    lambda path: "_".join(path.parts[-2:]),
    lambda path: f"{stem(path)}_{_digest(path)}",
)


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]


class OutputError(ValueError):
    """A file that cannot be written; says which, why, and what to do."""


_ROOM = 2**16
"""Bytes below which a disk counts as full: libraries do not always say why they failed."""
_RIGHTS = "ask for the right to read it, or give a copy of your own"
_UNWRITABLE = "choose a folder that you may write to"
_FULL = "make room there, or choose another folder"
_REMEDIES = {
    # errno: what to do when reading, and when writing, failed
    errno.EACCES: (_RIGHTS, _UNWRITABLE),
    errno.EPERM: (_RIGHTS, _UNWRITABLE),
    errno.EROFS: ("", _UNWRITABLE),
    errno.ENOSPC: ("", _FULL),
    errno.EDQUOT: ("", _FULL),
    errno.ENOENT: ("check the path", "check the path"),
    errno.EISDIR: ("give a file, not a folder", "give a file, not a folder"),
    errno.EIO: ("copy it again from where it came", "choose a folder on another disk"),
}


def reason(error: OSError) -> str:
    """Say why a file cannot be read, and what to do."""
    remedy = _REMEDIES.get(error.errno or 0, ("", ""))[0]
    remedy = remedy or "check that the file and its folder can be read"
    return f"{error.strerror or error}; {remedy}"


def write_reason(error: OSError, folder: Path) -> str:
    """Say why nothing can be written into `folder`, and what to do."""
    code = error.errno
    known = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    if code is None and shutil.disk_usage(known).free < _ROOM:
        code = errno.ENOSPC
    return (
        f"{error.strerror or error}; {_REMEDIES.get(code or 0, ('', 'choose another folder'))[1]}"
    )


@contextmanager
def write_whole(
    *targets: Path, error: type[ValueError] = OutputError
) -> Iterator[tuple[Path, ...]]:
    """Write files or folders under temporary names, which become `targets` when all is well.

    Yields a free name beside each target. Parents of targets are made. Where something cannot be
    written, `error` is raised, and everything is as it was.

    Examples
    --------
    >>> with write_whole(folder / "a.txt") as (part,):  # doctest: +SKIP
    ...     part.write_text("whole")
    """
    own = f"{os.getpid()}-{threading.get_ident()}"
    parts = tuple(target.with_name(f".{target.name}.{own}.part") for target in targets)
    made: list[Path] = []  # folders, the innermost first
    try:
        for target, part in zip(targets, parts, strict=True):
            made += [folder for folder in target.parents if not folder.exists()]
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove(part)
        yield parts
        replace_all(dict(zip(parts, targets, strict=True)))
    except OSError as failed:
        named = Path(failed.filename or "")  # not every error names a file
        pairs = zip(targets, parts, strict=True)
        at = next((target for target, part in pairs if named.is_relative_to(part)), targets[0])
        raise error(f"{at} cannot be written: {write_reason(failed, at.parent)}") from failed
    finally:
        for part in parts:
            _remove(part)
        for folder in made:  # those that stayed empty
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def write_files(writers: Mapping[Path, Callable[[Path], object]]) -> list[Path]:
    """Write each file by its function of a path, as :func:`write_whole`; return the files."""
    with write_whole(*writers) as parts:
        for part, writer in zip(parts, writers.values(), strict=True):
            try:
                writer(part)
            except OSError as error:  # not every library names the file
                raise OSError(error.errno, error.strerror or str(error), str(part)) from error
    return list(writers)


def replace_all(names: Mapping[Path, Path]) -> None:
    """Rename files or folders on one disk, old path to new, all of them, or put back what was."""
    kept: dict[Path, Path] = {}
    placed: list[Path] = []
    try:
        for part, target in names.items():
            if os.path.lexists(target) and part.is_dir() == target.is_dir():
                old = kept[target] = part.with_name(f"{part.name}.old")
                _remove(old)
                try:
                    os.link(target, old)  # so that a file stays where it is meanwhile
                except OSError:  # a folder, or a disk without links
                    os.replace(target, old)
            os.replace(part, target)
            placed.append(target)
    except OSError:
        for target in placed:
            _remove(target)
        for target, old in kept.items():
            if not os.path.lexists(target):
                os.replace(old, target)
            _remove(old)
        raise
    for old in kept.values():
        _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()


def file_sha256(path: str | Path | None) -> str | None:
    """Compute the hash of a file, once while it is unchanged; None of what is no file."""
    if path is None or not Path(path).is_file():
        return None
    status = Path(path).stat()
    return _file_sha256(str(path), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _file_sha256(path: str, changed: int, size: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def array_sha256(array: Any) -> str:
    """Compute the hash of an array: its type, its shape and its numbers."""
    plane = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{plane.dtype.str} {plane.shape} ".encode())
    digest.update(plane.data)
    return digest.hexdigest()


def to_json(value: Any) -> Any:
    """Return `value` in terms of JSON; what is not finite becomes null."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): to_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


_CGROUP = Path("/sys/fs/cgroup/memory.max")
"""Limit of a container or of a job on a cluster."""


def available_memory() -> int:
    """Return the bytes that can be taken without swapping."""
    import psutil

    free = int(psutil.virtual_memory().available)
    if _CGROUP.exists() and (limit := _CGROUP.read_text().strip()).isdigit():
        return min(free, int(limit))
    return free


def gibibytes(size: float) -> str:
    """Write a number of bytes as people read it, such as ``3.0 GiB``."""
    return f"{size / 2**30:.1f} GiB"
