"""Images that the arguments of ``segment`` stand for."""

from __future__ import annotations

import glob
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_wbc_nca.io import omezarr
from napari_wbc_nca.io.images import stem
from napari_wbc_nca.io.outputs import SUFFIXES
from napari_wbc_nca.io.samples import is_picture


@dataclass
class Inputs:
    """What was found.

    Attributes
    ----------
    files
        Each image once, in the order of the arguments, under the name its outputs get.
    failed
        Argument to why it stands for no image.
    """

    files: dict[Path, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def find(arguments: Sequence[str]) -> Inputs:
    """Images of files, folders and patterns.

    In folders and patterns, label images and overlays that an earlier run wrote are left out.
    """
    found: list[Path] = []
    inputs = Inputs()
    for argument in arguments:
        path = Path(argument).expanduser()
        if path.is_dir() and not omezarr.is_zarr(path):
            images = list(filter(_is_input, sorted(path.iterdir())))
            why = "there is no image in this folder; give images, or a folder that holds some"
        elif not path.exists() and glob.has_magic(argument):
            images = list(
                filter(_is_input, map(Path, sorted(glob.glob(str(path), recursive=True))))
            )
            why = "no image matches this pattern; check the path"
        else:
            images, why = [path], ""
        if not images:
            inputs.failed[argument] = why
        found += images
    once: dict[Path, Path] = {}
    for path in found:
        once.setdefault(path.resolve(), path)
    inputs.files = names(once.values())
    return inputs


def _is_input(path: Path) -> bool:
    return omezarr.is_zarr(path) or (is_picture(path) and not path.name.endswith(SUFFIXES))


def names(paths: Iterable[Path]) -> dict[Path, str]:
    """Name for the outputs of each image: its stem, or more of its path where stems are equal.

    Examples
    --------
    >>> [*names([Path("a/x.png"), Path("b/x.png"), Path("b/y.png")]).values()]
    ['a_x.png', 'b_x.png', 'y']
    """
    order = list(paths)
    found: dict[Path, str] = {}
    for form in _FORMS:
        left = {path: form(path) for path in order if path not in found}
        # Folded, since some file systems take X.json and x.json for one.
        counts = Counter(name.casefold() for name in (*left.values(), *found.values()))
        found |= {path: name for path, name in left.items() if counts[name.casefold()] == 1}
    return {path: found[path] for path in order}


_FORMS: tuple[Callable[[Path], str], ...] = (
    stem,
    lambda path: path.name,
    lambda path: "_".join(path.parts[-2:]),
    lambda path: f"{stem(path)}_{_digest(path)}",
)


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
