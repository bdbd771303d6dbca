"""Random corrections of a label layer, the same for one seed, without and with a journal."""

from __future__ import annotations

import numpy as np

from napari_wbc_nca.project.journal import Correction, RegionChange

CLASSES = ("neutrophil", "eosinophil", "blast")


class Script:
    """A layer of random cells, and random edits, undos and redos of it.

    It keeps whole states for undo, which the journal does not: the one checks the other.
    """

    def __init__(self, seed: int, shape: tuple[int, ...]) -> None:
        self.random = np.random.default_rng(seed)
        self.labels = np.zeros(shape, np.uint32)
        for label in range(1, 6):
            self.labels[self._box(6)] = label
        self.rows = {n: {"class": CLASSES[0], "area_px": 1.5 * n} for n in range(1, 6)}
        self.done, self.undone, self.transactions = [], [], []

    def step(self, journal=None) -> None:
        """Undo, redo or edit at random, here and in `journal`."""
        action = self.random.choice(["edit", "edit", "edit", "undo", "redo"])
        if action == "edit":
            self._edit(journal)
        else:
            source, target = (
                (self.done, self.undone) if action == "undo" else (self.undone, self.done)
            )
            if not source:
                return
            target.append((self.labels.copy(), dict(self.rows)))
            self.labels, self.rows = source.pop()
            if journal is not None:
                getattr(journal, action)()
        self.transactions.append(action)

    def _edit(self, journal) -> None:
        self.done.append((self.labels.copy(), dict(self.rows)))
        self.undone.clear()
        regions, rows = [], {}
        for _ in range(self.random.integers(0, 3)):
            where = self._box(9)
            before = self.labels[where].copy()
            after = np.where(
                self.random.random(before.shape) < 0.7, self.random.integers(0, 9), before
            )
            self.labels[where] = after
            origin = (where[-2].start, where[-1].start)
            regions.append(RegionChange(where[:-2], origin, before, self.labels[where].copy()))
        for label in self.random.integers(1, 9, self.random.integers(0, 3)).tolist():
            if label in rows:
                continue
            row = {"class": str(self.random.choice(CLASSES)), "area_px": float(label)}
            after = None if self.random.random() < 0.3 else row
            rows[label] = (self.rows.get(label), after)
            if after is None:
                self.rows.pop(label, None)
            else:
                self.rows[label] = after
        if journal is not None:
            journal.record(Correction("random", tuple(regions), rows))

    def _box(self, side: int) -> tuple:
        lead = tuple(int(self.random.integers(n)) for n in self.labels.shape[:-2])
        spans = []
        for size in self.labels.shape[-2:]:
            first = int(self.random.integers(0, size - side))
            spans.append(slice(first, first + int(self.random.integers(1, side))))
        return (*lead, *spans)
