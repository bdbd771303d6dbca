"""Corrections as they are started: by a key, a menu entry or a button."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari.utils.notifications import show_warning

from napari_wbc_nca.widgets._classes import classes_of
from napari_wbc_nca.widgets._operations import (
    LINE,
    OPERATIONS,
    classify,
    correct,
    correct_by_line,
)
from napari_wbc_nca.widgets._stroke import Pixels, Stroke
from napari_wbc_nca.widgets._target import active_labels, shown_plane

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Labels

_STROKES: WeakKeyDictionary[Viewer, tuple[str, Stroke]] = WeakKeyDictionary()
"""Operation and line that a viewer waits for."""


def start(viewer: Viewer, name: str, layer: Labels | None = None) -> None:
    """Do an operation, or wait for the line that it needs; the same again stops the waiting.

    Parameters
    ----------
    viewer
        Viewer that shows the layer.
    name
        Of :data:`napari_wbc_nca.widgets._operations.OPERATIONS`.
    layer
        Layer to correct; the active one by default.
    """
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


def start_class(viewer: Viewer, number: int, layer: Labels | None = None) -> None:
    """Give the cell pointed at the class with a number, from 1."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    try:
        layer = layer or active_labels(viewer)
        classes = classes_of(layer)
        if number > len(classes):
            raise ValueError(
                f"there is no class {number}; the classes are {', '.join(classes)}, and more can "
                f"be added in the widget Correct cells"
            )
        viewer.status = classify(viewer, layer, classes[number - 1])
    except ValueError as error:
        show_warning(str(error))


def _stop(viewer: Viewer) -> str:
    """Wait for no line any more; return the name of the operation that needed it, or nothing."""
    name, stroke = _STROKES.get(viewer, ("", None))
    if stroke is not None:
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
    _STROKES[viewer] = (name, Stroke(viewer, layer, draw, closed))
    viewer.help = f"{OPERATIONS[name].tip}; a click cancels"
