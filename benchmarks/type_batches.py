"""Batches of crops for the classifier of types, and the attributes of some of their cells."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_wbc_nca.cell_types import FINE, NONE, WBC

HELD_OUT = {"B-30", "B-57", "E-12", "E-13", "E-14", "L-9", "N-2B"}
"""Slides of `typed` that measure; also in ``splits/typed_heldout.txt``."""
MEASURED = 2000
"""Cells of `pbc` that measure, drawn with seed 7."""
SHARES = {"pbc": 0.5, "typed": 0.3, "fields": 0.2, "smears": 0.35}
"""Share of each set in a batch, before those of the sets that take part are normalised."""
UNKNOWN = 0.8
"""Share of the white cells of `smears`, whose types are unknown, among the cells of `smears`."""
_SAME = {"366": "360", "640": "416"}
"""Widths of pictures of `smears`, of a laboratory whose others are as wide as the second."""
ATTRIBUTES = (
    *("cell_size", "cell_shape", "nucleus_shape", "nuclear_cytoplasmic_ratio", "chromatin_density"),
    *("cytoplasm_vacuole", "cytoplasm_texture", "cytoplasm_colour", "granule_type"),
    *("granule_colour", "granularity"),
)
NAMES = {"neutrophil_segmented": FINE[0], "neutrophil_band": FINE[1], "platelet": NONE}
_SETS = {"neutrophil": FINE[:2], WBC: FINE[:-1]}


@dataclass(frozen=True)
class Batch:
    """Crops ``(B, 128, 128, 3)``, allowed classes ``(B, 11)``, attributes ``(B, 11)`` or -1.

    `unknown` is the number of a cell among those of unknown type, or -1.
    """

    crops: Tensor
    allowed: Tensor
    attributes: Tensor
    unknown: Tensor


class Batches:
    """Draws cells: laboratories by their shares, and in each the classes by theirs."""

    def __init__(self, folder: Path, attributes: Path, sets: tuple[str, ...]) -> None:
        self.rng = np.random.default_rng(0)
        self.crops, self.names, self.cells = {}, {}, {}
        names = (*sets, "smears")
        for name in names:
            kept = np.load(folder / f"{name}.npz")
            self.crops[name] = torch.from_numpy(kept["x"])
            self.names[name] = np.array([NAMES.get(c, c) for c in kept["y"].tolist()])
            used = training_cells(name, kept["g"])
            own = self.names[name][used]
            self.cells[name] = {c: used[own == c] for c in np.unique(own).tolist()}
            if name == "pbc":
                self.known, self.sizes = read_attributes(attributes, kept["g"])
        self.unknown = self.cells["smears"][WBC]
        widths = [kept["g"][cell].split("/")[0] for cell in self.unknown]
        self.laboratories = np.array([_SAME.get(width, width) for width in widths])
        self.shares = np.array([SHARES[name] for name in names])
        self.shares /= self.shares.sum()

    def draw(self, count: int) -> Batch:
        """Draw `count` cells."""
        parts = []
        for name, own in zip(
            self.crops, self.rng.multinomial(count, self.shares).tolist(), strict=True
        ):
            cells = self.cells[name]
            weights = np.array([class_weight(name, c, len(cells[c])) for c in cells])
            chosen = self.rng.choice(list(cells), own, p=weights / weights.sum())
            at = np.array([self.rng.choice(cells[c]) for c in chosen.tolist()], int)
            known = self.known[at] if name == "pbc" else torch.full((own, len(ATTRIBUTES)), -1)
            allowed = torch.tensor([allowed_classes(c) for c in chosen.tolist()])
            unknown = torch.full((own,), -1)
            if name == "smears":
                mine = chosen == WBC
                unknown[torch.from_numpy(mine)] = torch.from_numpy(
                    np.searchsorted(self.unknown, at[mine])
                )
            parts.append((self.crops[name][at], allowed.reshape(own, len(FINE)), known, unknown))
        return Batch(*map(torch.cat, zip(*parts, strict=True)))

    def counts(self) -> dict[str, int]:
        """Count the cells of each set that train."""
        return {name: sum(map(len, own.values())) for name, own in self.cells.items()}


def training_cells(name: str, groups: np.ndarray) -> np.ndarray:
    """Return the cells of a set that may train, by number."""
    if name == "pbc":
        return np.random.default_rng(7).permutation(len(groups))[MEASURED:]
    if name == "typed":
        return np.flatnonzero(~np.isin(groups, list(HELD_OUT)))
    return np.arange(len(groups))


def class_weight(name: str, label: str, count: int) -> float:
    """Weight of a class in its set; of small sets, classes of few cells count less."""
    if name in ("typed", "fields"):
        return min(1.0, count / 20) * (2 if label == "neutrophil" else 1)
    if name == "smears":
        return UNKNOWN if label == WBC else 1 - UNKNOWN
    if label == NONE:
        return 0.5
    return 1.6 if label in ("eosinophil", "basophil", "lymphocyte", "monocyte") else 1.2


def allowed_classes(label: str) -> list[bool]:
    """Return which fine classes a label allows: several where it is coarse."""
    own = _SETS.get(label, (label,))
    return [name in own for name in FINE]


def read_attributes(path: Path, files: np.ndarray) -> tuple[Tensor, list[int]]:
    """Read ``(N, 11)`` attributes of the cells in `files`, -1 where unknown, and their sizes."""
    with path.open(encoding="utf-8") as file:
        rows = {row["img_name"]: row for row in csv.DictReader(file)}
    values = [sorted({row[name] for row in rows.values()}) for name in ATTRIBUTES]
    found = torch.full((len(files), len(ATTRIBUTES)), -1)
    for number, name in enumerate(files.tolist()):
        if row := rows.get(Path(name).name):
            own = zip(values, ATTRIBUTES, strict=True)
            found[number] = torch.tensor([every.index(row[key]) for every, key in own])
    return found, [len(every) for every in values]


def attribute_loss(logits: Tensor, known: Tensor, sizes: list[int]) -> Tensor:
    """Mean cross-entropy over the attributes that any of the cells has."""
    losses = [
        F.cross_entropy(part[target >= 0], target[target >= 0])
        for part, target in zip(logits.split(sizes, 1), known.T, strict=True)
        if (target >= 0).any()
    ]
    return torch.stack(losses).mean() if losses else logits.sum() * 0
