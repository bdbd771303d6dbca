"""Count what it takes to review a differential of 100 cells, here and with napari's own tools.

    WBC_NCA_DATA=/data python benchmarks/review_queue.py segment FOLDER fields
    WBC_NCA_DATA=/data xvfb-run -a python benchmarks/review_actions.py dock FOLDER
    WBC_NCA_DATA=/data xvfb-run -a python benchmarks/review_actions.py napari FOLDER

The image is 10 by 10 whole pictures of `fields`, each with one white cell whose type and outline
are known, as `wbc-smear` segments them: 85 right, and 15 in which one thing is wrong, drawn by a
seed in the proportion of all its mistakes there. Two simulated annotators, who know what is right,
work with real events of keys and mouse until labels and types are right. ``dock`` follows the page
of the docs: the queue, then the gallery. ``napari`` has the Labels layer's tools and napari's table
of features, with the docks open and the table ready to be edited. Both look at the same cells as
closely: at all of them at the scale of the gallery, and at the doubtful ones closer; on both ways a
cell is found by eye without a movement where it is in the view. Each key, click, and drag counts
once, a key with Ctrl or Alt as one, a turn of the wheel in one direction as a drag.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import review_queue
from napari import Viewer
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QCursor, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLineEdit, QScrollBar, QWidget
from scipy import ndimage
from skimage.io import imread
from skimage.measure import find_contours

from napari_wbc_nca.cell_types import NONE, TYPES, canonical
from napari_wbc_nca.evaluation.ground_truth import read_ground_truth
from napari_wbc_nca.ops.crops import crop_side
from napari_wbc_nca.ops.doubt import doubt
from napari_wbc_nca.ops.review_table import calibration
from napari_wbc_nca.types import Segmentation

SET = "fields"
GRID, WRONG, SEED = 10, 15, 0
"""Pictures in a row and a column, those in which one thing is wrong, and how they are drawn."""
HEIGHT, WIDTH = 480, 640
NEAR, FAR = 3.0, 64.0
"""Side of a close view over a cell's, and screen pixels of a crop of the gallery."""
KEY, MOUSE = Qt.Key, Qt.MouseButton.LeftButton
HELD = Qt.KeyboardModifier


@dataclass(frozen=True, eq=False)
class Slide:
    """Image and segmentation of 100 cells, and what is right.

    Attributes
    ----------
    pixels, labels
        ``(Y, X, 3)`` image and ``(Y, X)`` labels that were found.
    cells
        Table of the cells that were found.
    record
        Of a run, with the likely missed places of all pictures.
    truth
        ``(Y, X)`` labels of the true cells, from 1.
    names
        Type of each true cell.
    meant
        Label that was found to the true cell that it is; 0 for one that is none.
    wrong
        Label to what is wrong with it: type, outline, both, or false; of a true cell that was
        missed, its number with a minus.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint32]
    cells: pd.DataFrame
    record: dict[str, Any]
    truth: npt.NDArray[np.uint32]
    names: dict[int, str]
    meant: dict[int, int]
    wrong: dict[int, str]


def make_slide(folder: Path) -> Slide:
    """Compose the slide of pictures that were segmented."""
    right, faulty = [], []
    for image in review_queue.images_of(SET):
        result = review_queue.result_of(folder, SET, image)
        if result is None:
            continue
        truth = read_ground_truth(image)
        found = list(review_queue.items(image.name, result, truth))
        mistakes = [item["wrong"] for item in found if item["wrong"]]
        if len(mistakes) == 1:
            faulty.append((mistakes[0], image, result, truth, found))
        elif not mistakes and len(truth.names) == 1 and truth.names[0] in TYPES:
            right.append((image, result, truth, found))
    chance = random.Random(SEED)
    chance.shuffle(right)
    chance.shuffle(faulty)
    counts = Counter(kind for kind, *_ in faulty)
    quota = {kind: max(1, round(WRONG * n / len(faulty))) for kind, n in counts.items()}
    quota["type"] += WRONG - sum(quota.values())
    chosen: list[Any] = []
    for kind, *rest in faulty:
        if quota[kind]:
            quota[kind] -= 1
            chosen.append(rest)
    chosen += right[: GRID**2 - WRONG]
    chance.shuffle(chosen)
    return compose(chosen)


def compose(chosen: list[Any]) -> Slide:
    """Put pictures side by side, row by row."""
    shape = GRID * HEIGHT, GRID * WIDTH
    pixels = np.zeros((*shape, 3), np.uint8)
    labels, truth = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    tables, places, last = [], [], 0
    names: dict[int, str] = {}
    meant: dict[int, int] = {}
    wrong: dict[int, str] = {}
    for number, (image, result, known, found) in enumerate(chosen):
        y, x = HEIGHT * (number // GRID), WIDTH * (number % GRID)
        here = slice(y, y + HEIGHT), slice(x, x + WIDTH)
        pixels[here] = imread(image.sample.path)
        first = len(names) + 1
        truth[here] = np.where(known.cell, known.cell + (first - 1), 0)
        names |= {first + n: name if name in TYPES else "" for n, name in enumerate(known.names)}
        table = result.cells[[canonical(kind) != NONE for kind in result.cells["class"]]].copy()
        shared = review_queue.pair_scores(known, table, result.labels)
        for label in table["label"]:
            labels[here][result.labels == label] = last + label
        for item in found:
            cell = -1 if item["meant"] is None else int(item["meant"])
            if label := item["label"]:
                meant[last + label] = cell + first if cell >= 0 else 0
            if kind := item["wrong"]:
                score = shared[cell, table["label"].tolist().index(label)] if label else 1
                both = kind == "type" and score < review_queue.GOOD
                wrong[last + label if label else -(cell + first)] = (
                    "type and outline" if both else kind
                )
        table["label"] += last
        for axis, start in (("y", y), ("x", x)):
            for name in (f"centroid_{axis}", f"box_{axis}0", f"box_{axis}1"):
                table[name] += start
        places += [
            place | {"y": place["y"] + y, "x": place["x"] + x}
            for place in result.record.get("likely_missed", ())
        ]
        tables.append(table)
        last = max([last, *table["label"]])
    record = {**chosen[0][1].record, "likely_missed": places}
    diameters = [result.record["diameter"] for _, result, _, _ in chosen]
    record["diameter"] = float(np.median(diameters))
    cells = pd.concat(tables, ignore_index=True)
    return Slide(pixels, labels, cells, record, truth, names, meant, wrong)


@dataclass
class Annotator:
    """Hands that count what they do, over a window with a slide.

    Attributes
    ----------
    counts
        Keys, clicks and drags so far.
    """

    viewer: Viewer
    slide: Slide
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.canvas = self.viewer.window._qt_viewer.canvas
        self.native = self.canvas.native

    def key(self, where: QWidget, *keys: Any, held: Any = HELD.NoModifier) -> None:
        """Press keys one after the other."""
        for key in keys:
            self.counts["keys"] += 1
            QTest.keyClick(where, key, held)
            settle()

    def type(self, where: QWidget, text: str) -> None:
        """Type a text."""
        self.counts["keys"] += len(text)
        QTest.keyClicks(where, text)
        settle()

    def click(self, where: QWidget, at: QPoint, held: Any = HELD.NoModifier) -> None:
        """Click somewhere in a widget."""
        self.counts["clicks"] += 1
        QTest.mouseMove(where, at)
        QTest.mouseClick(where, MOUSE, held, at)
        settle()

    def drag(self, *way: QPoint) -> None:
        """Draw with the left button over the canvas."""
        self.counts["drags"] += 1
        QTest.mouseMove(self.native, way[0])
        QTest.mousePress(self.native, MOUSE, HELD.NoModifier, way[0])
        for at in way[1:]:
            QTest.mouseMove(self.native, at)
            QApplication.processEvents()
        QTest.mouseRelease(self.native, MOUSE, HELD.NoModifier, way[-1])
        settle()

    def scroll(self, bar: QScrollBar, value: int) -> None:
        """Drag the handle of a scroll bar."""
        self.counts["drags"] += 1
        bar.setValue(value)
        settle()

    def wheel(self, at: QPoint, zoom: float) -> None:
        """Turn the wheel over the canvas until its zoom is as far as `zoom`, or farther."""
        self.counts["drags"] += 1
        before = self.camera.zoom
        self.turn(at, 1 if zoom > before else -1)
        if self.camera.zoom == before:  # the pointer is beyond the canvas
            self.camera.zoom = zoom
            return
        notch = abs(np.log(self.camera.zoom / before))
        if (left := np.log(zoom / self.camera.zoom) / notch) * (zoom - before) > 0:
            self.turn(at, left)

    def turn(self, at: QPoint, notches: float) -> None:
        """Turn the wheel by some notches."""
        none = Qt.MouseButton.NoButton, HELD.NoModifier, Qt.ScrollPhase.NoScrollPhase, False
        place, turn = QPointF(self.native.mapToGlobal(at)), QPoint(0, round(120 * notches))
        event = QWheelEvent(QPointF(at), place, QPoint(), turn, *none)
        QApplication.sendEvent(self.native, event)
        settle()

    @property
    def camera(self) -> Any:
        """Camera of the canvas."""
        return getattr(self.viewer, "scene", self.viewer).camera

    def place(self, y: float, x: float) -> QPoint:
        """Where a pixel of the slide lies on the canvas."""
        scene = self.canvas.view.scene
        found = scene.node_transform(self.canvas._scene_canvas.scene).map([x, y])
        return QPoint(round(float(found[0])), round(float(found[1])))

    def middle(self, mask: npt.NDArray[np.bool_]) -> tuple[float, float]:
        """Pixel of a mask that is nearest to its middle."""
        places = np.argwhere(mask)
        y, x = places[np.square(places - places.mean(0)).sum(1).argmin()]
        return float(y), float(x)

    def encircle(self, mask: npt.NDArray[np.bool_]) -> None:
        """Draw around a cell with the brush, which fills it: one click and a movement."""
        self.counts["drags"] += 1
        places = np.argwhere(mask)
        middle, spread = places.mean(0), (np.ptp(places, axis=0) + 1) / 2 * 0.9
        turns = np.linspace(0, 2 * np.pi, 40)
        self.viewer.layers["cells"].brush_size = 10
        way = [self.place(*(middle + spread * (np.sin(t), np.cos(t)))) for t in turns]
        QTest.mouseMove(self.native, way[0])
        QTest.mouseClick(self.native, Qt.MouseButton.RightButton, HELD.NoModifier, way[0])
        for at in way[1:]:
            QTest.mouseMove(self.native, at)
            QApplication.processEvents()
        settle()


class DockAnnotator(Annotator):
    """Reviews by the Review dock."""

    def review(self) -> pd.DataFrame:
        """Review the slide; returns the table of cells at the end."""
        _, dock = self.viewer.window.add_plugin_dock_widget("napari-wbc-nca", "Review cells")
        QTest.qWait(500)
        self.dock, self.gallery = dock, dock.gallery
        self.left = dict(self.slide.wrong)
        self.key_to = {name: str(n) for n, name in enumerate(dock.model.classes, start=1)}
        self.gallery.setFocus()
        self.press("n")
        while min(dock.model.selection, default=0) > 0 and self.waits(dock.model.selection[0]):
            self.decide(dock.model.selection[0])
        self.look_over()
        self.add_missed()
        print("not found by any of the ways:", self.left)
        table: pd.DataFrame = dock.model.table
        return table

    def waits(self, label: int) -> bool:
        """Whether a cell waits for a decision; after the cells, the queue comes to places."""
        return label in self.dock.model.queue()

    def press(self, text: str) -> None:
        """Press a plain key of the dock."""
        self.counts["keys"] += 1
        QTest.keyClicks(self.gallery, text)
        settle()

    def decide(self, label: int) -> None:
        """Decide on the cell that the queue shows."""
        kind = self.left.pop(label, "")
        if kind == "false":
            self.press("d")
            return
        name = self.slide.names[self.slide.meant[label]]
        if "outline" in kind:
            self.redraw(self.slide.meant[label])
        right = self.dock.model.cell(label)["class"] == name or not name
        self.press(" " if right else self.key_to[name])

    def redraw(self, cell: int) -> None:
        """Draw around a cell, so that it is segmented again."""
        self.press("r")
        self.draw_around(cell)
        self.wait()

    def draw_around(self, cell: int) -> None:
        """Draw a line around a true cell."""
        mask = self.slide.truth == cell
        y, x = np.argwhere(mask).min(0) - 8
        y, x = max(y, 0), max(x, 0)
        around = ndimage.binary_dilation(mask[y : y + 400, x : x + 400], iterations=3)
        ring = max(find_contours(np.pad(around, 1).astype(float), 0.5), key=len)
        ring += np.array([y - 1, x - 1])
        if not all(self.native.rect().contains(self.place(*at)) for at in ring):
            self.wheel(self.native.rect().center(), self.camera.zoom / 2)
        self.drag(*(self.place(*at) for at in (*ring[::12], ring[0])))

    def look_over(self) -> None:
        """Look at all crops of the gallery, and give those in the wrong group their class."""
        bar, height = self.gallery.verticalScrollBar(), self.gallery.viewport().height()
        for top in range(0, bar.maximum() + height, height):
            if top:
                self.scroll(bar, min(top, bar.maximum()))
            for label in [n for n, kind in self.left.items() if n > 0]:
                box = self.gallery.rectangle(label)
                if box is None or not self.gallery.viewport().rect().contains(box.center()):
                    continue
                kind = self.left.pop(label)
                self.click(self.gallery.viewport(), box.center())
                if "type" in kind:
                    self.press(self.key_to[self.slide.names[self.slide.meant[label]]])
                elif kind == "false":
                    self.press("d")

    def add_missed(self) -> None:
        """Look for cells without an outline in the whole slide, and add them."""
        missed = [-n for n in self.left if n < 0]
        if not missed:
            return
        self.key(self.native, KEY.Key_R, held=HELD.ControlModifier)  # the whole slide
        for cell in missed:
            y, x = self.middle(self.slide.truth == cell)
            self.wheel(self.place(y, x), 8 * self.camera.zoom)
            first = self.gallery.cell_at(QPoint(20, 40)) or self.gallery.labels()[-1]
            if min(self.dock.model.selection, default=1) < 0:  # A would add the place shown
                self.click(self.gallery.viewport(), self.gallery.rectangle(first).center())
            self.gallery.setFocus()
            self.press("a")
            self.draw_around(cell)
            self.wait()
            label, score = self.found(cell)
            if score < review_queue.GOOD:  # the model sees none, or little of it: draw it
                self.native.setFocus()
                self.key(self.native, *([] if label else [KEY.Key_M]), KEY.Key_2)
                self.encircle(self.slide.truth == cell)
                self.gallery.setFocus()
            self.left.pop(-cell)
            name = self.slide.names[cell]
            if name not in ("", self.dock.model.cell(self.found(cell)[0])["class"]):
                self.press(self.key_to[name])

    def found(self, cell: int) -> tuple[int, float]:
        """Label that has most of a true cell, 0 for none, and its IoU with it."""
        return best_label(self.dock.model.layer.data, self.slide.truth == cell)

    def wait(self) -> None:
        """Wait until a cell is segmented."""
        for _ in range(600):
            QTest.qWait(50)
            if "Segmenting" not in self.dock.status.text():
                return


class NapariAnnotator(Annotator):
    """Reviews by napari's own Labels layer and table of features.

    Parameters
    ----------
    paste
        A name is pasted where it is the same as the one before, instead of typed.
    """

    paste = False

    def __post_init__(self) -> None:
        super().__post_init__()
        cells = self.slide.cells.set_index("label", drop=False)
        temperature, params = calibration(self.slide.record)
        rated = doubt(cells, self.slide.labels.shape, params, temperature)
        self.doubtful = set(rated.index[rated["doubtful"]])
        self.far = FAR / crop_side(cells)
        sides = np.ptp(cells[["box_y0", "box_y1"]].to_numpy(), axis=1)
        self.near = min(canvas_size(self.viewer)) / (NEAR * float(np.median(sides)))

    def review(self) -> pd.DataFrame:
        """Review the slide; returns the table of cells at the end."""
        _, self.table = self.viewer.window.add_plugin_dock_widget("napari", "Features table widget")
        self.layer = self.viewer.layers["cells"]
        self.viewer.layers.selection.active = self.layer
        self.table.toggle.setChecked(True)
        QTest.qWait(500)
        self.named = ""
        self.key(self.native, KEY.Key_5)  # pick
        for y, x, height, width in self.views():
            here = slice(int(y), int(y + height)), slice(int(x), int(x + width))
            self.look(here)
        # The table sorted by type is what is counted.
        header = self.table.table.horizontalHeader()
        self.click(header.viewport(), QPoint(header.sectionPosition(self.column) + 5, 5))
        self.pages()
        table: pd.DataFrame = self.layer.features
        return table

    @property
    def column(self) -> int:
        """Column of the types in napari's table."""
        return list(self.layer.features).index("class") + 1

    def views(self) -> Any:
        """Show the slide part by part at the scale of the gallery, there and back by rows."""
        height, width = (n / self.far for n in canvas_size(self.viewer))
        rows, columns = -(-GRID * HEIGHT // height), -(-GRID * WIDTH // width)
        centre = QPoint(self.native.width() // 2, self.native.height() // 2)
        self.wheel(centre, self.far)
        for row in range(int(rows)):
            order = range(int(columns)) if row % 2 == 0 else range(int(columns) - 1, -1, -1)
            for column in order:
                y, x = row * height, column * width
                self.pan(y + height / 2, x + width / 2)
                yield y, x, height, width

    def pan(self, y: float, x: float) -> None:
        """Drag the picture until a place is in the middle, with the space bar held."""
        self.counts["keys"] += 1
        QTest.keyPress(self.native, KEY.Key_Space)
        middle = QPoint(self.native.width() // 2, self.native.height() // 2)
        start = self.place(y, x)
        far = start - middle
        while max(abs(far.x()) / self.native.width(), abs(far.y()) / self.native.height()) > 1:
            far /= 2  # as far as the canvas goes
        self.drag(middle + far / 2, middle, middle - far / 2)
        QTest.keyRelease(self.native, KEY.Key_Space)
        self.camera.center = (y, x)
        settle()

    def look(self, here: tuple[slice, slice]) -> None:
        """Look closely at the doubtful cells of a view, and correct those that are wrong."""
        labels = np.unique(self.slide.labels[here])
        for label in [int(n) for n in labels if n and self.owns(here, self.slide.labels == n)]:
            kind = self.slide.wrong.get(label, "")
            y, x = self.middle(self.slide.labels == label)
            if label in self.doubtful or kind:
                self.wheel(self.place(y, x), self.near)
            if kind:
                self.correct(label, kind, self.place(y, x))
            if label in self.doubtful or kind:
                self.wheel(self.place(y, x), self.far)
        for missed in [-n for n in self.slide.wrong if n < 0]:
            mask = self.slide.truth == missed
            if self.owns(here, mask):
                self.wheel(self.place(*self.middle(mask)), self.near)
                self.key(self.native, KEY.Key_M, KEY.Key_2)  # a new label, paint
                self.encircle(mask)
                self.key(self.native, KEY.Key_5)
                self.wheel(self.place(*self.middle(mask)), self.far)

    def owns(self, here: tuple[slice, slice], mask: npt.NDArray[np.bool_]) -> bool:
        """Whether the middle of a cell lies in a view."""
        return all(s.start <= at < s.stop for s, at in zip(here, self.middle(mask), strict=True))

    def correct(self, label: int, kind: str, at: QPoint) -> None:
        """Correct a cell."""
        self.click(self.native, at)  # picks its label, and selects its row
        assert self.layer.selected_label == label
        cell = self.slide.meant[label]
        if "outline" not in kind and kind != "false":
            self.name(label, self.slide.names[cell])
            return
        self.key(self.native, KEY.Key_1)  # erase
        self.layer.brush_size = 160
        self.click(self.native, at)
        if (self.layer.data == label).any():
            self.click(self.native, at)
        if kind != "false":
            self.key(self.native, KEY.Key_2)
            self.encircle(self.slide.truth == cell)
            if "type" in kind:
                self.name(label, self.slide.names[cell])
        else:
            self.name(label, NONE)  # napari has no way to remove its row
        self.key(self.native, KEY.Key_5)

    def name(self, label: int, name: str) -> None:
        """Write the type of a cell into its row of the table."""
        view = self.table.table
        at = view.model().mapFromSource(view.model().sourceModel().index(label, self.column))
        if not view.viewport().rect().contains(view.visualRect(at).center()):
            self.scroll(view.verticalScrollBar(), max(0, at.row() - 5))
        self.click(view.viewport(), view.visualRect(at).center())
        QTest.qWait(600)  # a click on a selected row edits after the time of a double click
        editor = view.viewport().findChild(QLineEdit)
        if editor is None:  # it was the current one already
            self.key(view, KEY.Key_F2)
            editor = view.viewport().findChild(QLineEdit)
        assert editor is not None
        if self.paste and name == self.named:
            self.key(editor, KEY.Key_V, held=HELD.ControlModifier)
        else:
            self.type(editor, name)
            if self.paste:  # to be pasted next time
                self.key(editor, KEY.Key_A, KEY.Key_C, held=HELD.ControlModifier)
                self.named = name
        self.key(editor, KEY.Key_Return)
        assert self.layer.features["class"][label] == name

    def pages(self) -> None:
        """Scroll through the table from its first row to its last."""
        bar = self.table.table.verticalScrollBar()
        for _ in range(-(-(bar.maximum() + bar.pageStep()) // bar.pageStep()) - 1):
            self.scroll(bar, bar.value() + bar.pageStep())


def settle() -> None:
    """Let Qt do what it has put off."""
    for _ in range(3):
        QApplication.processEvents()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def open_slide(slide: Slide, reviewed: bool) -> Viewer:
    """Open a window with the slide, and its cells as the Segment widget shows them if `reviewed`.

    Else the layer has one row a label, from 0, as napari's table takes them.
    """
    viewer = Viewer(show=True, show_welcome_screen=False)
    viewer.window.resize(1400, 900)
    QCursor.setPos(QApplication.primaryScreen().geometry().bottomRight())
    image = viewer.add_image(slide.pixels, name="slide")
    labels = slide.labels.copy()
    if not reviewed:
        table = pd.DataFrame({"label": np.arange(labels.max() + 1)})
        table = table.merge(slide.cells, how="left", on="label")
        table["class"] = table["class"].fillna("")
        viewer.add_labels(labels, name="cells", features=table, opacity=0.5)
    else:
        from napari_wbc_nca.widgets.class_colours import class_colours, colormap
        from napari_wbc_nca.widgets.correction_keys import make_correctable
        from napari_wbc_nca.widgets.missed_places import MISSED, list_places
        from napari_wbc_nca.widgets.planes import OURS, SHOWS

        found = Segmentation({"cell": labels}, slide.cells, {}, slide.record)
        table = slide.cells.assign(index=slide.cells["label"])
        made = {
            "run": "0",
            "source": "slide",
            "source_id": str(image.unique_id),
            "planes": ["()"],
            "model": "wbc-smear",
            "params": slide.record["parameters"],
            "provenance": [slide.record],
            SHOWS: "cell",
            MISSED: list_places({(): found}, single=True),
        }
        layer = viewer.add_labels(
            labels,
            name="cells",
            features=table,
            opacity=0.5,
            metadata={OURS: made},
            colormap=colormap(table, class_colours(table)),
        )
        make_correctable(layer)
    viewer.window._qt_viewer.canvas.native.setFocus()
    QTest.qWait(1000)
    return viewer


def canvas_size(viewer: Viewer) -> tuple[int, int]:
    """Height and width of the canvas in screen pixels."""
    native = viewer.window._qt_viewer.canvas.native
    return native.height(), native.width()


def best_label(labels: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> tuple[int, float]:
    """Return the label that has most of a mask, 0 for none, and its IoU with it."""
    counts = np.bincount(labels[mask])
    counts[0] = 0
    label = int(counts.argmax())
    return label, float(counts[label] / np.count_nonzero(mask | (labels == label)))


def check(slide: Slide, labels: npt.NDArray[Any], table: pd.DataFrame) -> list[str]:
    """List what is still wrong: of labels, and of types in the table."""
    names = dict(zip(table["label"], table["class"], strict=True))
    wrong, used = [], {0}
    for cell, name in slide.names.items():
        label, score = best_label(labels, slide.truth == cell)
        if score < review_queue.GOOD:
            wrong.append(f"outline of cell {cell}")
        used.add(label)
        if name and names.get(label, name) != name:  # napari has no row for a cell that was added
            wrong.append(f"type of cell {cell}: {names[label]}, not {name}")
    wrong += [f"label {n} is no cell" for n in np.unique(labels) if n not in used]
    false = [n for n, name in names.items() if n not in used and name not in ("", NONE)]
    return wrong + [f"row {n} counts, but is no cell" for n in false]


def main() -> None:
    """Review the slide in one of the two ways, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=("dock", "napari", "paste"))
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    slide = make_slide(given.folder)
    print(
        f"{len(slide.names)} cells: {dict(Counter(slide.names.values()))}; "
        f"wrong: {dict(Counter(slide.wrong.values()))}"
    )
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_WBC_NCA_HOME"] = home
        viewer = open_slide(slide, given.way == "dock")
        if given.way == "dock":
            hands: Any = DockAnnotator(viewer, slide)
        else:
            hands = NapariAnnotator(viewer, slide)
            hands.paste = given.way == "paste"
        table = hands.review()
        viewer.screenshot(given.folder / f"{given.way}.png", canvas_only=False)
        print("\n".join(check(slide, viewer.layers["cells"].data, table)) or "all is right")
        print(f"{sum(hands.counts.values())} actions: {dict(hands.counts)}")
        viewer.close()


if __name__ == "__main__":
    main()
