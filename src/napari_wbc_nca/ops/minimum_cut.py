"""Graph cut of a cell: saliency of pixels, costs of labels as in WSISPDR, minimum cut."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from ortools.graph.python.max_flow import SimpleMaxFlow

from napari_wbc_nca.ops.response import otsu_threshold
from napari_wbc_nca.ops.stain import STAINED_DENSITY

Mask = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float64]
SaliencyName = Literal["stain", "inverse", "generic"]

SURE = 1e6  # cost of giving a seed the other label
_UNITS = 100_000  # integers of the flow per unit of cost
_EVEN, _BIAS = 0.5, 1e-4  # costs of unseeded pixels in the published code: 0.4999 and 0.5001
_SMOOTH, _FALL = 20.0, 10.0  # 20 exp(-10 I), of the published code
_MIN_SPREAD = 1e-3  # of neighbouring differences
_MIN_LEVEL = 0.02  # density below which a cell cannot be distinguished from the background


@dataclass(frozen=True)
class Saliency:
    r"""Saliency of cells, fitted to a field.

    .. math:: s = 1 - I / I_{max} \quad\text{or}\quad s = \frac{d}{d + d_0}

    with the distance :math:`d` from the background. By ``stain``, cells are darker than the empty
    background; by ``inverse`` dark, as in WSISPDR for phase contrast; by ``generic`` brighter or
    darker than the background.
    """

    name: SaliencyName
    level: float  # density d_0, as likely a cell's as the background's; brightest of ``inverse``

    def __call__(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Compute the saliency 0–1 of ``(h, w, 3)`` density, for ``inverse`` brightness."""
        if self.name == "inverse":
            return np.asarray(1 - np.clip(values.mean(-1) / self.level, 0, 1), np.float32)
        away = _distance(self.name, values)
        return np.asarray(away / (away + self.level), np.float32)


def fit_saliency(name: SaliencyName, sample: npt.NDArray[Any]) -> Saliency:
    """Fit a saliency to a sample ``(h, w, 3)`` of a field: density, for ``inverse`` brightness.

    Raises ValueError for an empty sample, or an unknown name.
    """
    if sample.size == 0:
        raise ValueError("the sample is empty; a saliency is fitted to the pixels of a field")
    if name not in get_args(SaliencyName):
        raise ValueError(f"unknown saliency {name!r}; known are stain, inverse, generic")
    if name == "inverse":
        return Saliency(name, max(float(sample.mean(-1).max()), 1e-6))
    # Cut off where dark: nuclei would raise the threshold above pale cells.
    away = np.clip(_distance(name, sample), 0, STAINED_DENSITY)
    return Saliency(name, max(float(otsu_threshold(away)), _MIN_LEVEL))


def _distance(name: SaliencyName, density: npt.NDArray[Any]) -> Float:
    """Compute the distance of each pixel's density from that of the background, which is 0."""
    values = np.asarray(density, np.float64)
    if name == "stain":
        return np.asarray(np.clip(values.sum(-1), 0, None))
    return np.asarray(np.sqrt((values**2).sum(-1)))


@dataclass(frozen=True, eq=False)
class Costs:
    """Costs of labelling an ``(h, w)`` grid, none of them negative."""

    foreground: npt.NDArray[Any]  # (h, w), of either label
    background: npt.NDArray[Any]
    down: npt.NDArray[Any]  # (h - 1, w), of labels that differ from those of the pixels below
    across: npt.NDArray[Any]  # (h, w - 1), of those that differ from the pixels to the right


def minimum_cut(costs: Costs) -> Mask:
    r"""Find the ``(h, w)`` foreground of the labelling of least cost, by the maximum flow.

    .. math:: E(L) = \sum_p R_p(L_p) + \sum_{p, q \text{ neighbours}} B_{pq}\, [L_p \neq L_q]

    (Boykov and Jolly, *Interactive Graph Cuts*, ICCV 2001). Costs are rounded to 1e-5; of several
    cheapest labellings the one of least foreground is taken.

    Examples
    --------
    >>> one, none = np.ones((1, 3)), np.zeros((1, 3))
    >>> costs = Costs(np.array([[0, 1, 9]]), np.array([[9, 2, 0]]), none[:0], one[:, 1:])
    >>> minimum_cut(costs).tolist()
    [[True, True, False]]
    """
    shape = costs.foreground.shape
    # Only the difference of a pixel's two costs matters: one arc, from the source or to the sink.
    surplus = _integers(costs.background - costs.foreground)
    own, other = np.flatnonzero(surplus > 0), np.flatnonzero(surplus < 0)
    if not own.size or not other.size:
        return np.full(shape, own.size > 0)
    first, second = _neighbours(shape)
    source, sink = surplus.size, surplus.size + 1
    down, across = _integers(costs.down), _integers(costs.across)
    tails = np.concatenate((np.full(own.size, source), other, first, second))
    heads = np.concatenate((own, np.full(other.size, sink), second, first))
    capacities = np.concatenate((surplus[own], -surplus[other], down, across, down, across))
    flow = SimpleMaxFlow()
    flow.add_arcs_with_capacity(tails.astype(np.int32), heads.astype(np.int32), capacities)
    if flow.solve(source, sink) != flow.OPTIMAL:
        raise RuntimeError("the minimum cut was not found: a cost is negative or too large")
    mask = np.zeros(sink + 1, bool)
    mask[np.asarray(flow.get_source_side_min_cut())] = True
    return mask[:source].reshape(shape)


def code_costs(brightness: npt.NDArray[Any], own: Mask, other: Mask) -> Costs:
    """Compute costs as in the published code of WSISPDR, of ``(h, w)`` brightness in 0–1.

    Unseeded pixels cost nearly the same either way; the border lies where the image is bright,
    as around cells in phase contrast. Seeds are those of :func:`paper_costs`.
    """
    neighbour = _SMOOTH * np.exp(-_FALL * np.asarray(brightness, np.float64))
    even = np.full(own.shape, _EVEN)
    return _seeded(even + _BIAS, even - _BIAS, neighbour[:-1], neighbour[:, :-1], own, other)


def paper_costs(
    saliency: npt.NDArray[Any],
    own: Mask,
    other: Mask,
    contrast: npt.NDArray[Any] | None = None,
    weight: float = 2.0,
) -> Costs:
    r"""Compute costs as in the paper of WSISPDR: saliency of pixels, contrast of neighbours.

    .. math:: R_p = (1 - s_p,\; s_p), \qquad
        B_{pq} = \lambda \exp\left(-\frac{|c_p - c_q|^2}{2 \beta^2}\right)

    with :math:`\beta^2` the mean of :math:`|c_p - c_q|^2` over all neighbours, :math:`\lambda` the
    `weight`, and :math:`s` the ``(h, w)`` `saliency` in 0–1. The `contrast`, ``(h, w)`` or
    ``(h, w, C)``, holds values c whose edges are borders; the saliency by default. `own` and
    `other` are ``(h, w)`` seeds of the cell and of other cells; where both, the others'.
    """
    edges = np.asarray(saliency if contrast is None else contrast, np.float64)
    edges = edges.reshape(*own.shape, -1)
    down, across = ((np.diff(edges, axis=axis) ** 2).sum(-1) for axis in (0, 1))
    spread = max((down.sum() + across.sum()) / max(down.size + across.size, 1), _MIN_SPREAD**2)
    down, across = (weight * np.exp(-square / (2 * spread)) for square in (down, across))
    values = np.asarray(saliency, np.float64)
    return _seeded(1 - values, values, down, across, own, other)


def _seeded(
    foreground: Float, background: Float, down: Float, across: Float, own: Mask, other: Mask
) -> Costs:
    """Fix the labels of seeds."""
    foreground = np.where(other, SURE, np.where(own, 0.0, foreground))
    background = np.where(other, 0.0, np.where(own, SURE, background))
    return Costs(foreground, background, down, across)


@lru_cache(maxsize=64)
def _neighbours(shape: tuple[int, int]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return flat indices of pixels and those below, and of pixels and those to the right."""
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    first = np.concatenate((index[:-1], index[:, :-1]), axis=None)
    return first, np.concatenate((index[1:], index[:, 1:]), axis=None)


def _integers(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.rint(np.asarray(values, np.float64) * _UNITS).astype(np.int64).ravel()
