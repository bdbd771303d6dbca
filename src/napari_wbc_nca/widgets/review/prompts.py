"""Cells that a click or a box asks for, segmented in a window around it by the layer's model."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from napari_wbc_nca.cell_types import ADDED
from napari_wbc_nca.io.images import prepare
from napari_wbc_nca.methods import registry
from napari_wbc_nca.ops.edit import Edit
from napari_wbc_nca.params import from_mapping
from napari_wbc_nca.widgets import undo_history as history
from napari_wbc_nca.widgets.features_sync import Recorded, follow
from napari_wbc_nca.widgets.planes import OURS, ImagePlanes, Index

if TYPE_CHECKING:
    import numpy.typing as npt
    from napari.layers import Labels

    from napari_wbc_nca.methods.params import PredictParams
    from napari_wbc_nca.progress import Progress

AROUND = 4.0
"""Side of the window over the diameter of a cell."""
_ROUND = 0.5
"""Least share of its box in a line that goes around a cell; an ellipse has 0.79."""
_COLUMNS = ("class", "class_probability", "confidence", "rotation_agreement", "contrast")


@dataclass(frozen=True, eq=False)
class Prompt:
    """A cell that is asked for by a click or a line around it: ``(N, 2)`` y, x in pixels."""

    line: npt.NDArray[np.float64]

    @property
    def is_box(self) -> bool:
        """Whether a line was drawn around the cell."""
        return len(self.line) > 1 and bool((np.ptp(self.line, axis=0) >= 4).all())

    @property
    def centre(self) -> npt.NDArray[np.float64]:
        """Middle of the line, y and x."""
        ends = self.line if self.is_box else self.line[:1]
        return np.asarray((ends.min(0) + ends.max(0)) / 2)

    def inside(self, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """Pixels ``(h, w)`` inside the line.

        A line that goes around much less than its box, such as a diagonal, stands for the box.

        Examples
        --------
        >>> Prompt(np.array([[0.0, 2], [2, 0], [4, 2], [2, 4]])).inside((5, 5))[0].tolist()
        [False, False, True, False, False]
        >>> Prompt(np.array([[0.0, 0], [4, 4]])).inside((5, 5)).all()
        np.True_
        """
        from skimage.draw import polygon

        low, high = self.line.min(0).round().astype(int), self.line.max(0).round().astype(int)
        out = np.zeros(shape, bool)
        out[polygon(self.line[:, 0], self.line[:, 1], shape)] = True
        box = slice(max(low[0], 0), high[0] + 1), slice(max(low[1], 0), high[1] + 1)
        if np.count_nonzero(out) < _ROUND * out[box].size:
            out[box] = True
        return out

    def label(self, plane: Any) -> int:
        """Label that the prompt means: under the click, or the commonest in the box; else 0."""
        y, x = (round(float(at)) for at in self.centre)
        if not (0 <= y < plane.shape[0] and 0 <= x < plane.shape[1]):
            return 0
        if not self.is_box:
            return int(plane[y, x])
        low, high = np.maximum(self.line.min(0), 0).astype(int), self.line.max(0).astype(int) + 1
        values = np.asarray(plane[low[0] : high[0], low[1] : high[1]])
        found, counts = np.unique(values[values != 0], return_counts=True)
        return int(found[counts.argmax()]) if len(found) else 0


@dataclass(frozen=True, eq=False)
class Found:
    """A cell that a prompt found.

    Attributes
    ----------
    corner
        Row and column of the mask's first pixel.
    mask
        ``(h, w)`` pixels of the cell.
    row
        What the model says of it, by column of the table.
    nucleus
        Those of its pixels that are nucleus; None where the model gives none.
    """

    corner: tuple[int, int]
    mask: npt.NDArray[np.bool_]
    row: Mapping[str, Any]
    nucleus: npt.NDArray[np.bool_] | None = None


def model_of(layer: Labels) -> tuple[str, Mapping[str, Any], float]:
    """Return the model, parameters and diameter by which a layer was made.

    Raises
    ------
    ValueError
        Where the layer was not made by a model of this plugin.
    """
    made = layer.metadata.get(OURS, {})
    if "model" not in made:
        raise ValueError(
            f"{layer.name} was not made by a model of this plugin; draw the cell with the brush"
        )
    run = (made.get("provenance") or [{}])[0]
    values = dict(made.get("params", {}))
    if "channel_order" in run:  # of the whole image: a part of it may show too little
        values["channel_order"] = run["channel_order"]
    return made["model"], values, float(run.get("diameter", 0) or 0)


def find(
    source: ImagePlanes, index: Index, prompt: Prompt, model: tuple[str, Mapping[str, Any], float]
) -> Generator[Progress, None, Found | None]:
    """Segment the cell that a prompt means, in a window around it; None where there is none.

    Parameters
    ----------
    source, index
        Image, and the position of its plane.
    prompt
        In pixels of the image.
    model
        Of :func:`model_of`.
    """
    from napari_wbc_nca.io import model_store
    from napari_wbc_nca.workflow import segment

    name, values, diameter = model
    checkpoint = model_store.resolve(name)
    image = prepare(source.image(index))
    extent = float(np.ptp(prompt.line, axis=0).max()) if prompt.is_box else 0.0
    side = round(AROUND * max(diameter or checkpoint.diameter, extent) / 2)
    y, x = (
        slice(max(0, round(at) - side), min(size, round(at) + side))
        for at, size in zip(prompt.centre, image.shape, strict=True)
    )
    corner = np.array([y.start, x.start])
    part = replace(image, pixels=np.asarray(image.pixels[y, x]), source=None)
    line = prompt.line - corner
    kind = "boxes" if prompt.is_box else "points"
    places = np.array([[*line.min(0), *line.max(0)]]) if prompt.is_box else line
    changes = {"locate": kind, "diameter": values.get("diameter") or diameter, "maps": False}
    known = registry.get(checkpoint.method).predict_params
    params: PredictParams = from_mapping(known, {**values, **changes})
    found = yield from segment.run(part, checkpoint, params, **{kind: places})
    if not len(found.cells):
        return None
    row = found.cells.iloc[0]
    mask = np.asarray(found.labels["cell"]) == row["label"]
    if prompt.is_box:
        mask &= Prompt(line).inside(mask.shape)
    if not mask.any():
        return None
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    nuclei = found.labels.get("nucleus")
    kept = [n for n in row.index if n in _COLUMNS or str(n).startswith(("p_", "nucleus_area"))]
    return Found(
        (int(corner[0] + rows[0]), int(corner[1] + columns[0])),
        mask[box],
        {str(n): row[n] for n in kept},
        None if nuclei is None else np.asarray(nuclei)[box] == row["label"],
    )


def write_cell(
    layer: Labels,
    index: Index,
    found: Found,
    values: Mapping[str, Any],
    old: int = 0,
    place: int = 0,
) -> int:
    """Write a cell into a layer as one step of undo, and return its label.

    Parameters
    ----------
    layer, index
        Where it is written; pixels of other cells stay.
    found
        Its pixels and what the model says of it.
    values
        Further columns of its row.
    old
        Label of the cell whose pixels it replaces; 0 adds a new label.
    place
        Number of the place where it was likely missed, which is decided by that; 0 for none.

    Raises
    ------
    ValueError
        Where other cells lie on all its pixels.
    """
    follower = follow(layer)
    y, x = (slice(at, at + n) for at, n in zip(found.corner, found.mask.shape, strict=True))
    if old:
        y_old, x_old = follower.boxes([old])[old]
        part = tuple(
            slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in ((y, y_old), (x, x_old))
        )
    else:
        part = (y, x)
    plane = np.array(layer.data[(*index, *part)])
    plane[plane == old] = 0
    inside = plane[
        y.start - part[0].start : y.stop - part[0].start,
        x.start - part[1].start : x.stop - part[1].start,
    ]
    free = found.mask & (inside == 0)
    if not free.any():
        raise ValueError("other cells lie there already; delete or redraw them instead")
    label = old or follower.fresh_label
    inside[free] = label
    row = {name: value for name, value in found.row.items() if name in follower.table}
    follower.write(
        Edit(part, plane),
        index,
        "redraw" if old else "add",
        values={label: {**row, **values}} | ({place: {"status": ADDED, **values}} if place else {}),
    )
    return label


def write_nucleus(cells: Labels, nuclei: Labels, index: Index, found: Found, label: int) -> None:
    """Write the nucleus of a cell that was just written into the layer of nuclei of its result.

    It takes the place of the nucleus the cell had. Undo and redo of the cell take it along.
    """
    if found.nucleus is None:
        return
    plane = nuclei.data[index]
    own = np.array(plane == label)
    y, x = (slice(at, at + n) for at, n in zip(found.corner, found.mask.shape, strict=True))
    new = np.zeros_like(own)
    new[y, x] = found.nucleus & ((plane[y, x] == 0) | own[y, x])
    where = np.nonzero(own | new)
    before = plane[where].copy()
    after = np.where(new[where], label, 0).astype(plane.dtype)
    *_, last = history.undo_steps(cells)
    number, target = history.step_id(last), ref(nuclei)

    def write(values: npt.NDArray[Any]) -> None:
        layer = target()
        if layer is not None:
            layer.data[(*index, *where)] = values
            layer.refresh()

    def on_step(action: str, record: Recorded) -> None:
        if history.step_id(record.step) == number:
            write(before if action == "undo" else after)

    write(after)
    follow(cells).listeners.append(on_step)
