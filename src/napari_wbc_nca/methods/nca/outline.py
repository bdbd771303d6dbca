"""Outlines grown from an automaton's response, and their adaptation to corrected cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi
from scipy.optimize import minimize
from scipy.special import expit

from napari_wbc_nca.ops.growth import (
    BORDER_TERMS,
    BUNDLED_BORDER,
    BorderReadout,
    BorderTerms,
    border_terms,
    grow_region,
    grow_to_border,
)
from napari_wbc_nca.ops.metrics import iou
from napari_wbc_nca.ops.response import mask_from_response, otsu_threshold
from napari_wbc_nca.types import Checkpoint

BORDER = "border"
"""Entry of a card with the adapted readout of an outline's border."""

_STRENGTH, _FEW = 2e-4, 20.0  # of the prior, and cells below which it grows by the square
_PIXELS = 1500  # of a cell; neighbours say nearly the same
_SCALES = np.array([1.0] * 3 + [0.25] * 9 + [0.4] * 2)  # of BORDER_TERMS; a cell's own can be 0
_SEED = 0
_JUDGED, _FOLDS = 3, 5  # cells from which on outlines are judged, and folds of more cells
_MOST = 30  # cells that a border is fitted to

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class OutlineExample:
    """Window around a corrected cell, at the pixels where responses become masks.

    Attributes
    ----------
    response
        ``(h, w)`` of the automaton, in 0–1.
    density
        ``(h, w, 3)`` optical density.
    inside
        ``(h, w)``: pixels of the cell.
    other
        ``(h, w)``: pixels of other cells, from which nothing is learnt.
    middle
        Where a run looks for the cell.
    """

    response: npt.NDArray[np.float32]
    density: npt.NDArray[np.float32]
    inside: Mask
    other: Mask
    middle: tuple[float, float]

    @cached_property
    def terms(self) -> BorderTerms | None:
        """Terms of the border, kept: they take most of the time of an outline."""
        return border_terms(self.response, self.density, self.middle)

    def grown(self, border: BorderReadout) -> npt.NDArray[np.float32]:
        """Grow the response as :func:`smoothed_growth`, but faster from the second time on."""
        if self.terms is None:
            return smoothed_growth(self.response, self.density, border, self.middle)
        return _smooth(grow_to_border(self.terms, border))


def border_of(checkpoint: Checkpoint) -> BorderReadout:
    """Return the readout of an outline's border by the card of a model.

    A ValueError says that it is none.
    """
    found = checkpoint.card.get(BORDER)
    if found is None:
        return BUNDLED_BORDER
    weights = np.asarray(found["weights"], np.float64)
    if weights.shape != (len(BORDER_TERMS),) or not np.isfinite(weights).all():
        raise ValueError(
            f"the card of {checkpoint.name} has {weights.size} weights of the border of outlines; "
            f"expected {len(BORDER_TERMS)} numbers: adapt the model again"
        )
    return BorderReadout(weights, float(found["bias"]))


def with_border(finder: Checkpoint, model: Checkpoint) -> Checkpoint:
    """Return the finder of a model's cells with the border of outlines that the model has."""
    border = model.card.get(BORDER)
    return replace(finder, card={**finder.card, BORDER: border}) if border else finder


def smoothed_growth(
    response: npt.NDArray[Any],
    density: npt.NDArray[Any],
    border: BorderReadout,
    middle: tuple[float, float] | None = None,
) -> npt.NDArray[np.float32]:
    """Grow a response ``(h, w)`` to the stained matter around it, with a smooth edge in 0–1."""
    return _smooth(grow_region(response, density, border, middle))


def _smooth(grown: Mask) -> npt.NDArray[np.float32]:
    return np.asarray(ndi.gaussian_filter(grown.astype(np.float32), 1))


def outline(example: OutlineExample, border: BorderReadout) -> Mask:
    """Segment the cell in the middle of the pixels of an example, as a run does."""
    response = example.grown(border)
    own = np.where(example.other, 0, response)
    return mask_from_response(own, otsu_threshold(response), example.middle)


def fit_border(examples: Sequence[OutlineExample]) -> BorderReadout:
    r"""Fit the readout of an outline's border to corrected cells, near the bundled one.

    .. math:: \min_{w, b} H(f w + b)
        + \lambda \Big(1 + \frac{20^2}{n^2}\Big) \big(|s (w - w_0)|^2 + b^2\big)

    with the mean binary cross-entropy H over stained pixels of n cells, their terms f, and fixed
    scales s of the terms. Without cells, or other matter around any of them, it is the bundled one.
    """
    random = np.random.default_rng(_SEED)
    some = random.permutation(len(examples))[:_MOST].tolist()
    found = [_pixels(examples[number], random) for number in sorted(some)]
    known = [pair for pair in found if pair is not None]
    if not known:
        return BUNDLED_BORDER
    terms = np.concatenate([pair[0] for pair in known]) / _SCALES
    inside = np.concatenate([pair[1] for pair in known]).astype(np.float64)
    middle = terms.mean(0)
    middle[:3] = 0  # the bundled terms decide at 0
    standard = terms - middle
    prior = np.zeros(len(BORDER_TERMS) + 1)
    prior[:3] = BUNDLED_BORDER.weights
    strength = _STRENGTH * (1 + (_FEW / len(known)) ** 2)

    def loss(parameters: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        logits = standard @ parameters[:-1] + parameters[-1]
        moved = parameters - prior
        cost = (np.logaddexp(0, logits) - inside * logits).mean() + strength * moved @ moved
        error = (expit(logits) - inside) / len(inside)
        slope = np.append(standard.T @ error, error.sum())
        return float(cost), slope + 2 * strength * moved

    best = minimize(loss, prior, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    return BorderReadout(best[:-1] / _SCALES, float(best[-1] - middle @ best[:-1]))


def _pixels(
    example: OutlineExample, random: np.random.Generator
) -> tuple[npt.NDArray[np.float64], Mask] | None:
    """Draw terms ``(N, K)`` of stained pixels, and whether they are the cell's."""
    terms = example.terms
    if terms is None:
        return None
    known = np.flatnonzero((terms.stained | example.inside) & ~example.other)
    some = random.permutation(known)[:_PIXELS]
    return terms.values.reshape(-1, len(BORDER_TERMS))[some], example.inside.ravel()[some]


def adapt_outlines(checkpoint: Checkpoint, examples: Sequence[OutlineExample]) -> Checkpoint:
    """Adapt the outlines of a model to three or more corrected cells.

    Each is left out once, in five folds where there are more: where their outlines are worse on
    average than those of the model before, and with fewer cells, it is returned itself. At most 30
    cells, drawn at random, take part.
    """
    if len(examples) < _JUDGED:
        return checkpoint
    before, after = judge_outlines(checkpoint, examples)
    if after <= before:
        return checkpoint
    border = fit_border(examples)
    if border is BUNDLED_BORDER:
        return checkpoint
    record = {"weights": border.weights.tolist(), "bias": border.bias}
    figures = {"cells": len(examples), "iou": round(after, 4), "iou_before": round(before, 4)}
    card = {**checkpoint.card, BORDER: record, "adapted_outlines": figures}
    return replace(checkpoint, card=card)


def judge_outlines(
    checkpoint: Checkpoint, examples: Sequence[OutlineExample]
) -> tuple[float, float]:
    """Compute the mean IoU of outlines before, and by fits to cells of the other folds."""
    order = np.random.default_rng(_SEED).permutation(len(examples))[:_MOST].tolist()
    parent, scores = border_of(checkpoint), []
    for fold in (order[start::_FOLDS] for start in range(min(_FOLDS, len(order)))):
        rest = [examples[number] for number in order if number not in fold]
        fitted = fit_border(rest) if rest else parent
        for example in (examples[number] for number in fold):
            scores.append([iou(example.inside, outline(example, b)) for b in (parent, fitted)])
    before, after = np.mean(scores, 0).tolist()
    return before, after
