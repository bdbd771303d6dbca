"""What holds for all projects: whether corrections are written, where, by whom; known ones."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

from napari_wbc_nca.io._files import user_data, write_whole

_FILE = "settings.json"
_KNOWN, _MOST = "projects.json", 2000
"""File of the projects that images have, and how many of them are remembered."""
_REMEMBERING = Lock()


@dataclass(frozen=True)
class JournalSettings:
    """Settings of the journal.

    Attributes
    ----------
    keep
        Whether corrections are written into projects.
    beside
        Whether a new project lies beside its image, if that can be written, or among the user's
        own files.
    reviewer
        Name that is written beside decisions.
    """

    keep: bool = True
    beside: bool = True
    reviewer: str = ""


def load_settings() -> JournalSettings:
    """Read the settings of the user; the defaults where there are none, or none to be read."""
    return _read(user_data() / _FILE)


def save_settings(settings: JournalSettings) -> None:
    """Write the settings of the user; an OutputError says why that cannot be done."""
    path = user_data() / _FILE
    with write_whole(path) as (part,):
        part.write_text(json.dumps(asdict(settings), indent=1), encoding="utf-8")
    _read.cache_clear()


@lru_cache(maxsize=1)
def _read(path: Path) -> JournalSettings:
    default = JournalSettings()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return default
    if not isinstance(found, dict):
        return default
    kinds = {name: type(value) for name, value in asdict(default).items()}
    known = {n: found[n] for n, kind in kinds.items() if isinstance(found.get(n), kind)}
    return JournalSettings(**known)


def remember_project(image: Path, folder: Path) -> None:
    """Write down which project an image file has, so that it is missed where it was moved."""
    key, value = str(image.resolve()), str(folder.resolve())
    with _REMEMBERING:  # each open project has a thread that writes
        known = _known_projects()
        if known.pop(key, None) == value:
            return
        latest = dict(list(known.items())[1 - _MOST :])
        with write_whole(user_data() / _KNOWN) as (part,):
            part.write_text(json.dumps({**latest, key: value}, indent=1), encoding="utf-8")


def remembered_project(image: Path) -> Path | None:
    """Return the project that an image file had last; it may be there no more."""
    folder = _known_projects().get(str(image.resolve()))
    return None if folder is None else Path(folder)


def _known_projects() -> dict[str, str]:
    try:
        found = json.loads((user_data() / _KNOWN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {key: value for key, value in pairs if isinstance(value, str)}
