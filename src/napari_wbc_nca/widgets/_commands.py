"""The corrections as commands of napari's menus and command palette."""

from __future__ import annotations

from napari import Viewer  # noqa: TC002 - napari hands it over by this annotation

from napari_wbc_nca.widgets._correcting import start
from napari_wbc_nca.widgets._keys import bind_keys

bind_keys()  # who corrects from the menu finds the keys there too


def merge(viewer: Viewer) -> None:
    """Make one cell of those under a line."""
    start(viewer, "merge")


def cut(viewer: Viewer) -> None:
    """Split cells by a line."""
    start(viewer, "cut")


def split(viewer: Viewer) -> None:
    """Split cells by points."""
    start(viewer, "split")


def delete(viewer: Viewer) -> None:
    """Delete the selected cell."""
    start(viewer, "delete")


def fill_holes(viewer: Viewer) -> None:
    """Fill the selected cell's holes."""
    start(viewer, "fill_holes")


def smooth(viewer: Viewer) -> None:
    """Round the selected cell's outline."""
    start(viewer, "smooth")


def grow(viewer: Viewer) -> None:
    """Make the selected cell wider."""
    start(viewer, "grow")


def shrink(viewer: Viewer) -> None:
    """Make the selected cell narrower."""
    start(viewer, "shrink")


def keep_largest(viewer: Viewer) -> None:
    """Keep the selected cell's largest piece."""
    start(viewer, "keep_largest")


def relabel(viewer: Viewer) -> None:
    """Number all cells anew."""
    start(viewer, "relabel")
