"""Gate of adapted models: they are compared with their parent on cells that were left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from napari_wbc_nca.cell_types import canonical
from napari_wbc_nca.methods.nca.adapt import (
    TypeExamples,
    adapt_types,
    allowed_classes,
    type_probabilities,
)
from napari_wbc_nca.ops.doubt import scale_by_temperature
from napari_wbc_nca.types import Checkpoint

_FOLDS = 5
_LEAST = 8  # cells from which on a model can be judged
_PERMUTATIONS, _CHANCE = 999, 0.01
_CALIBRATED = 30  # cells from which on the temperature is fitted
_SEED = 0

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Gate:
    """Comparison of an adapted model with its parent on cells that were left out of its fit.

    Attributes
    ----------
    cells
        Number of corrected cells.
    parent, adapted
        Share of cells of the right type, the mean over types.
    chance
        Share of 1,000 random exchanges of the corrections that the adapted model agrees with as
        well as with the corrections themselves; large where they contradict what cells look like.
    temperature
        By which the logits of the adapted model are divided; 0 where too few cells are known.
    judged
        Whether there were cells enough to compare the models.
    keep
        Whether the adapted model is offered as the new default.
    reason
        In words.
    """

    cells: int
    parent: float
    adapted: float
    chance: float
    temperature: float
    judged: bool
    keep: bool
    reason: str

    def record(self) -> dict[str, Any]:
        """Return the figures as a model's card keeps them."""
        figures = {name: round(getattr(self, name), 4) for name in ("parent", "adapted", "chance")}
        return {"cells": self.cells, **figures, "judged": self.judged, "keep": self.keep}


def judge_types(
    parent: Checkpoint, examples: TypeExamples, others: TypeExamples | None = None
) -> Gate:
    """Cross-validate the adaptation of `parent` to `examples` in five folds.

    Folds hold whole images where there are five or more and each type is in two of them, else
    cells. Kept is a model that types the cells that were left out right as often as its parent,
    within one standard error, and agrees with the corrections better than by chance.
    """
    count = len(examples)
    if count < _LEAST or len(set(examples.names)) < 2:
        why = f"too few corrected cells to judge by: {count}; correct {_LEAST} of two types or more"
        return Gate(count, 0.0, 0.0, 1.0, 0.0, False, False, why)
    before, after = np.zeros((count, count), bool), np.zeros((count, count), bool)
    likelihoods = []
    for held in _folds(examples):
        rest = ~held
        model = adapt_types(parent, examples.subset(rest), others)
        for found, used in ((before, parent), (after, model)):
            found[held] = _agreement(used, examples, held)
        likelihoods.append(_class_scores(model, examples, held))
    names = np.array([canonical(name) for name in examples.names])
    own, other = (_balanced(table, names) for table in (before, after))
    chance = _by_chance(after, names)
    change = after.diagonal().astype(int) - before.diagonal()
    worse = bool(change.sum() < -np.sqrt(np.abs(change).sum()))
    keep = not worse and chance <= _CHANCE
    temperature = _temperature(likelihoods) if count >= _CALIBRATED else 0.0
    return Gate(
        count, own, other, chance, temperature, True, keep, _reason(own, other, chance, worse)
    )


def _reason(own: float, other: float, chance: float, worse: bool) -> str:
    share = f"{other:.2f} of the cells that were left out are typed right, {own:.2f} before"
    if chance > _CHANCE:
        return f"{share}; that may be chance: the corrections contradict each other"
    return f"{share}; the model is worse than the one before" if worse else share


def _folds(examples: TypeExamples) -> Iterator[Bool]:
    """Divide the cells into folds, in which the types are spread evenly; yields ``(N,)`` masks."""
    random = np.random.default_rng(_SEED)
    groups, names = np.array(examples.groups), np.array(examples.names)
    spread = all(len(set(groups[names == name].tolist())) > 1 for name in set(examples.names))
    if len(np.unique(groups)) < _FOLDS or not spread:
        groups = np.arange(len(names)).astype(str)
    order = random.permutation(np.unique(groups)).tolist()
    first = {group: str(names[groups == group][0]) for group in order}
    numbers = {group: n % _FOLDS for n, group in enumerate(sorted(order, key=first.__getitem__))}
    folds = np.array([numbers[group] for group in groups.tolist()])
    for number in range(_FOLDS):
        if (folds == number).any():
            yield folds == number


def _agreement(model: Checkpoint, examples: TypeExamples, held: Bool) -> Bool:
    """Compute whether the type found of each held cell is that of each example: ``(H, N)``."""
    found = type_probabilities(model, examples.subset(held))
    allowed = allowed_classes(examples.names, model.classes)
    known, sums = allowed.any(1), found @ allowed.T
    best = np.where(known, sums, -1.0)
    return np.asarray((best >= best.max(1, keepdims=True)) & known)


def _class_scores(
    model: Checkpoint, examples: TypeExamples, held: Bool
) -> tuple[npt.NDArray[np.float64], Bool]:
    """Compute probabilities and allowed classes of held cells."""
    part = examples.subset(held)
    return type_probabilities(model, part), allowed_classes(part.names, model.classes)


def _balanced(agreement: Bool, names: npt.NDArray[Any]) -> float:
    """Mean over types of the share of right cells, the diagonal of ``(N, N)`` agreements."""
    right = agreement.diagonal()
    return float(np.mean([right[names == name].mean() for name in np.unique(names)]))


def _by_chance(agreement: Bool, names: npt.NDArray[Any]) -> float:
    """Share of exchanges of the corrections with which the found types agree as well."""
    random, rows = np.random.default_rng(_SEED), np.arange(len(names))
    own = agreement.diagonal().mean()
    as_good = 0
    for _ in range(_PERMUTATIONS):
        as_good += bool(agreement[rows, random.permutation(rows)].mean() >= own)
    return (as_good + 1) / (_PERMUTATIONS + 1)


def _temperature(scores: list[tuple[npt.NDArray[np.float64], Bool]]) -> float:
    """Find the temperature of the least cross-entropy (Guo et al., ICML 2017), 1 or more."""

    def loss(log: float) -> float:
        total = 0.0
        for found, allowed in scores:
            share = (scale_by_temperature(found, float(np.exp(log))) * allowed).sum(1)
            total -= float(np.log(share.clip(1e-12)).sum())
        return total

    return float(np.exp(minimize_scalar(loss, bounds=(0, 2), method="bounded").x))
