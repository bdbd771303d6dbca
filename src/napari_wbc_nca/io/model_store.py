"""Models by name: those that come with the program, and the user's own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from napari_wbc_nca.io.published import import_published
from napari_wbc_nca.io.weights import WeightsError, load, save
from napari_wbc_nca.types import Checkpoint

SUFFIX = ".safetensors"
HOME = "NAPARI_WBC_NCA_HOME"
"""Environment variable that names the folder of the user's models, where it is not the usual."""


@contextmanager
def _bundled() -> Iterator[Path]:
    with as_file(files("napari_wbc_nca") / "weights") as folder:
        yield folder


def user_folder() -> Path:
    """Return the folder of the user's own models; it need not exist."""
    from platformdirs import user_data_path

    home = os.environ.get(HOME)
    return (Path(home) if home else user_data_path("napari-wbc-nca", appauthor=False)) / "models"


def names() -> list[str]:
    """List the names of all models at hand, the bundled ones first."""
    with _bundled() as folder:
        bundled = _stems(folder)
    return bundled + [name for name in _stems(user_folder()) if name not in bundled]


def _stems(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def resolve(model: str | Path) -> Checkpoint:
    """Read the checkpoint of a name or of a file.

    A name stands for a bundled model, then for one of the user's; anything else is a file:
    a checkpoint of ours, or a published one (``.pt``, ``.pth``) of WBC-NCA with its thirteen
    classes or of WSISPDR with its one; others are imported first, with their class names.

    Raises
    ------
    WeightsError
        When there is neither, with the names there are, or when it cannot be used.
    """
    with _bundled() as folder:
        if str(model) in _stems(folder):
            return _intact(folder / f"{model}{SUFFIX}", str(model), _index(folder))
    own = user_folder() / f"{model}{SUFFIX}"
    if str(model) in _stems(own.parent):
        return load(own)
    path = Path(model).expanduser()
    if path.is_file() and path.suffix.lower() in (".pt", ".pth"):
        return import_published(path)
    if path.is_file():
        return load(path)
    found = "is a folder" if path.is_dir() else "is neither a file nor the name of a model"
    raise WeightsError(
        f"{str(model)!r} {found}; give a {SUFFIX} file or one of: "
        f"{', '.join(names()) or 'no model is installed'}"
    )


def _index(folder: Path) -> dict[str, str]:
    """Read the SHA-256 of each model bundled in `folder`."""
    path = folder / "index.json"
    if not path.exists():
        return {}
    hashes: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return hashes


def _intact(path: Path, name: str, index: dict[str, str]) -> Checkpoint:
    checkpoint = load(path)
    expected = index.get(name)
    if expected != checkpoint.sha256:
        raise WeightsError(
            f"{path} has SHA-256 {checkpoint.sha256}, but {expected or 'none'} is listed: the "
            "file was changed; install napari-wbc-nca again"
        )
    return checkpoint


def info(model: str | Path) -> dict[str, Any]:
    """Return everything that a model's file says of itself but its weights."""
    checkpoint = resolve(model)
    shown = {name: value for name, value in vars(checkpoint).items() if name != "weights"}
    parameters = sum(array.size for array in checkpoint.weights.values())
    return {**shown, "classes": list(checkpoint.classes), "parameters": parameters}


def register(checkpoint: Checkpoint, name: str) -> Path:
    """Keep a checkpoint among the user's models under `name`; never in place of another.

    Raises
    ------
    WeightsError
        When the name is taken or cannot be a file's, or the file cannot be written.
    """
    check_name(name)
    path = user_folder() / f"{name}{SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"{path.parent} cannot be made: {error.strerror}; set {HOME} to a folder of yours"
        ) from error
    named = {**vars(checkpoint), "name": name}
    save(Checkpoint(**named), path)
    return path


def check_name(name: str) -> None:
    """Refuse a name that a model of the user's cannot have, before it is trained.

    Raises
    ------
    WeightsError
        When it is taken, or cannot be a file's.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name):
        raise WeightsError(
            f"{name!r} cannot name a model; use lower-case letters, digits, hyphens and underscores"
        )
    if name in names():
        raise WeightsError(f"a model {name!r} exists already; choose another name")
