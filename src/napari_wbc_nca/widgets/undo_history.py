"""Read napari's undo history of a Labels layer: which steps are done, and what each changed.

Labels layers announce an edit by the event ``paint``, undo and redo only by a redrawn picture. All
that depends on how napari keeps its history stands in this file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Labels

Atom = Any
"""Part of a step: napari's ``(indices, old values, new values)``, or its masked box."""
Step = list[Atom]
Part = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class PixelChange:
    """Pixels that a step changes when it is done; undoing does the opposite.

    Attributes
    ----------
    gain
        Label to the pixels it gains, less those it loses; holds every label touched.
    part
        Box around all pixels touched; None where the step touches none.
    """

    gain: Counter[int]
    part: Part | None


def undo_steps(layer: Labels) -> Iterator[Step]:
    """Iterate over the steps that undo would take back, oldest first."""
    yield from layer._undo_history


def redo_steps(layer: Labels) -> Iterator[Step]:
    """Iterate over the steps that redo would repeat, in the order in which they were undone."""
    yield from layer._redo_history


def step_id(step: Step) -> int:
    """Return a number that identifies a step; undo and redo only reverse its atoms."""
    return min(id(atom) for atom in step)


def add_empty_step(layer: Labels) -> None:
    """Add a step that touches no pixel, so that undo reaches what changed beside the pixels."""
    nothing = np.zeros(0, np.intp)
    layer._save_history(((nothing,) * layer.ndim, nothing.astype(layer.dtype), 0))


def change_of(step: Step) -> PixelChange:
    """Return what `step` changes."""
    gain: Counter[int] = Counter()
    parts = []
    for atom in step:
        old, new = np.asarray(_old(atom)), _new(atom)
        if old.size:
            gain.subtract(_count(old))
            gain.update(_count(np.broadcast_to(new, old.shape)))
            parts.append(_part(atom))
    gain.pop(0, None)
    return PixelChange(gain, _around(parts) if parts else None)


def pixels(layer: Labels, step: Step) -> list[tuple[Part, Any, Any]]:
    """Return the pixels of a layer that a step of its history, just done, has changed.

    Returns
    -------
    list of tuple
        For each plane that was touched its part (leading axes of length 1), and the labels
        ``(h, w)`` in it before and after.
    """
    around = change_of(step).part
    if around is None:
        return []
    after = np.asarray(layer.data[around]).copy()
    before = after.copy()
    for atom in reversed(step):
        _write_old(before, atom, [side.start for side in around])
    found = []
    for place in np.ndindex(after.shape[:-2]):
        if (before[place] != after[place]).any():
            lead = [
                slice(s.start + at, s.start + at + 1) for s, at in zip(around, place, strict=False)
            ]
            found.append(((*lead, *around[-2:]), before[place], after[place]))
    return found


def _write_old(values: Any, atom: Atom, origin: list[int]) -> None:
    """Write what an atom has overwritten into `values`, whose first pixel is `origin`."""
    old = _old(atom)
    if not np.size(old):
        return
    if not _is_masked(atom):
        inside = tuple(axis - start for axis, start in zip(_indices(atom), origin, strict=True))
        values[inside] = np.asarray(old).reshape(-1)
        return
    part = tuple(
        slice(side.start - start, side.stop - start)
        for side, start in zip(atom.slice_key, origin, strict=True)
    )
    if atom.mask is None:
        values[part] = old
    else:
        values[part][atom.mask] = old


def is_written(layer: Labels, step: Step) -> bool:
    """Return whether the pixels hold what `step` writes.

    napari announces some steps before it writes them. A step of several atoms was collected
    while they were written.
    """
    if len(step) != 1 or not np.size(_old(step[0])):
        return True
    place = tuple(axis[:1] for axis in _first(step[0]))
    value = np.asarray(layer.data[place]).reshape(-1)[0]
    return bool(value == np.asarray(_new(step[0])).reshape(-1)[0])


def _is_masked(atom: Atom) -> bool:
    return hasattr(atom, "slice_key")


def _old(atom: Atom) -> Any:
    return atom.old_values if _is_masked(atom) else atom[1]


def _new(atom: Atom) -> Any:
    return atom.new_value if _is_masked(atom) else atom[2]


def _part(atom: Atom) -> Part:
    if _is_masked(atom):
        return tuple(atom.slice_key)
    return tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in _indices(atom))


def _first(atom: Atom) -> tuple[Any, ...]:
    """Return the indices of the first pixel that an atom changes."""
    if not _is_masked(atom):
        return _indices(atom)
    corner = [side.start for side in atom.slice_key]
    inside = [0] * len(corner) if atom.mask is None else np.argwhere(atom.mask)[0]
    return tuple(np.array([at + start]) for at, start in zip(inside, corner, strict=True))


def _indices(atom: Atom) -> tuple[Any, ...]:
    return tuple(np.asarray(axis).reshape(-1) for axis in atom[0])


def _count(values: Any) -> dict[int, int]:
    labels, counts = np.unique(values, return_counts=True)
    return dict(zip(labels.tolist(), counts.tolist(), strict=True))


def _around(parts: Iterable[Part]) -> Part:
    return tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*parts, strict=True)
    )
