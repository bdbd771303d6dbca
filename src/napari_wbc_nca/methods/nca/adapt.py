"""Adaptation of the types of a model to cells that a person corrected or confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.cell_types import NONE, TYPES, canonical, five_types, group
from napari_wbc_nca.methods.nca.classifier import average_types
from napari_wbc_nca.ops.readout import Head, class_probabilities, fit_head
from napari_wbc_nca.types import Checkpoint

_STRENGTH = 0.03  # of the prior; chosen on slides of `typed`, a laboratory that trained the model
_FINDER_CELLS = 60.0  # corrected cells that halve the share of the finder's types
_NEW_BIAS = 0.0  # prior of a class that the model never knew
_STALE = ("metrics", "confusion", "validation", "best_epoch")
"""Entries of a card that describe the weights before."""


@dataclass(frozen=True, eq=False)
class TypeExamples:
    """Cells of known types, by their features.

    Attributes
    ----------
    features
        ``(N, P, F)``, of P passes of each cell.
    names
        Class of each cell, as the person calls it.
    groups
        What may not be split in cross-validation, of each cell: its image.
    finder
        ``(N, 5)`` probabilities that the finder of the cells gives the five types, where the model
        averages its own with them; ``(N, 0)`` else.
    """

    features: npt.NDArray[np.float32]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    finder: npt.NDArray[np.float64]

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.names)

    def subset(self, chosen: npt.NDArray[Any]) -> TypeExamples:
        """Return the examples whose numbers or ``(N,)`` mask is `chosen`."""
        numbers = np.arange(len(self))[chosen].tolist()
        return TypeExamples(
            self.features[numbers],
            tuple(self.names[n] for n in numbers),
            tuple(self.groups[n] for n in numbers),
            self.finder[numbers],
        )


def head_name(checkpoint: Checkpoint) -> str:
    """Return the name of the last layer of the classifier among the weights."""
    return "head" if checkpoint.architecture.get("network") == "residual" else "fc3"


def type_head(checkpoint: Checkpoint) -> Head:
    """Return the classifier of a model's features.

    A ValueError says when its types cannot be adapted.
    """
    if not checkpoint.method.startswith("nca") or checkpoint.card.get("activation") == "sigmoid":
        raise ValueError(
            f"the types of {checkpoint.name} cannot be adapted: it has no classifier of cells with "
            "one type each; adapt wbc-smear, wbc-fine or wbc-types, or a model trained from them"
        )
    name = head_name(checkpoint)
    weight, bias = (checkpoint.weights[f"{name}.{part}"] for part in ("weight", "bias"))
    return Head(weight.astype(np.float64), bias.astype(np.float64))


def adapt_types(
    checkpoint: Checkpoint, examples: TypeExamples, others: TypeExamples | None = None
) -> Checkpoint:
    """Fit the classifier to examples, as near to that of `checkpoint` as they allow.

    Classes that it never knew are added, before *none*. All `others`, cells that nobody reviewed,
    are then taken for cells of any class but these: else a class of which alone there are
    examples would take all cells. Without examples the model is returned itself. Raises as
    :func:`type_head`.
    """
    head = type_head(checkpoint)
    if not len(examples):
        return checkpoint
    classes, head = _with_new_classes(checkpoint.classes, head, examples.names)
    features, allowed = examples.features, allowed_classes(examples.names, classes)
    named = np.asarray(allowed.any(0))  # a class without an example keeps its weights
    if len(classes) > len(checkpoint.classes) and others is not None and len(others):
        known = np.isin(classes, checkpoint.classes)
        features = np.concatenate([features, others.features])
        allowed = np.concatenate([allowed, np.tile(known, (len(others), 1))])
    fitted = fit_head(features, allowed, head, _STRENGTH, named)
    name = head_name(checkpoint)
    weights = {
        f"{name}.weight": fitted.weight.astype(np.float32),
        f"{name}.bias": fitted.bias.astype(np.float32),
    }
    architecture = dict(checkpoint.architecture)
    if "classes" in architecture:
        architecture["classes"] = len(classes)
    new = [own for own in classes if own not in checkpoint.classes]
    card = {key: value for key, value in checkpoint.card.items() if key not in _STALE}
    if added := [*card.get("added_classes", ()), *new]:
        card["added_classes"] = added
    if averages(checkpoint):
        share = card.get("finder_share", 0.5)
        card["finder_share"] = share * _FINDER_CELLS / (_FINDER_CELLS + len(examples))
    card["parent"] = {"name": checkpoint.name, "sha256": checkpoint.sha256}
    return replace(
        checkpoint,
        weights={**checkpoint.weights, **weights},
        classes=classes,
        architecture=architecture,
        card=card,
        name=f"{checkpoint.name}-adapted",
        sha256="",
    )


def has_new_class(checkpoint: Checkpoint, names: Sequence[str]) -> bool:
    """Return whether one of the names of cells is no class of a model."""
    return not bool(allowed_classes(names, checkpoint.classes).any(1).all())


def allowed_classes(names: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return the classes ``(N, C)`` that cells of these names may have.

    A class of the model is itself; a type stands for all its classes.

    Examples
    --------
    >>> allowed_classes(["neutrophil"], ("band neutrophil", "segmented neutrophil", "none"))
    array([[ True,  True, False]])
    """
    rows = []
    for name in map(canonical, names):
        same = [own == name for own in classes]
        rows.append(same if any(same) else [group(own) == name for own in classes])
    return np.asarray(rows, bool).reshape(len(names), len(classes))


def averages(checkpoint: Checkpoint) -> bool:
    """Return whether a model averages its types with those of the finder of its cells."""
    return "finder_temperature" in checkpoint.card


def type_probabilities(checkpoint: Checkpoint, cells: TypeExamples) -> npt.NDArray[np.float64]:
    """Compute ``(N, C)`` probabilities of the classes of cells by a model."""
    found = class_probabilities(cells.features, type_head(checkpoint))
    if not averages(checkpoint) or not cells.finder.shape[1]:
        return found
    card = checkpoint.card
    given = (card["finder_temperature"], card.get("finder_share", 0.5))
    pairs = zip(found.tolist(), cells.finder.tolist(), strict=True)
    rows = [
        average_types(
            dict(zip(checkpoint.classes, own, strict=True)),
            dict(zip(TYPES, other, strict=True)),
            *given,
        )
        for own, other in pairs
    ]
    return np.array([list(row.values()) for row in rows]).reshape(found.shape)


def named_probabilities(
    checkpoint: Checkpoint, probabilities: npt.NDArray[Any], five: bool
) -> list[dict[str, float]]:
    """Name the probabilities ``(N, C)`` of cells, of which those of *none* are left out.

    With `five`, fine classes are summed over the five types; classes that a person added stay.
    """
    rows = [dict(zip(checkpoint.classes, row, strict=True)) for row in probabilities.tolist()]
    added = checkpoint.card.get("added_classes", ())
    asked = [five_types(row, added) for row in rows] if five else rows
    return [{name: value for name, value in row.items() if name != NONE} for row in asked]


def _with_new_classes(
    classes: tuple[str, ...], head: Head, names: Sequence[str]
) -> tuple[tuple[str, ...], Head]:
    """Add classes that the examples name and the model lacks."""
    known = allowed_classes(names, classes).sum(1).tolist()
    new = dict.fromkeys(canonical(n) for n, own in zip(names, known, strict=True) if not own)
    if not new:
        return classes, head
    at = classes.index(NONE) if NONE in classes else len(classes)
    rows, biases = np.zeros((len(new), head.weight.shape[1])), np.full(len(new), _NEW_BIAS)
    return (
        (*classes[:at], *new, *classes[at:]),
        Head(np.insert(head.weight, [at] * len(new), rows, 0), np.insert(head.bias, at, biases)),
    )
