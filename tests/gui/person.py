"""A person who corrects the cells of an image by brush and keys, and whose project is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from hands import Hands
from reviewing import CORNERS, cells_on, settle
from squares import smear

from napari_wbc_nca.project.project import Project
from napari_wbc_nca.widgets.review.layer_journal import keep_journal
from napari_wbc_nca.widgets.review.open_projects import close_all
from napari_wbc_nca.widgets.review.restore import offers_of

STROKES = (((40, 10), (40, 30)), ((80, 10), (80, 40)), ((5, 60), (5, 100)))
"""Lines of the brush, each beside the cells."""


SEEN = 200
"""Side of the corner that is painted and compared, of images that may be large."""


def seen(layer: Any) -> np.ndarray:
    """Labels in the corner of the image where strokes are drawn."""
    return layer.data[..., :SEEN, :SEEN]


class Person:
    """Opens images, paints and presses keys, and remembers how the labels were."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        offers_of(viewer)  # as the first dock that is opened does
        self.states: list[np.ndarray] = []

    def open(self, path: Path, **look: Any) -> Any:
        """Open an image, with a layer of cells whose corrections are written."""
        (image,) = self.viewer.open(str(path), plugin="napari")
        layer = cells_on(self.viewer, image, **look)
        keep_journal(layer, image)
        self.viewer.layers.selection.active = layer
        self.viewer.reset_view()
        settle()
        self.states = [seen(layer).copy()]
        return layer

    def paint(self, layer: Any, number: int, label: int = 1) -> None:
        """Draw a line with the brush."""
        self.viewer.layers.selection.active = layer
        layer.selected_label, layer.brush_size = label, 4
        hands = Hands(self.viewer)
        hands.leave()
        hands.key("2")
        assert layer.mode == "paint"
        hands.drag(*STROKES[number])
        layer.mode = "pan_zoom"
        self.states.append(seen(layer).copy())

    def undo_and_redo_all(self, layer: Any) -> None:
        """Take back all corrections by Ctrl-Z and repeat them, comparing each state."""
        hands = Hands(self.viewer)
        hands.leave()
        for expected in self.states[-2::-1]:
            hands.key("Control-Z")
            np.testing.assert_array_equal(seen(layer), expected)
        for expected in self.states[1:]:
            hands.key("Control-Shift-Z")
            np.testing.assert_array_equal(seen(layer), expected)

    def hears(self, notes: list[str], text: str) -> None:
        """Wait for a message."""
        self.qtbot.waitUntil(lambda: any(text in note for note in notes), timeout=20_000)

    def reopen(self, path: Path) -> Any:
        """Close the project, open the image again and take the offer to restore."""
        self.put_away()
        self.viewer.open(str(path), plugin="napari")
        offers, number = offers_of(self.viewer), len(self.viewer.layers)
        self.qtbot.waitUntil(lambda: bool(offers.open), timeout=20_000)
        offers.take(offers.open[-1])
        self.qtbot.waitUntil(lambda: len(self.viewer.layers) > number, timeout=20_000)
        return self.viewer.layers[-1]

    def put_away(self) -> None:
        """Close the projects, as leaving napari does.

        The layers are hidden, not removed: software OpenGL crashes now and then on buffers that
        were freed.
        """
        for layer in self.viewer.layers:
            layer.visible = False
        close_all()


def write_smear(path: Path, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, smear(*CORNERS), photometric="rgb", **options)
    return path


def folder_of(image: Path) -> Path:
    return image.with_suffix(".wbcproject")


def corrections(project: Path) -> list[str]:
    """Kinds of the edits that a project holds."""
    with Project(project) as opened:
        return [kind for (kind,) in opened.database.query("SELECT kind FROM edits ORDER BY id")]
