"""Plot scores, confusion matrices and outlined cells, without a display."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from napari_wbc_nca.evaluation.ground_truth import GroundTruth
    from napari_wbc_nca.types import Segmentation

Mask = npt.NDArray[np.bool_]

MARGIN = 12
"""Pixels shown around a cell."""
TRUE, PREDICTED, OTHER = "black", "#39ff14", "#00b7ff"
"""Outlines that stand out from pink, violet and yellow stains."""


@dataclass(frozen=True, eq=False)
class CellCrop:
    """One measured cell with its surroundings, and its IoU with the ground truth as `score`.

    `rgb` is ``(h, w, 3)`` uint8; `true`, ``(h, w)`` bool, the cell's mask, or a filled box where
    only a box is known; `predicted`, ``(h, w)`` bool, all predicted cells. `cell` is the number of
    the true cell in `image`, `corner` row and column of the crop's first pixel.
    """

    title: str
    score: float
    rgb: npt.NDArray[np.uint8]
    true: Mask
    predicted: Mask
    image: str = ""
    cell: int = 0
    corner: tuple[int, int] = (0, 0)


def lowest_scores(crops: Sequence[CellCrop], count: int) -> list[CellCrop]:
    """Return the `count` crops of lowest score, the lowest first."""
    return nsmallest(count, crops, key=lambda crop: crop.score)


def crop_cells(
    name: str,
    rgb: npt.NDArray[np.uint8],
    truth: GroundTruth,
    prediction: Segmentation,
    scores: pd.DataFrame,
) -> list[CellCrop]:
    """Crop the true cells with a mask or box out of the image called `name`."""
    if truth.cell is None and truth.boxes is None:
        return []
    rows = scores[scores["cell"] > 0].to_dict("records")
    return [
        _crop(name, rgb, _true_mask(truth, row["cell"], rgb.shape[:2]), prediction, row)
        for row in rows
    ]


def _true_mask(truth: GroundTruth, number: int, shape: Sequence[int]) -> Mask:
    if truth.cell is not None:
        return np.asarray(truth.cell == number)
    mask = np.zeros(tuple(shape), bool)
    if truth.boxes is not None:
        y0, x0, y1, x1 = np.rint(truth.boxes[number - 1]).astype(int)
        # A point has no extent, but must be visible.
        mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    return mask


def _crop(
    name: str,
    rgb: npt.NDArray[np.uint8],
    true: Mask,
    prediction: Segmentation,
    row: Mapping[Any, Any],
) -> CellCrop:
    labels = np.asarray(prediction.labels["cell"])
    indices = np.nonzero(true | ((labels == row["label"]) & (labels > 0)))
    part = tuple(
        slice(max(0, int(axis.min()) - MARGIN), int(axis.max()) + 1 + MARGIN) for axis in indices
    )
    score = row["box_iou"] if np.isnan(row["cell_iou"]) else row["cell_iou"]
    short = name if len(name) <= 20 else f"{name[:19]}…"
    title = f"{short}  {score:.2f}\n{row['true']} → {row['predicted']}"
    corner = (part[0].start, part[1].start)
    pixels = (rgb[part], true[part], labels[part] > 0)
    return CellCrop(title, score, *pixels, image=name, cell=int(row["cell"]), corner=corner)


def plot_scores(cells: pd.DataFrame) -> Figure:
    """Plot the share of true cells whose IoU is at least x, a curve each projection and score."""
    figure = Figure(figsize=(5, 4))
    axes = figure.add_subplot(
        xlabel="IoU", ylabel="Share of cells with at least this IoU", xlim=(0, 1), ylim=(0, 1.02)
    )
    for projection, part in cells[cells["cell"] > 0].groupby("projection", sort=False):
        for name in ("cell_iou", "nucleus_iou", "box_iou"):
            values = np.sort(part[name].dropna())
            if values.size:
                share = 1 - np.arange(values.size) / values.size
                label = f"{name.removesuffix('_iou')}, {projection}: mean {values.mean():.3f}"
                axes.step([0, *values], [1, *share], where="pre", label=label)
    if axes.lines:
        axes.legend(loc="lower left", fontsize="small")
    return figure


def plot_confusion(counts: pd.DataFrame) -> Figure:
    """Plot counts as numbers and each row's share as its shade; true classes in rows."""
    share = counts.div(counts.sum(axis="columns").clip(lower=1), axis="index")
    figure = _heatmap(share, counts.map(str).to_numpy())
    figure.axes[0].set(xlabel="predicted", ylabel="true")
    return figure


def plot_matrix(mean: pd.DataFrame, sd: pd.DataFrame) -> Figure:
    """Plot mean and standard deviation of each pair of training set (row) and test set."""
    labels = mean.map("{:.3f}".format) + "\n± " + sd.map("{:.3f}".format)
    figure = _heatmap(mean, labels.to_numpy())
    figure.axes[0].set(xlabel="tested on", ylabel="trained on")
    return figure


def _heatmap(values: pd.DataFrame, labels: npt.NDArray[np.object_]) -> Figure:
    """Plot a table of `values`, 0–1, as shades with `labels` written on them."""
    shades = values.to_numpy(float)
    rows, columns = shades.shape
    figure = Figure(figsize=(1.5 + 0.9 * columns, 1 + 0.6 * rows))
    axes = figure.add_subplot()
    axes.imshow(shades, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    axes.set_xticks(range(columns), values.columns, rotation=45, ha="right")
    axes.set_yticks(range(rows), values.index)
    for (row, column), label in np.ndenumerate(labels):
        colour = "white" if shades[row, column] > 0.6 else "black"
        axes.text(column, row, label, ha="center", va="center", color=colour)
    return figure


def plot_cells(crops: Sequence[CellCrop]) -> Figure:
    """Plot cells with the outline of the ground truth (black) and the prediction (green)."""
    return _plot_outlines([((crop, PREDICTED),) for crop in crops], [c.title for c in crops])


def plot_disagreements(pairs: Sequence[tuple[CellCrop, CellCrop]]) -> Figure:
    """Plot cells with outlines of the ground truth (black), model 1 (green) and 2 (blue)."""
    titles = [f"{first.title}\n{second.score:.2f} the other" for first, second in pairs]
    cells = [((first, PREDICTED), (second, OTHER)) for first, second in pairs]
    return _plot_outlines(cells, titles)


def _plot_outlines(
    cells: Sequence[tuple[tuple[CellCrop, str], ...]], titles: Sequence[str], columns: int = 4
) -> Figure:
    """Plot the crops of each cell over one another, with a colour for their predicted cells."""
    rows = max(1, -(-len(cells) // columns))
    figure = Figure(figsize=(2.4 * columns, 2.7 * rows), layout="constrained")
    for position, (crops, title) in enumerate(zip(cells, titles, strict=True), start=1):
        axes = figure.add_subplot(rows, columns, position)
        axes.set_axis_off()
        axes.set_title(title, fontsize="x-small")
        for crop, colour in crops:
            y, x = crop.corner
            height, width = crop.true.shape
            axes.imshow(crop.rgb, extent=(x - 0.5, x + width - 0.5, y + height - 0.5, y - 0.5))
            _outline(axes, crop.predicted, colour, crop.corner)
        _outline(axes, crops[0][0].true, TRUE, crops[0][0].corner)
        axes.autoscale()
    return figure


def _outline(axes: Axes, mask: Mask, colour: str, corner: tuple[int, int]) -> None:
    if mask.any():
        # Padded, so that an outline closes where a cell touches the border.
        y, x = (np.arange(-1, side + 1) + k for side, k in zip(mask.shape, corner, strict=True))
        axes.contour(x, y, np.pad(mask, 1).astype(float), levels=[0.5], colors=colour, linewidths=1)
