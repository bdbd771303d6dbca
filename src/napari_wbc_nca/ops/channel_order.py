"""Recognition of pictures of stained smears whose red and blue were exchanged when saved.

Programs that keep colours as blue, green, red, and save them without turning them back, are the
usual cause. Background and stain together decide. Nuclei hold azure dyes, which absorb red more
than blue, and so are bluer than the background; swapped, the densest matter is redder than the
background. Lamps are rather yellow than blue. Red cells absorb little red, so that matter that
absorbs much green beside red is nucleus.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_wbc_nca.ops.stain import fit_background

RecognisedOrder = Literal["rgb", "bgr", "uncertain"]
Float = npt.NDArray[np.float64]

PIXELS = 30_000
"""Pixels of a field that :func:`recognise_channel_order` needs at least, as far as there are."""
WEIGHTS = (8.2, 5.2, 7.6, 9.3, 14.3, 1.2)
"""Of the evidence, by a logistic regression; see ``benchmarks/channel_order.py``."""
MARGIN = 1.3
"""Log odds of all evidence that an image must pass before it is turned."""

_STAIN_MARGIN = 0.2  # least log odds of the stain alone
_LIGHT, _NEUTRAL = (
    4,
    0.005,
)  # place of the light's evidence; below it, light may be a swapped lamp's
_DENSE = (0.65, 0.75, 0.85, 0.95)  # of the densest matter, from where on each bin begins
_DENSEST = 0.997  # quantile of the densities that counts as the densest
_STAINED = 0.2  # of the densest, from where on matter is stained
_LEAST = 10  # pixels of a bin
_LAMP = 0.2  # log ratio of red to blue in the background that counts at most: lamps may be blue
_UNLIT = 30  # brightness of the black around a round field of view
_FITTED = 3_000  # pixels that the background is fitted to
_NOISE = 0.03  # density added to a sum, so that faint matter has no hue


def recognise_channel_order(sample: npt.NDArray[Any]) -> RecognisedOrder:
    """Recognise the order of the colours of a stained smear.

    Parameters
    ----------
    sample
        ``(h, w, 3)`` in 0–255, evenly spaced over the field.

    Returns
    -------
    RecognisedOrder
        ``"bgr"`` where light and stain both say that red and blue are exchanged, ``"uncertain"``
        where only their sum says it, ``"rgb"`` elsewhere.
    """
    return order_by_evidence(channel_evidence(sample))


def order_by_evidence(evidence: Float) -> RecognisedOrder:
    """Decide by the ``(6,)`` numbers of :func:`channel_evidence`.

    A blue lamp alone, and red cells so dark that they are the densest matter, look as if red and
    blue were exchanged; where both do not agree, the order stays uncertain.
    """
    weighed = evidence * WEIGHTS
    if weighed.sum() > -MARGIN:
        return "rgb"
    light = evidence[_LIGHT] < _NEUTRAL
    return "bgr" if light and weighed.sum() - weighed[_LIGHT] < -_STAIN_MARGIN else "uncertain"


def channel_evidence(sample: npt.NDArray[Any]) -> Float:
    """Measure what tells red from blue: ``(6,)`` numbers, all of which change sign when swapped.

    Four are the hue of the densest matter, by density: absorbed red less absorbed blue, relative to
    all that is absorbed. One is the background's hue, one how hue changes with the share of green
    over all stained matter.
    """
    rgb = np.asarray(sample, np.float64)
    lit = rgb.max(-1) >= _UNLIT
    if lit.sum() < _LEAST:
        return np.zeros(len(WEIGHTS))
    filled = np.where(lit[..., None], rgb, np.percentile(rgb[lit], 85, axis=0))
    step = max(1, int(np.sqrt(lit.size / _FITTED)))
    background = fit_background(filled[::step, ::step], 1)
    density = np.clip(background(filled, (0, 0), lit.shape)[lit], 0, 2.5).astype(np.float64)
    # Weighed alike for red and blue, so that swapping changes the order of no pixel.
    weighed = density @ (0.5, 1.0, 0.5)
    relative = weighed / (np.quantile(weighed, _DENSEST) + 0.02)
    lamp = float(np.clip(background.coefficients[0] @ (1, 0, -1), -_LAMP, _LAMP))
    return np.array([*_dense_hues(density, relative), lamp, _hue_by_green(density, relative)])


def _dense_hues(density: Float, relative: Float) -> list[float]:
    """Compute the hue of the matter in each bin of density; 0 where there is too little."""
    hues = []
    for low, high in zip(_DENSE, (*_DENSE[1:], np.inf), strict=True):
        own = density[(relative >= low) & (relative < high)]
        difference, whole = (own @ (1, 0, -1)).sum(), own.sum() + _NOISE * len(own)
        hues.append(float(difference / whole) if len(own) >= _LEAST and whole else 0.0)
    return hues


def _hue_by_green(density: Float, relative: Float) -> float:
    """Compute the covariance of hue and share of green in stained matter, in hundredths."""
    stained = relative > _STAINED
    if stained.sum() < _LEAST:
        return 0.0
    own, weights = density[stained], np.minimum(relative[stained], 1)
    whole = own.sum(1) + 0.05
    shares = np.stack([own @ (1, 0, -1) / whole, own[:, 1] / whole])
    return float(np.cov(shares, aweights=weights, ddof=0)[0, 1] * 100)
