"""Register the keys of the corrections as actions of Labels layers.

They are listed in napari's preferences, where they can be changed, and shadow none of its keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from napari import (
    Viewer,  # napari passes it to functions with this annotation
    current_viewer,
)
from napari.layers import Labels
from napari.settings import get_settings
from napari.utils.action_manager import action_manager
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.notifications import show_warning

from napari_wbc_nca.ops.labels import COLUMNS
from napari_wbc_nca.widgets.canvas_lines import Pixels, Stroke
from napari_wbc_nca.widgets.class_colours import layer_classes, show_outlines
from napari_wbc_nca.widgets.correction_operations import (
    CLASS_KEYS,
    HIDE_KEY,
    LINE,
    OPERATIONS,
    active_labels,
    classify,
    correct,
    correct_by_line,
    shown_plane,
)
from napari_wbc_nca.widgets.features_sync import follow
from napari_wbc_nca.widgets.features_table import adapt_features_widget

_STROKES: WeakKeyDictionary[Viewer, tuple[str, ref[Stroke]]] = WeakKeyDictionary()
"""Operation and line that a viewer waits for."""


def start_operation(viewer: Viewer, name: str, layer: Labels | None = None) -> None:
    """Start one of :data:`OPERATIONS`, or cancel it where it still waits for its line."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    if _stop(viewer) == name:
        return
    try:
        layer = layer or active_labels(viewer)
        if OPERATIONS[name].needs == LINE:
            _wait(viewer, layer, name)
        else:
            viewer.status = correct(viewer, layer, name)
    except ValueError as error:
        show_warning(str(error))


def start_classification(viewer: Viewer, number: int, layer: Labels | None = None) -> None:
    """Give the cell under the mouse the class with a number, from 1."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    try:
        layer = layer or active_labels(viewer)
        classes = layer_classes(layer)
        if number > len(classes):
            raise ValueError(
                f"there is no class {number}; the classes are {', '.join(classes)}, and more can "
                f"be added in the widget Correct cells"
            )
        viewer.status = classify(viewer, layer, classes[number - 1])
    except ValueError as error:
        show_warning(str(error))


def _stop(viewer: Viewer) -> str:
    """Cancel the operation that waits for a line; return its name, or an empty text."""
    name, known = _STROKES.get(viewer, ("", None))
    if known is not None and (stroke := known()) is not None:
        stroke.close()
    return name


def _wait(viewer: Viewer, layer: Labels, name: str) -> None:
    shown_plane(viewer, layer)  # refuses layers that cannot be corrected before anybody draws

    def draw(line: Pixels) -> None:
        try:
            viewer.status = correct_by_line(viewer, layer, name, line)
        except ValueError as error:
            show_warning(str(error))

    def closed() -> None:
        _STROKES.pop(viewer, None)
        viewer.help = layer.help

    viewer.layers.selection.active = layer
    _STROKES[viewer] = (name, ref(Stroke(viewer, layer, draw, closed)))  # the layer keeps it
    viewer.help = f"{OPERATIONS[name].tip}; a click cancels"


PACKAGE = "napari-wbc-nca"
HIDE = "hide_labels"
"""Name of the action that hides the labels while its key is held."""


def make_correctable(layer: Labels) -> None:
    """Outline the cells of a layer that was just made, and have its features follow its pixels.

    Labels on disk whose table lacks what following needs are left until they are corrected.
    """
    show_outlines(layer)
    if isinstance(layer.data, np.ndarray) or set(COLUMNS) <= set(layer.features):
        follow(layer, fresh=True)
    bind_keys()


@cache
def bind_keys() -> None:
    """Bind all keys, once; those that a person has chosen in the preferences stay."""
    for name, operation in OPERATIONS.items():
        description = f"{operation.title}: {operation.tip}"
        bind_key(name, operation.key, description, _key_command(start_operation, name))
    for number, key in enumerate(CLASS_KEYS, start=1):
        command = _key_command(start_classification, number)
        bind_key(f"class_{number}", key, f"Give the cell class {number}", command)
    bind_key(HIDE, HIDE_KEY, "Hide all labels while the key is held", hide_labels)
    adapt_features_widget()


def keys_of(name: str) -> str:
    """Return the keys of an operation in words, as the preferences have them now."""
    shortcuts = action_manager._shortcuts.get(f"{PACKAGE}:{name}", [])
    return " or ".join(str(coerce_keybinding(key)) for key in shortcuts) or "no key"


def bind_key(name: str, key: str, description: str, command: Callable[[Any], object]) -> None:
    """Register an action of Labels layers, and bind its key unless a person chose another."""
    action = f"{PACKAGE}:{name}"
    command.__name__ = f"{PACKAGE} {name}"
    action_manager.register_action(action, command, description, Labels)
    if action not in get_settings().shortcuts.shortcuts:
        action_manager.bind_shortcut(action, key)


def _key_command(start: Callable[[Viewer, Any, Labels], None], what: Any) -> Callable[[Any], None]:
    def run(layer: Labels) -> None:
        if (viewer := current_viewer()) is not None:
            start(viewer, what, layer)

    return run


def hide_labels(layer: Labels) -> Iterator[None]:
    """Hide all Labels layers until the key is released."""
    layers = viewer.layers if (viewer := current_viewer()) else [layer]
    shown = [x for x in layers if isinstance(x, Labels) and x.visible]
    for one in shown:
        one.visible = False
    yield
    for one in shown:
        one.visible = True


bind_keys()  # who corrects from the menu finds the keys there too


def _menu_command(name: str) -> Callable[[Viewer], None]:
    """Return the command of the menu that does an operation."""

    def run(viewer: Viewer) -> None:
        start_operation(viewer, name)

    return run


merge, cut, split, delete, fill_holes, smooth, grow, shrink, keep_largest, relabel = map(
    _menu_command, OPERATIONS
)
