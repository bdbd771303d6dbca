"""The keys of the corrections, known to napari as actions of Labels layers.

They stand in napari's preferences, where they can be changed, and in none of its own keys' place.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from napari import current_viewer
from napari.layers import Labels
from napari.settings import get_settings
from napari.utils.action_manager import action_manager
from napari.utils.key_bindings import coerce_keybinding

from napari_wbc_nca.ops.cell_features import COLUMNS
from napari_wbc_nca.widgets._correcting import start, start_class
from napari_wbc_nca.widgets._follow import follow
from napari_wbc_nca.widgets._operations import CLASS_KEYS, OPERATIONS

if TYPE_CHECKING:
    from napari import Viewer

PACKAGE = "napari-wbc-nca"


def make_correctable(layer: Labels) -> None:
    """Have the features of a layer that was just made follow its pixels, and bind the keys.

    Labels on disk whose table lacks what following needs are left until they are corrected.
    """
    if isinstance(layer.data, np.ndarray) or set(COLUMNS) <= set(layer.features):
        follow(layer, fresh=True)
    bind_keys()


@cache
def bind_keys() -> None:
    """Bind all keys, once; those that a person has chosen in the preferences stay."""
    for name, operation in OPERATIONS.items():
        _bind(name, operation.key, f"{operation.title}: {operation.tip}", _starter(name))
    for number, key in enumerate(CLASS_KEYS, start=1):
        _bind(f"class_{number}", key, f"Give the cell class {number}", _classifier(number))


def action_name(name: str) -> str:
    """Name of an operation among napari's actions."""
    return f"{PACKAGE}:{name}"


def keys_of(name: str) -> str:
    """Keys of an operation as the preferences have them now, in words."""
    shortcuts = action_manager._shortcuts.get(action_name(name), [])
    return " or ".join(str(coerce_keybinding(key)) for key in shortcuts) or "no key"


def _bind(name: str, key: str, description: str, command: Callable[[Any], None]) -> None:
    action = action_name(name)
    command.__name__ = f"{PACKAGE} {name}"
    action_manager.register_action(action, command, description, Labels)
    if action not in get_settings().shortcuts.shortcuts:
        action_manager.bind_shortcut(action, key)


def _starter(name: str) -> Callable[[Any], None]:
    def run(layer: Labels) -> None:
        if (viewer := _viewer()) is not None:
            start(viewer, name, layer)

    return run


def _classifier(number: int) -> Callable[[Any], None]:
    def run(layer: Labels) -> None:
        if (viewer := _viewer()) is not None:
            start_class(viewer, number, layer)

    return run


def _viewer() -> Viewer | None:
    viewer: Viewer | None = current_viewer()
    return viewer
