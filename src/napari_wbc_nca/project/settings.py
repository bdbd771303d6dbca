"""What a user chose for all projects: whether corrections are written, where, and by whom."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from napari_wbc_nca.io._files import user_data, write_whole

_FILE = "settings.json"


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
