"""Which projection gives the better masks, by masks that were not learnt from."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_wbc_nca.cell_types import NONE
from napari_wbc_nca.datasets.masks import read_mask_arrays
from napari_wbc_nca.datasets.samples import read_rgb
from napari_wbc_nca.methods.nca.params import NcaParams
from napari_wbc_nca.methods.nca.predict import predict
from napari_wbc_nca.ops.metrics import label_iou
from napari_wbc_nca.progress import Progress, map_progress
from napari_wbc_nca.types import Checkpoint, Device, Image

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_wbc_nca.datasets.samples import Sample

CANDIDATES = ("grown", "centre")
"""Projections that look at the readout, which masks teach; the first where none is better."""


def best_projection(
    checkpoint: Checkpoint, held: Sequence[Sample], parent: Checkpoint | None, device: Device
) -> Generator[Progress, None, dict[str, Any]]:
    """Measure the projections of a trained model on samples that were held out.

    Parameters
    ----------
    checkpoint
        The trained model.
    held
        Samples it did not learn from; those without masks are left out.
    parent
        Model it started from, measured by its own projection for comparison.
    device
        Where the networks run.

    Returns
    -------
    dict
        ``projection``: the one to use; ``cells``: how many were measured; ``cell_iou``: mean IoU
        by projection, and of the ``parent``. Without any mask, the first candidate and no cells.
    """
    drawn = [sample for sample in held if sample.masks is not None and _labels(sample)]
    runs = [(name, checkpoint, name) for name in CANDIDATES]
    if parent is not None:
        runs.append(("parent", parent, "model"))
    scores: dict[str, list[float]] = {name: [] for name, _, _ in runs}
    for number, sample in enumerate(drawn):
        for name, model, projection in runs:
            params = NcaParams(locate="points", projection=projection, device=device)  # type: ignore[arg-type]
            scores[name] += yield from _ious(model, sample, params, number, len(drawn))
    means = {name: float(np.mean(values)) for name, values in scores.items() if values}
    found = max(CANDIDATES, key=lambda name: means.get(name, 0.0))
    return {"projection": found, "cells": len(scores[found]), "cell_iou": means}


def _labels(sample: Sample) -> list[int]:
    """Labels of the sample's white blood cells."""
    masks = sample.masks
    known = () if masks is None else masks.labels
    return [n for n, name in zip(known, sample.names, strict=True) if name != NONE]


def _ious(
    checkpoint: Checkpoint, sample: Sample, params: NcaParams, number: int, total: int
) -> Generator[Progress, None, list[float]]:
    """IoU of each drawn cell of a sample with what the model makes of its middle."""
    rgb = read_rgb(sample)
    assert sample.masks is not None
    cell = read_mask_arrays(sample.masks, rgb.shape).cell
    true = np.where(np.isin(cell, _labels(sample)), cell, 0)
    points = _middles(true)
    steps = predict(Image(rgb, sample.path.stem), checkpoint, params, points)
    progress = Progress(number, total, "Comparing projections")
    found = yield from map_progress(steps, lambda _: progress)
    shared = label_iou(true, np.asarray(found.labels["cell"]))
    return [float(row.max(initial=0.0)) for row in shared]


def _middles(labels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """``(N, 2)`` centroids of the labels."""
    _, dense = np.unique(labels[labels > 0], return_inverse=True)
    places = np.argwhere(labels > 0)
    count = np.bincount(dense)
    return np.stack([np.bincount(dense, axis) / count for axis in places.T], 1)
