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
    """Pixels that a step changes.

    Attributes
    ----------
    gain
        Pixels that each label touched gains, less those it loses.
    part
        Box around all; None where there is none.
    planes
        Of each plane touched its part, leading axes of length 1, and its labels ``(h, w)`` before
        and after.
    """

    gain: Counter[int]
    part: Part | None
    planes: tuple[tuple[Part, Any, Any], ...]


def undo_steps(layer: Labels) -> Iterator[Step]:
    """Iterate over the steps that undo would take back, oldest first."""
    yield from layer._undo_history


def redo_steps(layer: Labels) -> Iterator[Step]:
    """Iterate over the steps that redo would repeat, in the order in which they were undone."""
    yield from layer._redo_history


def step_id(step: Step) -> int:
    """Return a number that identifies a step; undo and redo only reverse its atoms."""
    return min(id(step[0]), id(step[-1]))


def add_empty_step(layer: Labels) -> None:
    """Add a step that touches no pixel, so that undo reaches what changed beside the pixels."""
    nothing = np.zeros(0, np.intp)
    layer._save_history(((nothing,) * layer.ndim, nothing.astype(layer.dtype), 0))


def state_of(layer: Labels) -> tuple[int, ...]:
    """Return numbers that are others after each edit, undo or redo."""
    found = []
    for steps in (layer._undo_history, layer._redo_history):
        found += [len(steps), step_id(steps[-1]) if steps else 0]
    return tuple(found)


def change_of(layer: Labels, step: Step) -> PixelChange:
    """Return what a step of a layer's history, just done, has changed."""
    gain: Counter[int] = Counter()
    box = _box(step)
    if box is None:
        return PixelChange(gain, None, ())
    after = np.asarray(layer.data[box]).copy()
    before, corner = after.copy(), [side.start for side in box]
    _write_all_old(before, step, corner)
    found = []
    for place in np.ndindex(after.shape[:-2]):
        changed = before[place] != after[place]
        if changed.any():
            start = [at + first for at, first in zip(place, corner, strict=False)]
            part = (*(slice(at, at + 1) for at in start), *box[-2:])
            found.append((part, before[place], after[place]))
            gain.subtract(_count(before[place][changed]))
            gain.update(_count(after[place][changed]))
    gain.pop(0, None)
    return PixelChange(gain, box, tuple(found))


def _box(step: Step) -> Part | None:
    """Return the box around all pixels of a step; None where it touches none."""
    parts = [tuple(atom.slice_key) for atom in step if _is_masked(atom) and np.size(_old(atom))]
    lists = [_indices(atom) for atom in step if not _is_masked(atom) and np.size(_old(atom))]
    if lists:
        axes = [np.concatenate(axis) for axis in zip(*lists, strict=True)]
        parts.append(tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in axes))
    return around(parts) if parts else None


def _write_all_old(values: Any, step: Step, corner: list[int]) -> None:
    """Write what a step has overwritten into `values`, whose first pixel is `corner`."""
    backwards = [atom for atom in reversed(step) if np.size(_old(atom))]
    if any(map(_is_masked, backwards)):
        for atom in backwards:
            _write_old(values, atom, corner)
        return
    # At once, since a stroke has dozens of parts: of a pixel in several, the oldest comes last.
    lists = (_indices(atom) for atom in backwards)
    axes = [np.concatenate(axis) for axis in zip(*lists, strict=True)]
    inside = tuple(axis - start for axis, start in zip(axes, corner, strict=True))
    values[inside] = np.concatenate([np.asarray(_old(atom)).reshape(-1) for atom in backwards])


def _write_old(values: Any, atom: Atom, origin: list[int]) -> None:
    """Write what an atom has overwritten into `values`, whose first pixel is `origin`."""
    old = _old(atom)
    if not np.size(old):
        return
    if not _is_masked(atom):
        inside = tuple(axis - start for axis, start in zip(_indices(atom), origin, strict=True))
        values[inside] = np.asarray(old).reshape(-1)
        return
    pairs = zip(atom.slice_key, origin, strict=True)
    part = tuple(slice(side.start - start, side.stop - start) for side, start in pairs)
    values[part][... if atom.mask is None else atom.mask] = old


def is_written(layer: Labels, step: Step) -> bool:
    """Return whether the pixels hold what `step` writes.

    napari announces some steps before it writes them, but none of several atoms.
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


def around(parts: Iterable[Part]) -> Part:
    """Return the box around all `parts`."""
    return tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*parts, strict=True)
    )
