"""Adapt a model to the corrected cells of one image, and find what that changes in the others."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.colours import correct_channel_order
from napari_wbc_nca.methods.field import open_field
from napari_wbc_nca.methods.nca.adapt import (
    TypeExamples,
    named_probabilities,
    type_head,
    type_probabilities,
)
from napari_wbc_nca.methods.nca.cell_features import (
    OutlineWindow,
    as_run,
    box_middle,
    outline_windows,
)
from napari_wbc_nca.methods.nca.cells import GROWN
from napari_wbc_nca.methods.nca.outline import BORDER, border_of, outline
from napari_wbc_nca.ops.metrics import iou
from napari_wbc_nca.ops.response import mask_from_response, otsu_threshold
from napari_wbc_nca.workflow.adapt import (
    Adaptation,
    CorrectedCells,
    conclude,
    describe_cells,
    join_examples,
    masked_cells,
    typical_diameter,
)

if TYPE_CHECKING:
    from napari_wbc_nca.methods.field import Field
    from napari_wbc_nca.methods.nca.params import NcaParams
    from napari_wbc_nca.progress import Progress
    from napari_wbc_nca.types import Checkpoint, Image

_SAME = 0.98  # IoU of two outlines from which on they count as one

Key = tuple[int, ...]
"""Label, box and area of a cell, by which what was read of it is found again."""


@dataclass(frozen=True, eq=False)
class CellReading:
    """What a network made of one cell: its type features, and the window of its outline.

    `outline` is that of the model itself, in the window.
    """

    types: TypeExamples
    window: OutlineWindow | None
    outline: npt.NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class OpenImage:
    """Image whose cells are read as they are needed; `known` keeps what was read.

    Attributes
    ----------
    image
        Plane of the cells.
    model
        That made them.
    params
        Of the run that made them.
    diameter
        That the run used, in pixels; 0 takes the cells' own.
    known
        Readings by what identifies a cell.
    """

    image: Image
    model: Checkpoint
    params: NcaParams
    diameter: float = 0.0
    known: dict[Key, CellReading] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ImageChanges:
    """What an adapted model changes in the cells that nobody reviewed.

    Attributes
    ----------
    adaptation
        The adapted model, and its gate.
    types
        Probabilities by class, of each cell whose type changes, by label.
    outlines
        Corner and mask ``(h, w)`` of each cell whose outline changes, by label.
    unreviewed
        Number of cells that could have changed.
    """

    adaptation: Adaptation
    types: Mapping[int, Mapping[str, float]]
    outlines: Mapping[int, tuple[tuple[int, int], npt.NDArray[np.bool_]]]
    unreviewed: int

    def text(self) -> str:
        """Describe the changes in one line."""
        types, moved = len(self.types), len(self.outlines)
        return (
            f"{types} of {self.unreviewed} types {'changes' if types == 1 else 'change'}, "
            f"{moved} {'outline moves' if moved == 1 else 'outlines move'}"
        )


def adapt_image(
    opened: OpenImage, labels: npt.NDArray[Any], reviewed: Mapping[int, str], others: Sequence[int]
) -> Generator[Progress, None, ImageChanges]:
    """Adapt a model to the `reviewed` cells of an image, and compute the `others` by it.

    Parameters
    ----------
    opened
        Image and model; what is read of cells is kept in it.
    labels
        ``(Y, X)``, as the person left them.
    reviewed
        Class by label.
    others
        Labels of cells that nobody reviewed.

    Raises
    ------
    ValueError
        When no cell was reviewed, or the model cannot be adapted.
    """
    type_head(opened.model)
    if not reviewed:
        raise ValueError("no cell is corrected or confirmed; do that with some, of each type")
    finder = model_store.finder_of(opened.model)
    image, _, _ = correct_channel_order(opened.image, opened.model, opened.params)
    _, whole = open_field(image, as_run(finder, opened.params))
    cells = masked_cells(labels, [*reviewed, *others])
    diameter = opened.diameter or typical_diameter(list(cells.values()))
    view = whole.rescaled(diameter / finder.diameter)
    keys = {
        number: (number, *cell.origin, *cell.mask.shape, int(cell.mask.sum()))
        for number, cell in cells.items()
    }
    new = [number for number, key in keys.items() if key not in opened.known]
    if new:
        some = [cells[number] for number in new]
        blank = ("",) * len(new)
        model, params = opened.model, opened.params
        types = yield from describe_cells(image, model, some, blank, "", diameter, params)
        windows: list[OutlineWindow] = []
        if finder.card.get("projection") == GROWN:
            places = [(number, box_middle(cells[number])) for number in new]
            windows = yield from outline_windows(finder, view, labels, places, params)
        for at, number in enumerate(new):
            window = windows[at] if windows else None
            own = None if window is None else outline(window.example, border_of(model))
            opened.known[keys[number]] = CellReading(types.subset(np.array([at])), window, own)
    readings = {number: opened.known[key] for number, key in keys.items()}
    return _conclude(opened.model, readings, view, reviewed, [n for n in others if n in cells])


def _conclude(
    model: Checkpoint,
    readings: Mapping[int, CellReading],
    view: Field,
    reviewed: Mapping[int, str],
    others: Sequence[int],
) -> ImageChanges:
    learnt = [number for number in reviewed if number in readings]
    examples = [
        TypeExamples(
            readings[n].types.features, (reviewed[n],), (str(n),), readings[n].types.finder
        )
        for n in learnt
    ]
    windows = [readings[n].window for n in learnt]
    outlines = tuple(window.example for window in windows if window is not None)
    asked = [readings[number] for number in others]
    unreviewed = join_examples([reading.types for reading in asked])
    done = conclude(model, CorrectedCells(join_examples(examples), outlines, unreviewed))
    types = _changed_types(model, done.checkpoint, others, asked) if asked else {}
    moved = {
        number: mask
        for number, reading in zip(others, asked, strict=True)
        if (mask := _moved(model, done.checkpoint, reading, view)) is not None
    }
    return ImageChanges(done, types, moved, len(others))


def _changed_types(
    parent: Checkpoint,
    adapted: Checkpoint,
    numbers: Sequence[int],
    readings: Sequence[CellReading],
) -> dict[int, dict[str, float]]:
    """Return the probabilities of cells whose likeliest type changes."""
    cells = join_examples([reading.types for reading in readings])
    five = "finder" in parent.card
    before, after = (
        named_probabilities(model, type_probabilities(model, cells), five)
        for model in (parent, adapted)
    )
    pairs = zip(numbers, before, after, strict=True)
    return {n: new for n, old, new in pairs if max(old, key=old.get) != max(new, key=new.get)}  # type: ignore[arg-type]


def _moved(
    parent: Checkpoint, adapted: Checkpoint, reading: CellReading, view: Field
) -> tuple[tuple[int, int], npt.NDArray[np.bool_]] | None:
    """Outline a cell by the adapted model, in image pixels; None where it stays."""
    if (
        reading.window is None
        or reading.outline is None
        or adapted.card.get(BORDER) == parent.card.get(BORDER)
    ):
        return None
    example, around = reading.window.example, reading.window.around
    new = outline(example, border_of(adapted))
    if not new.any() or iou(reading.outline, new) >= _SAME:
        return None
    response = example.grown(border_of(adapted))
    fine = view.fine_density()
    box = fine.image_part(around)
    own = np.where(example.other, 0, response)
    sharp = fine.interpolate(own, around, 1, box)
    y, x = fine.to_image((example.middle[0] + around[0].start, example.middle[1] + around[1].start))
    corner = (box[0].start, box[1].start)
    mask = mask_from_response(sharp, otsu_threshold(response), (y - corner[0], x - corner[1]))
    return (corner, mask) if mask.any() else None
