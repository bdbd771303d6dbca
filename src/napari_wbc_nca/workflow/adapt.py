"""Adapt types and outlines of a model to the corrected cells of an annotation project."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from napari_wbc_nca.cell_types import AUTO, NONE, REJECTED, TYPES, UNSURE
from napari_wbc_nca.io import model_store
from napari_wbc_nca.methods.colours import correct_channel_order
from napari_wbc_nca.methods.field import open_field
from napari_wbc_nca.methods.nca.adapt import (
    TypeExamples,
    adapt_types,
    averages,
    has_new_class,
    type_head,
)
from napari_wbc_nca.methods.nca.adapt_gate import Gate, judge_types
from napari_wbc_nca.methods.nca.cell_features import (
    as_run,
    box_middle,
    cell_features,
    outline_windows,
)
from napari_wbc_nca.methods.nca.cells import GROWN
from napari_wbc_nca.methods.nca.outline import OutlineExample, adapt_outlines
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.ops.readout import class_probabilities
from napari_wbc_nca.progress import Progress, run_to_end
from napari_wbc_nca.project.database import ProjectError
from napari_wbc_nca.project.project import is_project
from napari_wbc_nca.types import Cell, Checkpoint, Image
from napari_wbc_nca.workflow.cell_sources import ImageCells, find_sources

if TYPE_CHECKING:
    import pandas as pd

    from napari_wbc_nca.project.project import Project


_OTHERS = 30  # unreviewed cells of an image that show what is no new class


@dataclass(frozen=True, eq=False)
class Adaptation:
    """A model that was adapted to corrections.

    Attributes
    ----------
    checkpoint
        The adapted model, whose card has its parent's name and hash; the parent itself where
        nothing is corrected.
    gate
        Comparison with the parent on cells that were left out of the fit.
    cells
        Number of corrected and confirmed cells by class.
    failed
        Images whose cells could not be used, and why.
    """

    checkpoint: Checkpoint
    gate: Gate
    cells: Mapping[str, int]
    failed: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class CorrectedCells:
    """What is learnt from of corrected cells: their types, and their outlines.

    `others` are cells that nobody reviewed, where a class is new to the model.
    """

    types: TypeExamples
    outlines: tuple[OutlineExample, ...]
    others: TypeExamples


def adapt(
    model: str | Path | Checkpoint,
    project: str | Path,
    opened: Mapping[Path, Project] | None = None,
) -> Adaptation:
    """Adapt types and outlines of a model to the corrected and confirmed cells of a project.

    Parameters
    ----------
    model
        Name, file, or checkpoint of an automaton or of a classifier of its cells.
    project
        Folder of an annotation project.
    opened
        Projects that this program has open, by their resolved folders.

    Returns
    -------
    Adaptation
        The adapted model, and what it does better than its parent.

    Raises
    ------
    ProjectError
        When there is no project, or none of its cells can be used.
    ValueError
        When the model cannot be adapted.
    """
    return run_to_end(run(model, project, opened))


def run(
    model: str | Path | Checkpoint,
    project: str | Path,
    opened: Mapping[Path, Project] | None = None,
) -> Generator[Progress, None, Adaptation]:
    """Do the steps of :func:`adapt`."""
    parent = model if isinstance(model, Checkpoint) else model_store.resolve(model)
    type_head(parent)
    if not is_project(Path(project)):
        raise ProjectError(f"{project} is no annotation project; give the folder of one")
    parts, failed = [], {}
    outlines: list[OutlineExample] = []
    others: list[TypeExamples] = []
    for source in find_sources(project, opened):
        try:
            cells = source.read()
            if len(reviewed_cells(cells.cells)):
                found = yield from read_examples(cells, parent)
                parts.append(found.types)
                others.append(found.others)
                outlines += found.outlines
        except (ValueError, OSError) as error:
            failed[source.name] = str(error)
    if failed and not parts:
        name, why = next(iter(failed.items()))
        raise ProjectError(f"{project}: no corrected cell can be used. {name}: {why}")
    corrected = CorrectedCells(join_examples(parts), tuple(outlines), join_examples(others))
    return conclude(parent, corrected, failed)


def conclude(
    parent: Checkpoint, corrected: CorrectedCells, failed: Mapping[str, str] | None = None
) -> Adaptation:
    """Fit the model to cells, and compare it with its parent on cells that were left out."""
    examples = corrected.types
    counts = dict(zip(*np.unique(examples.names, return_counts=True), strict=True))
    cells = {str(name): int(count) for name, count in counts.items()}
    gate = judge_types(parent, examples, corrected.others)
    adapted = adapt_types(parent, examples, corrected.others)
    if adapted is not parent:
        card = {**adapted.card, "adapted_to": cells, "gate": gate.record()}
        if gate.temperature:
            card["temperature"] = gate.temperature
        adapted = adapt_outlines(replace(adapted, card=card), corrected.outlines)
    return Adaptation(adapted, gate, cells, dict(failed or {}))


def reviewed_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of cells that a person corrected, drew or confirmed, with a known class."""
    known = ~table["class"].isin(["", UNSURE]) & table["class"].notna()
    return table[known & ~table["status"].isin([AUTO, REJECTED])]


def read_examples(
    source: ImageCells, model: Checkpoint
) -> Generator[Progress, None, CorrectedCells]:
    """Read what is learnt from of the corrected and confirmed cells of one image.

    An ImageError or ValueError says when the image is missing or cannot be used.
    """
    table = reviewed_cells(source.cells)
    labels = _plane(source)
    found = masked_cells(labels, [int(n) for n in table.index])
    cells = list(found.values())
    if not cells:
        return CorrectedCells(join_examples([]), (), join_examples([]))
    order = source.record.get("channel_order", "auto")
    locate = source.record.get("parameters", {}).get("locate", "evidence")
    params = NcaParams(channel_order=order, locate=locate)
    image, _, _ = correct_channel_order(source.read_image(()), model, params)
    diameter = float(source.record.get("diameter") or typical_diameter(cells))
    names = tuple(str(name) for name in table["class"].loc[list(found)])
    new = has_new_class(model, names)
    types = yield from describe_cells(image, model, cells, names, source.name, diameter, params)
    waiting = source.cells.index[source.cells["status"] == AUTO].tolist() if new else []
    unreviewed = list(masked_cells(labels, waiting[:_OTHERS]).values())
    others = join_examples([])
    if unreviewed:
        blank = ("",) * len(unreviewed)
        others = yield from describe_cells(image, model, unreviewed, blank, "", diameter, params)
    finder = model_store.finder_of(model)
    if finder.card.get("projection") != GROWN:
        return CorrectedCells(types, (), others)
    _, field = open_field(image, as_run(finder, params))
    places = [(number, box_middle(cell)) for number, cell in found.items()]
    view = field.rescaled(diameter / finder.diameter)
    windows = yield from outline_windows(finder, view, labels, places, params)
    return CorrectedCells(types, tuple(window.example for window in windows), others)


def describe_cells(
    image: Image,
    model: Checkpoint,
    cells: list[Cell],
    names: tuple[str, ...],
    group: str,
    diameter: float,
    params: NcaParams,
) -> Generator[Progress, None, TypeExamples]:
    """Read all of cells by which a model types them; `names` are their classes."""
    features = yield from cell_features(image, model, cells, diameter, params)
    finder = np.zeros((len(cells), 0))
    if averages(model):
        own = model_store.finder_of(model)
        hidden = yield from cell_features(image, own, cells, diameter, params)
        found = class_probabilities(hidden, type_head(own))
        finder = found[:, [own.classes.index(name) for name in TYPES]]
    return TypeExamples(features, names, (group,) * len(names), finder)


def _plane(source: ImageCells) -> npt.NDArray[Any]:
    """Read the labels of one plane."""
    labels = source.read_labels()
    if labels.ndim > 2 and labels.size != labels.shape[-2] * labels.shape[-1]:
        raise ValueError(
            f"its layer is a stack of shape {labels.shape}; only single planes are learnt from: "
            "correct a layer of one plane"
        )
    return labels.reshape(labels.shape[-2:])


def masked_cells(labels: npt.NDArray[Any], numbers: Sequence[int]) -> dict[int, Cell]:
    """Make cells of the labels ``(Y, X)`` by number, of those that any pixel has."""
    known = labels.view(np.int32) if labels.dtype == np.uint32 else labels.astype(np.int32)
    places = ndi.find_objects(known, max(numbers, default=0))
    found: dict[int, Cell] = {}
    for number in numbers:
        part = places[number - 1]
        if part is not None:
            mask = labels[part] == number
            corner = (part[0].start, part[1].start)
            shown = mask.astype(np.float32)
            found[number] = Cell(corner, corner, mask, mask, shown, NONE, {}, 0.0)
    return found


def typical_diameter(cells: list[Cell]) -> float:
    """Return the median diameter of cells in pixels, of circles as large."""
    return float(np.median([2 * np.sqrt(cell.mask.sum() / np.pi) for cell in cells]))


def join_examples(parts: list[TypeExamples]) -> TypeExamples:
    """Join examples of several images."""
    some = [part for part in parts if len(part)]
    if not some:
        return TypeExamples(np.zeros((0, 1, 1), np.float32), (), (), np.zeros((0, 0)))
    return TypeExamples(
        np.concatenate([part.features for part in some]),
        tuple(chain.from_iterable(part.names for part in some)),
        tuple(chain.from_iterable(part.groups for part in some)),
        np.concatenate([part.finder for part in some]),
    )
